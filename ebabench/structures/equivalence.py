"""One naming of atoms that are alike: which of two carbons of a ring is CD1, frame by frame.

A ring of phenylalanine that turns by half is the same structure under other names. Programs name such atoms as they
come; a superposition that goes by names then sees a motion that is none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.ensembles import Atoms, Reference, StoredFrames
from ebabench.structures.geometry import dihedral, signed_volume
from ebabench.structures.nomenclature import canonical

# The torsion that tells one name from the other (to the first of each pair), and the names that change together.
_TURNED = {
    "PHE": (("CA", "CB", "CG", "CD1"), (("CD1", "CD2"), ("CE1", "CE2"))),
    "TYR": (("CA", "CB", "CG", "CD1"), (("CD1", "CD2"), ("CE1", "CE2"))),
    "ASP": (("CA", "CB", "CG", "OD1"), (("OD1", "OD2"),)),
    "GLU": (("CB", "CG", "CD", "OE1"), (("OE1", "OE2"),)),
    "ARG": (("CD", "NE", "CZ", "NH1"), (("NH1", "NH2"),)),
}
# The center whose handedness tells one name from the other.
_HANDED = {
    "LEU": (("CG", "CB", "CD1", "CD2"), (("CD1", "CD2"),)),
    "VAL": (("CB", "CA", "CG1", "CG2"), (("CG1", "CG2"),)),
}


class Equivalents(NamedTuple):
    """Atoms of one residue whose names may change places.

    ``told_by`` [4] are the atoms of a torsion, or a center and three neighbours if ``handed``. ``pairs`` [P, 2] are the
    atoms that change places.
    """

    told_by: IndexArray
    pairs: IndexArray
    handed: bool


def equivalent_atoms(atoms: Atoms) -> list[Equivalents]:
    """Return the atoms that may change names, one entry per residue that has them.

    Phe, Tyr, Asp, Glu and Arg have atoms that a rotation by half exchanges; in Leu and Val the handedness tells the two
    methyl groups apart. A residue that lacks one of the atoms has no entry.

    Args:
        atoms: heavy atoms under PDB names.
    """
    rows = {(r, n): k for k, (r, n) in enumerate(zip(atoms.residue.tolist(), atoms.name.tolist(), strict=True))}
    found = []
    for residue, kind in dict(zip(atoms.residue.tolist(), atoms.residue_name.tolist(), strict=True)).items():
        told_by, pairs = (_TURNED | _HANDED).get(kind, ((), ()))
        names = {*told_by, *(name for pair in pairs for name in pair)}
        if names and all((residue, name) in rows for name in names):
            index = np.array([rows[residue, name] for name in told_by], np.int64)
            exchanged = np.array([[rows[residue, name] for name in pair] for pair in pairs], np.int64)
            found.append(Equivalents(index, exchanged, kind in _HANDED))
    return found


def name_as(positions: Positions, native: Positions, equivalents: list[Equivalents]) -> Positions:
    """Return the frames with equivalent atoms named as the native structure names them.

    Of the two names of an atom that a rotation by half exchanges, the one counts by which the torsion is nearer to that
    of the native structure; of the methyl groups of Leu and Val, the one that gives the native handedness. Frames are
    named one by one; no atom moves.

    Args:
        positions: [S, N, 3].
        native: [N, 3].
        equivalents: as ``equivalent_atoms`` returns them.
    """
    found = positions.copy()
    for told_by, pairs, handed in equivalents:
        if handed:
            here, there = (signed_volume(x, told_by[None])[:, 0] for x in (positions, native[None]))
            exchanged = np.sign(here) != np.sign(there[0])
        else:
            # Of the two atoms, the one whose torsion is nearer bears the first name, whichever names they have now.
            either = np.array([told_by, [*told_by[:3], pairs[0, 1]]])
            nearness = np.cos(dihedral(positions, either) - dihedral(native[None], told_by[None])[0, 0])
            exchanged = nearness[:, 1] > nearness[:, 0]
        frames = np.flatnonzero(exchanged)[:, None]
        for pair in pairs:
            found[frames, pair] = positions[frames, pair[::-1]]
    return found


def named_reference(reference: Reference) -> Reference:
    """Return the reference with equivalent atoms of every frame named as the native structure names them."""
    equivalents = equivalent_atoms(canonical(reference.target.atoms))
    native = reference.target.native
    replicas = tuple(
        name_as(replica, native, equivalents)
        if isinstance(replica, np.ndarray)
        else NamedFrames(replica, native, equivalents)
        for replica in reference.replicas
    )
    return replace(reference, replicas=replicas)


class NamedFrames:
    """Stored frames whose equivalent atoms are named as the native structure names them, when they are read."""

    def __init__(self, frames: StoredFrames, native: Positions, equivalents: list[Equivalents]) -> None:
        self._frames, self._native, self._equivalents = frames, native, equivalents

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, atoms, 3."""
        return self._frames.shape

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, key: Any, /) -> Positions:
        read = self._frames[key]
        named = name_as(read.reshape(-1, *read.shape[-2:]), self._native, self._equivalents)
        return named.reshape(read.shape)

    def digest(self) -> str:
        """The digest of the frames, and that they are renamed."""
        return f"named {self._frames.digest()}"

    def stamp(self) -> str:
        """The stamp of the frames, and that they are renamed."""
        return f"named {self._frames.stamp()}"
