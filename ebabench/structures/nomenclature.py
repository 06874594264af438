"""One name for one atom: the usual aliases of residues and atoms, brought to PDB version 3 names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ebabench.structures.ensembles import Atoms

_RESIDUES = {
    "HSD": "HIS", "HSE": "HIS", "HSP": "HIS", "HIE": "HIS", "HID": "HIS", "HIP": "HIS",
    "CYX": "CYS", "CYM": "CYS", "CYS2": "CYS", "ASH": "ASP", "ASPP": "ASP", "GLH": "GLU", "GLUP": "GLU",
    "LYN": "LYS", "LSN": "LYS", "ARN": "ARG", "TYM": "TYR", "MSE": "MET",
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
_IN_RESIDUE = {("ILE", "CD"): "CD1", ("MET", "SE"): "SD"}


def is_hydrogen(names: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """True for names of hydrogens and deuteriums in amino acids (``HA``, ``1HB``, ``D``): no heavy atom starts so."""
    letters = np.char.lstrip(names, "0123456789'\" ")
    return np.char.startswith(letters, "H") | np.char.startswith(letters, "D")


def canonical(atoms: Atoms) -> Atoms:
    """The same atoms under PDB version 3 names: HSD is HIS, CD of ILE is CD1, selenomethionine is methionine."""
    residue_name = _renamed(atoms.residue_name, _RESIDUES)
    name = _renamed(atoms.name, _ATOMS)
    for (residue, alias), proper in _IN_RESIDUE.items():
        name = np.where((residue_name == residue) & (name == alias), proper, name)
    return Atoms(name, residue_name, atoms.residue)


def _renamed(names: npt.NDArray[np.str_], aliases: dict[str, str]) -> npt.NDArray[np.str_]:
    unique, inverse = np.unique(names, return_inverse=True)
    return np.array([aliases.get(str(name), str(name)) for name in unique], dtype=np.str_)[inverse]
