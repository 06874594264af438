"""Named energy protocols: force field, preparation and minimisation, so that a number can be made again.

What all share: hydrogens of pH 7, neutral histidines protonated at ND1 (as `openmm.app.Modeller` has it unless NE2 has
an acceptor in reach), charged termini, disulfides where two SG are within 3 angstrom, no cutoff. Any change that may
move a number raises the protocol's version, which enters every cache key.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebabench.errors import unknown


@dataclass(frozen=True)
class Minimisation:
    """L-BFGS to a root mean square force of ``tolerance`` (kJ/mol/nm), or ``iterations`` of it (0: no cap).

    ``restraint`` (kJ/mol/nm^2) ties every heavy atom of the input to where it was: the result is then the bottom of
    the nearest well of a stiff surface, a smooth function of the input, instead of wherever a free minimisation had
    got to when it was cut. The restraint's own energy is not counted.
    """

    tolerance: float
    iterations: int
    restraint: float = 0.0


@dataclass(frozen=True)
class Protocol:
    """How a structure becomes an energy. ``minimised``: whether it is so unless a caller says otherwise."""

    name: str
    version: int
    forcefield: tuple[str, ...]
    constrain_hydrogens: bool
    minimisation: Minimisation
    minimised: bool

    def key(self, minimise: bool) -> str:
        """What enters every cache key."""
        return f"{self.name}|{self.version}|{'minimised' if minimise else 'as given'}"


_FREE = Minimisation(tolerance=10.0, iterations=0)
_BRIEF = Minimisation(tolerance=10.0, iterations=500, restraint=1000.0)

_NAMED = (
    # The force field and solvent that made the embedded suites' molecular dynamics.
    Protocol("amber99sbildn-obc", 2, ("amber99sbildn.xml", "amber99_obc.xml"), False, _BRIEF, True),
    # The authors' of energy-based alignment.
    Protocol("charmm36-gbn2", 2, ("charmm36.xml", "implicit/gbn2.xml"), True, _FREE, True),
    Protocol("amber14-gbn2", 2, ("amber14-all.xml", "implicit/gbn2.xml"), True, _FREE, True),
)
PROTOCOLS = {protocol.name: protocol for protocol in _NAMED}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises InputError, with the nearest names, where there is none."""
    if name not in PROTOCOLS:
        raise unknown("energy protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
