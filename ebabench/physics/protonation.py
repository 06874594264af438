"""The hydrogens that each residue of a molecule has, by OpenMM's own table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from ebabench.physics.molecules import CAPS, VARIANTS, Molecule, parent_name

# How many hydrogens each protonation has on the atoms that may lose or gain one.
_SITES = {"HIS": ("ND1", "NE2"), "ASP": ("OD1", "OD2"), "GLU": ("OE1", "OE2"), "LYS": ("NZ",), "CYS": ("SG",)}
_STATES = {
    "HID": (1, 0), "HIE": (0, 1), "HIP": (1, 1), "ASP": (0, 0), "ASH": (0, 1), "GLU": (0, 0), "GLH": (0, 1),
    "LYS": (3,), "LYN": (2,), "CYS": (1,), "CYX": (0,), "CYM": (0,),
}  # fmt: skip
# At pH 7. The tautomer of histidine is fixed, or the frames of one molecule would have different hydrogens.
_AT_PH_7 = {"HIS": "HID", "ASP": "ASP", "GLU": "GLU", "LYS": "LYS", "CYS": "CYS"}


@dataclass(frozen=True)
class Hydrogen:
    """One hydrogen of a residue.

    Attributes:
        name: its name in PDB version 3.
        parent: name of the heavy atom that it is bonded to.
        variants: the protonation variants that have it; empty if all have it.
        terminal: True if only a free N-terminus has it.
    """

    name: str
    parent: str
    variants: frozenset[str]
    terminal: bool


@cache
def hydrogen_table() -> Mapping[str, tuple[Hydrogen, ...]]:
    """Return the hydrogens of every residue, in the order of OpenMM's ``hydrogens.xml``.

    Hydrogens that only a protonated cap or carboxylate would have are left out.
    """
    from openmm import app

    table = {}
    for residue in ElementTree.parse(Path(app.__file__).parent / "data" / "hydrogens.xml").getroot():
        rows = [row for row in residue.iter("H") if row.get("terminal") != "C"]
        if residue.get("name") in CAPS:
            rows = [row for row in rows if row.get("terminal") is None]
        table[str(residue.get("name"))] = tuple(
            Hydrogen(
                row.attrib["name"],
                row.attrib["parent"],
                frozenset(filter(None, row.get("variant", "").split(","))),
                row.get("terminal") == "N",
            )
            for row in rows
        )
    return table


def expected_hydrogens(molecule: Molecule, residue: int, *, disulfide: bool) -> list[Hydrogen]:
    """Return the hydrogens of one residue under its protonation.

    Args:
        molecule: the molecule.
        residue: index of the residue.
        disulfide: True if its sulphur is bonded to another.
    """
    name = molecule.residue_names[residue]
    variant = "CYX" if disulfide else _AT_PH_7.get(name, name)
    start = molecule.is_charged_start(residue)
    return [
        hydrogen
        for hydrogen in hydrogen_table()[parent_name(name)]
        if (not hydrogen.variants or variant in hydrogen.variants) and (start or not hydrogen.terminal)
    ]


def protonation_of(residue_name: str, parents: Sequence[str]) -> str | None:
    """Return the name of a residue under the protonation that its hydrogens show.

    Args:
        residue_name: its name, which may fix the protonation.
        parents: the heavy atom that each of its hydrogens is bonded to.

    Returns:
        The variant; the name unchanged if the hydrogens show none; None if they contradict the name.

    Example:
        >>> protonation_of("HIS", ["N", "CA", "NE2"]), protonation_of("LYN", ["NZ", "NZ", "NZ"])
        ('HIE', None)
    """
    parent = parent_name(residue_name)
    if parent not in _SITES:
        return residue_name
    count = Counter(parents)
    shown = tuple(count[site] for site in _SITES[parent])
    shown = (0, 1) if parent in ("ASP", "GLU") and shown == (1, 0) else shown
    if residue_name in VARIANTS:
        return residue_name if _STATES[residue_name] == shown else None
    named = [variant for variant, state in _STATES.items() if parent_name(variant) == parent and state == shown]
    return residue_name if parent == "CYS" or not named else named[0]


def hydrogen_names(residue_name: str, given: Mapping[str, Sequence[str]]) -> dict[str, list[str]] | None:
    """Return PDB names for the hydrogens of a residue, whatever names a file has for them.

    A name that is right already is kept.

    Args:
        residue_name: the residue or its variant.
        given: names in the file of the hydrogens on each heavy atom.

    Returns:
        Names in the same order; None if an atom has more hydrogens than it can have in any protonation.
    """
    free: dict[str, list[str]] = {}
    for hydrogen in hydrogen_table()[parent_name(residue_name)]:
        free.setdefault(hydrogen.parent, []).append(hydrogen.name)
    found = {}
    for parent, names in given.items():
        proper = free.get(parent, [])
        if len(names) > len(proper):
            return None
        kept = [name in proper and name not in names[:k] for k, name in enumerate(names)]
        others = iter([name for name in proper if name not in names])
        found[parent] = [name if keep else next(others) for name, keep in zip(names, kept, strict=True)]
    return found
