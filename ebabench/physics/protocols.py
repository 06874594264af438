"""Named energy protocols: force field, preparation and minimisation, so that an energy can be computed again.

All protocols share: hydrogens of pH 7, neutral histidine with its hydrogen at ND1 (the choice of `openmm.app.Modeller`
unless NE2 has an acceptor in reach), charged chain ends, disulfides where two SG are within 3 angstrom. No protocol has
a cutoff unless its name ends with one: ``amber99sbildn-obc@2nm``. A change that may move an energy raises the version
of the protocol, which enters the key of every stored energy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ebabench.errors import InputError, unknown


@dataclass(frozen=True)
class Minimisation:
    """Settings of a minimisation by L-BFGS.

    A restraint makes the result the bottom of the nearest well of a stiff surface, which is a smooth function of the
    input. A free minimisation that ends after some iterations depends on where it was cut. The energy of the restraint
    is not counted.

    Attributes:
        tolerance: root mean square force at which it ends, kJ/mol/nm.
        iterations: the most iterations; 0 for no limit.
        restraint: spring of every heavy atom to its input position, kJ/mol/nm^2.
    """

    tolerance: float
    iterations: int
    restraint: float = 0.0


@dataclass(frozen=True)
class Protocol:
    """How a structure becomes an energy.

    Attributes:
        name: its name, without a cutoff.
        version: rises when an energy may move.
        forcefield: OpenMM's files of force field and solvent.
        constrain_hydrogens: True if constraints replace the springs to hydrogens.
        minimisation: settings of the minimisation.
        minimised: True if structures are minimised unless a caller says otherwise.
        caps_are_patches: True if the force field has caps as patches of residues, not as residues.
        cutoff_nm: cutoff of all nonbonded terms in nanometre, without a periodic box; None for no cutoff.
    """

    name: str
    version: int
    forcefield: tuple[str, ...]
    constrain_hydrogens: bool
    minimisation: Minimisation
    minimised: bool
    caps_are_patches: bool = False
    cutoff_nm: float | None = None

    def key(self, minimise: bool) -> str:
        """Return the part of a cache key that stands for the protocol."""
        cutoff = "" if self.cutoff_nm is None else f"@{self.cutoff_nm:g}nm"
        return f"{self.name}{cutoff}|{self.version}|{'minimised' if minimise else 'as given'}"


_FREE = Minimisation(tolerance=10.0, iterations=0)
_BRIEF = Minimisation(tolerance=10.0, iterations=500, restraint=1000.0)

_NAMED = (
    # The force field and solvent of the embedded suites' molecular dynamics.
    Protocol("amber99sbildn-obc", 3, ("amber99sbildn.xml", "amber99_obc.xml"), False, _BRIEF, True),
    # The protocol of the authors of energy-based alignment.
    Protocol("charmm36-gbn2", 3, ("charmm36.xml", "implicit/gbn2.xml"), True, _FREE, True, caps_are_patches=True),
    # The force field and solvent that made the molecular dynamics of peptides-v2.
    Protocol("amber14-gbn2-restrained", 2, ("amber14-all.xml", "implicit/gbn2.xml"), False, _BRIEF, True),
    Protocol("amber14-gbn2", 3, ("amber14-all.xml", "implicit/gbn2.xml"), True, _FREE, True),
)
PROTOCOLS = {protocol.name: protocol for protocol in _NAMED}


def get_protocol(name: str) -> Protocol:
    """Return the protocol of a name, ``NAME`` or ``NAME@CUTOFFnm``.

    Raises:
        InputError: there is no such protocol (code ``unknown.energy``), or the cutoff is not a positive number (code
            ``energy.cutoff``).

    Example:
        >>> get_protocol("amber99sbildn-obc@2nm").cutoff_nm
        2.0
    """
    base, at, cutoff = name.partition("@")
    if base not in PROTOCOLS:
        raise unknown("energy protocol", base, PROTOCOLS)
    if not at:
        return PROTOCOLS[base]
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)nm", cutoff)
    if not match or not float(match[1]) > 0:
        raise InputError(
            f"energy protocol {name!r}: a cutoff is a positive number of nanometres, for instance {base}@2nm",
            code="energy.cutoff",
            name=name,
        )
    return replace(PROTOCOLS[base], cutoff_nm=float(match[1]))


def with_cutoff(name: str, cutoff_nm: float | None) -> str:
    """Return the name of a protocol with a cutoff in nanometre; the name unchanged if it is None.

    Raises:
        InputError: The name has a cutoff already, and another one (``energy.cutoff``).

    Example:
        >>> with_cutoff("amber99sbildn-obc", 2.0)
        'amber99sbildn-obc@2nm'
    """
    base, at, _ = name.partition("@")
    if cutoff_nm is None:
        return name
    if at and get_protocol(name).cutoff_nm != cutoff_nm:
        raise InputError(
            f"energy protocol {name!r} has a cutoff of its own, and {cutoff_nm:g} nm is another one: name one of them",
            code="energy.cutoff",
            name=name,
        )
    return f"{base}@{cutoff_nm:g}nm"
