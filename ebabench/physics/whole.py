"""Molecules of a file in one piece: the bonds along which those that a periodic boundary cuts are put together."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ebabench.io.frames import FileAtoms, Frames
from ebabench.physics.molecules import CAPS, Molecule, parent_name, standard_residue_name
from ebabench.structures import Atoms
from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.bonds import peptide_bonds, residue_bonds
from ebabench.structures.nomenclature import canonical
from ebabench.structures.periodic import Bonds, tree

_SAMPLE = 10  # frames by which the bonds of a file are known
_TORN = 8.0  # angstrom: no two atoms of `file_bonds` lie farther apart in a molecule in one piece


def whole_sample(frames: Frames) -> Positions:
    """Return some frames [S, N, 3] of a file over all of its atoms, residues and chains in one piece.

    The structure in a trajectory's topology is the first, unless a boundary cuts it: its box is not known.

    Args:
        frames: the content of the file.
    """
    bonds = file_bonds(frames.atoms)
    step = max(1, len(frames) // _SAMPLE)
    found = np.asarray(frames.whole(bonds).positions[::step])
    native = frames.native
    return found if native is None or _is_torn(native, bonds) else np.concatenate([native[None], found])


def whole_molecule(frames: Frames, molecule: Molecule, sample: Positions) -> Frames:
    """Return the frames of one molecule, in one piece.

    In a structure file whose chains no boundary cuts the box is a crystal's, and nothing moves.

    Args:
        frames: over the atoms of the molecule.
        molecule: the molecule.
        sample: [S, N, 3] in angstrom, some of the frames with every chain in one piece.
    """
    stored = frames.positions
    if isinstance(stored, np.ndarray) and frames.whole(file_bonds(frames.atoms)).positions is stored:
        return frames
    return frames.whole(_molecule_bonds(molecule, sample))


def file_bonds(atoms: FileAtoms) -> Bonds:
    """Return trees along the bonds of a file's amino acids and caps, one per chain.

    A hydrogen hangs on a heavy atom as far along the side chain, by its name.

    Args:
        atoms: all atoms of the file.
    """
    caps = [name for name in np.unique(atoms.residue_name).tolist() if standard_residue_name(name) in CAPS]
    with_ca = atoms.residue[atoms.name == "CA"]
    rows = np.flatnonzero(np.isin(atoms.residue, with_ca) | np.isin(atoms.residue_name, caps))
    rows = rows[np.argsort(atoms.residue[rows], kind="stable")]
    if not len(rows):
        return tree(())
    residue = np.unique(atoms.residue[rows], return_inverse=True)[1].astype(np.int64)
    table = canonical(Atoms(atoms.name[rows], atoms.residue_name[rows], residue))
    chain = atoms.chain[rows]
    pairs = [(a, b) for a, b in peptide_bonds(table).tolist() if chain[a] == chain[b]]
    within = residue_bonds(table).tolist()
    bonded = {row for pair in within for row in pair}
    names, hydrogen = table.name.tolist(), atoms.hydrogen[rows].tolist()
    for own in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(residue)) + 1):
        heavy = {names[row]: row for row in own.tolist() if not hydrogen[row]}
        if heavy:
            centre = heavy.get("CA", next(iter(heavy.values())))
            along = {_letter(name): row for name, row in reversed(heavy.items())}
            for row in own.tolist():
                anchor = along.get(_letter(names[row].lstrip("0123456789'")), centre) if hydrogen[row] else centre
                pairs += [(anchor, row)] * (row != anchor and row not in bonded)
    return tree((int(rows[a]), int(rows[b])) for a, b in [*within, *pairs])


def _letter(name: str) -> str:
    """Where in a residue an atom is: ``G`` for CG2 and, less its H, for HG21; nothing for N, C, O and H."""
    return name[1:2] if not name[1:2].isdigit() else ""


def _is_torn(frame: Positions, bonds: Bonds) -> bool:
    """Return whether a bond is longer than any that is in one piece."""
    pairs = zip(bonds.child, bonds.parent, strict=True)
    return any(bool((np.linalg.norm(frame[a] - frame[b], axis=1) > _TORN).any()) for a, b in pairs)


def _molecule_bonds(molecule: Molecule, sample: Positions) -> Bonds:
    """A tree of all atoms: a hydrogen hangs on the nearest atom of its residue, a chain on the nearest of another."""
    atoms = molecule.atoms
    parents = np.array([parent_name(name) for name in molecule.residue_names])[atoms.residue]
    pairs = [*residue_bonds(Atoms(atoms.name, parents, atoms.residue)).tolist(), *molecule.peptide_bonds.tolist()]
    bonded = np.unique(pairs)
    for row in np.setdiff1d(np.arange(len(atoms)), bonded).tolist():
        own = bonded[atoms.residue[bonded] == atoms.residue[row]]
        apart = np.linalg.norm(sample[0, own] - sample[0, row], axis=1)
        pairs.append((int(own[np.argmin(apart)]), row))
    last = np.array([chain.last for chain in molecule.chains])
    chain_of = np.searchsorted(last, atoms.residue)
    for k in range(1, len(molecule.chains)):
        pairs.append(_contact(np.flatnonzero(chain_of < k), np.flatnonzero(chain_of == k), sample))
    return tree(pairs)


def _contact(before: IndexArray, own: IndexArray, sample: Positions) -> tuple[int, int]:
    """The two nearest atoms of two groups in any of the frames: in some, a boundary may lie between them."""
    found = []
    for frame in sample:
        distance, nearest = map(np.asarray, cKDTree(frame[before]).query(frame[own]))
        closest = int(np.argmin(distance))
        found.append((float(distance[closest]), int(before[nearest[closest]]), int(own[closest])))
    return min(found)[1:]
