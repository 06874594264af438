"""Torsion angles of proteins: phi, psi, omega and chi1 to chi5, with the atoms that define each (IUPAC, 1970)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.ensembles import Atoms

BACKBONE = ("phi", "psi")
ALPHA, BETA, PPII, LEFT = range(4)
SIDE_CHAIN = ("chi1", "chi2", "chi3", "chi4", "chi5")

# Offsets count residues along the sequence from the residue that the torsion belongs to.
_BACKBONE_ATOMS = {
    "phi": ((-1, "C"), (0, "N"), (0, "CA"), (0, "C")),
    "psi": ((0, "N"), (0, "CA"), (0, "C"), (1, "N")),
    "omega": ((0, "CA"), (0, "C"), (1, "N"), (1, "CA")),
}
# The chain of atoms from N outward. Each four atoms in a row are one chi (rotamer libraries and mdtraj use the same).
_CHI_CHAINS = {
    "ARG": "N CA CB CG CD NE CZ NH1", "ASN": "N CA CB CG OD1", "ASP": "N CA CB CG OD1", "CYS": "N CA CB SG",
    "GLN": "N CA CB CG CD OE1", "GLU": "N CA CB CG CD OE1", "HIS": "N CA CB CG ND1", "ILE": "N CA CB CG1 CD1",
    "LEU": "N CA CB CG CD1", "LYS": "N CA CB CG CD CE NZ", "MET": "N CA CB CG SD CE", "PHE": "N CA CB CG CD1",
    "PRO": "N CA CB CG CD", "SER": "N CA CB OG", "THR": "N CA CB OG1", "TRP": "N CA CB CG CD1",
    "TYR": "N CA CB CG CD1", "VAL": "N CA CB CG1",
}  # fmt: skip


class TorsionTable(NamedTuple):
    """The T torsions of a set of atoms, residue by residue; within a residue phi, psi, omega, chi1 to chi5.

    Attributes:
        kind: [T], "phi", "psi", "omega" or "chi1" to "chi5".
        residue: [T], index in the sequence of the residue that the torsion belongs to. Omega belongs to the residue
            before the peptide bond.
        quartets: [T, 4], rows of the four atoms.
    """

    kind: npt.NDArray[np.str_]
    residue: IndexArray
    quartets: IndexArray

    def of(self, *kinds: str) -> IndexArray:
        """Return the columns of the torsions of some kinds."""
        return np.flatnonzero(np.isin(self.kind, kinds))


def torsion_table(atoms: Atoms, residue_index: IndexArray) -> TorsionTable:
    """Return every torsion whose four atoms are present. Torsions never reach across a gap in the sequence.

    Args:
        atoms: N heavy atoms under PDB version 3 names (``nomenclature.canonical``).
        residue_index: [R], for every residue of ``atoms`` its index in the sequence.
    """
    rows = {(int(residue_index[r]), str(n)): k for k, (r, n) in enumerate(zip(atoms.residue, atoms.name, strict=True))}
    first = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
    kinds, residues, quartets = [], [], []
    for place, residue_name in zip(residue_index.tolist(), atoms.residue_name[first].tolist(), strict=True):
        for kind, names in (*_BACKBONE_ATOMS.items(), *_chis(residue_name)):
            keys = [(place + offset, name) for offset, name in names]
            if all(key in rows for key in keys):
                kinds.append(kind)
                residues.append(place)
                quartets.append([rows[key] for key in keys])
    return TorsionTable(
        np.array(kinds, np.str_), np.array(residues, np.int64), np.array(quartets, np.int64).reshape(-1, 4)
    )


def torsion_angles(positions: Positions, quartets: IndexArray) -> Positions:
    """Return dihedral angles [S, T] in radians (IUPAC sign) of the atoms ``quartets`` [T, 4] of positions [S, N, 3].

    Angles are in single precision, in [-pi, pi].
    """
    axes = np.ascontiguousarray(positions.transpose(2, 0, 1))
    a, b, c, d = ([axis[:, quartets[:, k]] for axis in axes] for k in range(4))
    first, middle, last = ([q - p for p, q in zip(start, end, strict=True)] for start, end in ((a, b), (b, c), (c, d)))
    n1, n2 = _cross(first, middle), _cross(middle, last)
    sine = _dot(first, n2) * np.sqrt(_dot(middle, middle))
    return np.arctan2(sine, _dot(n1, n2)).astype(np.float32)


def basins(angles: npt.NDArray[np.floating]) -> IndexArray:
    """Return the backbone basin [S, K], one of ALPHA, BETA, PPII and LEFT, of phi and psi.

    The four cover the torus: left-handed phi > 0; of the rest, alpha -100 <= psi <= 50; of the rest, beta phi <= -100;
    PPII is the remainder. Basins of Jha et al., Biochemistry 44, 9691 (2005), as Beauchamp, Pande and Das used them for
    the populations of peptides (Biophys. J. 106, 1381 (2014)).

    Args:
        angles: [S, K, 2], phi and psi in radians.
    """
    phi, psi = np.moveaxis((np.degrees(angles) + 180) % 360 - 180, -1, 0)
    return np.select([phi > 0, (psi >= -100) & (psi <= 50), phi <= -100], [LEFT, ALPHA, BETA], PPII).astype(np.int64)


def _chis(residue_name: str) -> list[tuple[str, tuple[tuple[int, str], ...]]]:
    chain = _CHI_CHAINS.get(residue_name, "").split()
    return [(f"chi{k + 1}", tuple((0, name) for name in chain[k : k + 4])) for k in range(len(chain) - 3)]


def _cross(u: list[Positions], v: list[Positions]) -> list[Positions]:
    return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]


def _dot(u: list[Positions], v: list[Positions]) -> Positions:
    total: Positions = u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
    return total
