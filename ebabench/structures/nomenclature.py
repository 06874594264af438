"""One name for one atom: the usual aliases of residues and atoms, brought to PDB version 3 names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from ebabench.structures.ensembles import ONE_TO_THREE, THREE_TO_ONE, Atoms

_RESIDUES = {
    "HSD": "HIS", "HSE": "HIS", "HSP": "HIS", "HIE": "HIS", "HID": "HIS", "HIP": "HIS",
    "HISD": "HIS", "HISE": "HIS", "HISH": "HIS", "HISP": "HIS", "HISA": "HIS", "HISB": "HIS",
    "HIS1": "HIS", "HIS2": "HIS",
    "CYX": "CYS", "CYM": "CYS", "CYS1": "CYS", "CYS2": "CYS", "CYSH": "CYS", "CYSS": "CYS", "CYSD": "CYS",
    "CYN": "CYS",
    "ASH": "ASP", "ASPP": "ASP", "ASPH": "ASP", "GLH": "GLU", "GLUP": "GLU", "GLUH": "GLU",
    "LYN": "LYS", "LSN": "LYS", "LYSN": "LYS", "LYSH": "LYS", "LYP": "LYS", "ARN": "ARG", "ARGN": "ARG",
    "TYM": "TYR", "MSE": "MET",
}  # fmt: skip

# Force fields call the two oxygens of the C-terminus by many names; which of the two is O is a convention.
_ATOMS = {
    "OT1": "O",
    "OC1": "O",
    "O1": "O",
    "O'": "O",
    "OT2": "OXT",
    "OC2": "OXT",
    "O2": "OXT",
    "OT": "OXT",
    "O''": "OXT",
}
C_TERMINAL = frozenset(alias for alias, name in _ATOMS.items() if name == "OXT") | {"OXT"}
"""Names of the second oxygen at the end of a chain."""
N_TERMINAL = frozenset(name for k in "123" for name in (f"H{k}", f"{k}H", f"HT{k}", f"{k}HT", f"HN{k}", f"{k}HN"))
"""Names of the hydrogens at a free N, of which there are two or three."""
_IN_RESIDUE = {("ILE", "CD"): "CD1", ("MET", "SE"): "SD"}
UNKNOWN = "UNK"
"""The PDB's residue name of an amino acid that is not identified."""
_TERMINAL_NAME = 4  # letters of NMET and CSER, which Amber's residues at the ends of a chain are called


def is_hydrogen(names: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """True for names of hydrogens and deuteriums in amino acids (``HA``, ``1HB``, ``D``): no heavy atom starts so."""
    letters = np.char.lstrip(names, "0123456789'\" ")
    return np.char.startswith(letters, "H") | np.char.startswith(letters, "D")


@cache
def canonical_residue(name: str) -> str:
    """Return the PDB name of a residue under any of the usual aliases.

    Protonation states, with CYANA's signs of charges, and Amber's terminal residues are aliases, in capitals or not; a
    chemically modified residue is none.

    Example:
        >>> [canonical_residue(name) for name in ("HSD", "LYS+", "NMET", "CHIE", "SEP")]
        ['HIS', 'LYS', 'MET', 'HIS', 'SEP']
    """
    if name.upper() in THREE_TO_ONE or name.upper() in _RESIDUES:
        name = name.upper()
    if name[3:] in ("+", "-") and name[:3] in THREE_TO_ONE:
        name = name[:3]
    if len(name) == _TERMINAL_NAME and name[0] in "NC" and (name[1:] in THREE_TO_ONE or name[1:] in _RESIDUES):
        name = name[1:]
    return _RESIDUES.get(name, name)


@cache
def parent_residue(name: str) -> str | None:
    """Return the standard amino acid that a residue is or derives from; None if it is no amino acid.

    The chemical component dictionary of the PDB knows the parents (gemmi's table of it). "UNK" stands for an amino acid
    without a standard parent.

    Example:
        >>> [parent_residue(name) for name in ("HID", "SEP", "TPO", "HOH", "PLM")]
        ['HIS', 'SER', 'THR', None, None]
    """
    import gemmi

    name = canonical_residue(name)
    if name in THREE_TO_ONE:
        return name
    known = gemmi.find_tabulated_residue(name)
    if not known.is_amino_acid():
        return None
    return ONE_TO_THREE.get(known.one_letter_code.upper(), UNKNOWN)


def canonical(atoms: Atoms) -> Atoms:
    """The same atoms under PDB version 3 names: HSD is HIS, CD of ILE is CD1, selenomethionine is methionine."""
    residue_name = _renamed(atoms.residue_name, canonical_residue)
    name = np.where(_is_in_side_chain(atoms), atoms.name, _renamed(atoms.name, lambda name: _ATOMS.get(name, name)))
    for (residue, alias), proper in _IN_RESIDUE.items():
        name = np.where((residue_name == residue) & (name == alias), proper, name)
    return Atoms(name, residue_name, atoms.residue)


def _is_in_side_chain(atoms: Atoms) -> npt.NDArray[np.bool_]:
    """[N], True for O1 and O2 beside another O, as in sulfotyrosine and formylmethionine: no ends of a chain."""
    ends = [name for name, proper in _ATOMS.items() if proper == "O" and name != "O1"]
    beside = np.isin(atoms.residue, atoms.residue[np.isin(atoms.name, ["O", *ends])])
    return np.isin(atoms.name, ["O1", "O2"]) & beside


def _renamed(names: npt.NDArray[np.str_], proper: Callable[[str], str]) -> npt.NDArray[np.str_]:
    unique, inverse = np.unique(names, return_inverse=True)
    return np.array([proper(str(name)) for name in unique], dtype=np.str_)[inverse]
