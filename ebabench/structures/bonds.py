"""Covalent bonds between heavy atoms of proteins, by the names of atoms."""

from __future__ import annotations

import numpy as np

from ebabench.structures.arrays import IndexArray
from ebabench.structures.ensembles import Atoms

_BACKBONE = (("N", "CA"), ("CA", "C"), ("C", "O"), ("C", "OXT"), ("CA", "CB"))
_SIDE_CHAINS = {
    "ARG": "CB-CG CG-CD CD-NE NE-CZ CZ-NH1 CZ-NH2",
    "ASN": "CB-CG CG-OD1 CG-ND2",
    "ASP": "CB-CG CG-OD1 CG-OD2",
    "CYS": "CB-SG",
    "GLN": "CB-CG CG-CD CD-OE1 CD-NE2",
    "GLU": "CB-CG CG-CD CD-OE1 CD-OE2",
    "HIS": "CB-CG CG-ND1 CG-CD2 ND1-CE1 CD2-NE2 CE1-NE2",
    "ILE": "CB-CG1 CB-CG2 CG1-CD1",
    "LEU": "CB-CG CG-CD1 CG-CD2",
    "LYS": "CB-CG CG-CD CD-CE CE-NZ",
    "MET": "CB-CG CG-SD SD-CE",
    "PHE": "CB-CG CG-CD1 CG-CD2 CD1-CE1 CD2-CE2 CE1-CZ CE2-CZ",
    "PRO": "CB-CG CG-CD CD-N",
    "SER": "CB-OG",
    "THR": "CB-OG1 CB-CG2",
    "TRP": "CB-CG CG-CD1 CG-CD2 CD1-NE1 NE1-CE2 CD2-CE2 CD2-CE3 CE2-CZ2 CE3-CZ3 CZ2-CH2 CZ3-CH2",
    "TYR": "CB-CG CG-CD1 CG-CD2 CD1-CE1 CD2-CE2 CE1-CZ CE2-CZ CZ-OH",
    "VAL": "CB-CG1 CB-CG2",
}


def heavy_atom_names(residue_name: str) -> frozenset[str]:
    """Return the names of the heavy atoms of one of the twenty amino acids, terminal oxygen included.

    Example:
        >>> sorted(heavy_atom_names("SER"))
        ['C', 'CA', 'CB', 'N', 'O', 'OG', 'OXT']
    """
    names = {name for pair in (*_BACKBONE, *_pairs(residue_name)) for name in pair}
    return frozenset(names - {"CB"} if residue_name == "GLY" else names)


def heavy_atoms(residue: str) -> frozenset[str]:
    """Return the names of the heavy atoms of an amino acid in a chain; the empty set for a residue not of the twenty.

    Example:
        >>> sorted(heavy_atoms("ALA"))
        ['C', 'CA', 'CB', 'N', 'O']
    """
    if residue != "GLY" and residue not in ("ALA", *_SIDE_CHAINS):
        return frozenset()
    backbone = ("N", "CA", "C", "O") if residue == "GLY" else ("N", "CA", "C", "O", "CB")
    return frozenset(backbone) | {name for pair in _pairs(residue) for name in pair}


def residue_bonds(atoms: Atoms) -> IndexArray:
    """Return the bonds [B, 2] within residues, as indices of atoms under PDB names.

    Of a residue that is not one of the twenty, only the bonds of its backbone and to CB are known.

    Example:
        >>> atoms = Atoms(np.array(["N", "CA", "C", "O"]), np.array(["GLY"] * 4), np.zeros(4, int))
        >>> residue_bonds(atoms).tolist()
        [[0, 1], [1, 2], [2, 3]]
    """
    rows = {(r, n): k for k, (r, n) in enumerate(zip(atoms.residue.tolist(), atoms.name.tolist(), strict=True))}
    kinds = dict(zip(atoms.residue.tolist(), atoms.residue_name.tolist(), strict=True))
    found = [
        (rows[residue, a], rows[residue, b])
        for residue, kind in kinds.items()
        for a, b in (*_BACKBONE, *_pairs(kind))
        if (residue, a) in rows and (residue, b) in rows
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def peptide_bonds(atoms: Atoms) -> IndexArray:
    """Return C and N [B, 2] of consecutive residues, as indices of atoms under PDB names.

    Whether the two residues are neighbours in the protein is not asked: residues between them may be missing.
    """
    rows = {(r, n): k for k, (r, n) in enumerate(zip(atoms.residue.tolist(), atoms.name.tolist(), strict=True))}
    found = [
        (rows[residue, "C"], rows[residue + 1, "N"])
        for residue in range(int(atoms.residue[-1]) if len(atoms) else 0)
        if (residue, "C") in rows and (residue + 1, "N") in rows
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def _pairs(kind: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in (pair.split("-") for pair in _SIDE_CHAINS.get(kind, "").split())]
