"""Whether the columns of a trajectory are the atoms of its topology, by the lengths of bonds."""

from __future__ import annotations

import numpy as np

from ebabench.errors import InputError
from ebabench.io.frames import FileAtoms, Frames
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.bonds import residue_bonds
from ebabench.structures.nomenclature import canonical
from ebabench.structures.periodic import spanning_tree

_SAMPLED = 8  # frames: the first, and others at random
_SEED = 11
_HEAVY, _SULFUR, _HYDROGEN = (1.1, 2.2), (1.5, 2.5), (0.7, 1.6)  # angstrom; the longest bond of all is S-S, 2.05
_WRONG_IN_RESIDUE = 2
_NEAR = 1.3  # angstrom: farther from its hydrogen no parent lies


def check_columns(frames: Frames) -> None:
    """Raise InputError unless the frames on disk have the bonds that their topology implies.

    A trajectory written in another order of atoms than its topology has the right number of atoms, and gives wrong
    numbers. The first frame and seven random ones are read. A bond is wrong if its median length over these frames is
    no length of a bond; a topology is refused where two bonds of one residue are wrong. Single frames with a broken
    bond are the trajectory's own, and pass.

    Args:
        frames: one protein chain, hydrogens included (``ebabench.io.chains.select_chain``), of a trajectory.

    Raises:
        InputError: ``topology.other-atoms``; ``trajectory.nanometres``.
    """
    stored = frames.positions
    if isinstance(stored, np.ndarray):
        return
    heavy = np.flatnonzero(~frames.atoms.hydrogen)
    residue = np.unique(frames.atoms.residue, return_inverse=True)[1].astype(np.int64)
    atoms = canonical(Atoms(frames.atoms.name[heavy], frames.atoms.residue_name[heavy], residue[heavy]))
    others = np.random.default_rng(_SEED).integers(len(stored), size=_SAMPLED - 1)
    chosen = np.unique(np.append(others, 0))
    sample = stored.take(heavy).whole(spanning_tree(atoms))[chosen]
    bonds = residue_bonds(atoms)
    if len(bonds) < 2 or not np.isfinite(sample).all():
        return
    lengths = _median_lengths(sample, bonds)
    low, high = _limits(atoms, bonds)
    if _HEAVY[0] / 10 < np.median(lengths) < _HEAVY[1] / 10:
        raise InputError(
            f"{frames.source}: bonds are {np.median(lengths):.3f} long: these are nanometres, in a format of angstrom",
            code="trajectory.nanometres",
            file=frames.source,
        )
    wrong = (lengths < low) | (lengths > high)
    count = np.bincount(atoms.residue[bonds[wrong, 0]], minlength=1)
    if count.max() >= _WRONG_IN_RESIDUE:
        first = int(np.flatnonzero(wrong & (count[atoms.residue[bonds[:, 0]]] >= _WRONG_IN_RESIDUE))[0])
        a, b = (int(heavy[row]) for row in bonds[first])
        _refuse(frames, a, b, float(lengths[first]), int(wrong.sum()), len(bonds))
    if frames.native is not None and len(heavy) < len(frames.atoms):
        _check_hydrogens(frames, frames.native, stored[chosen])


def _check_hydrogens(frames: Frames, native: Positions, sample: Positions) -> None:
    """Every hydrogen stays beside the atom that it is bonded to in the topology's structure."""
    hydrogen = np.flatnonzero(frames.atoms.hydrogen)
    pairs = []
    rows = {residue: np.flatnonzero(frames.atoms.residue == residue) for residue in np.unique(frames.atoms.residue)}
    for row in hydrogen.tolist():
        beside = rows[frames.atoms.residue[row]]
        beside = beside[~frames.atoms.hydrogen[beside]]
        apart = np.linalg.norm(native[beside] - native[row], axis=1)
        if len(beside) and apart.min() < _NEAR:
            pairs.append((int(beside[apart.argmin()]), row))
    if not pairs:
        return
    bonds = np.array(pairs, np.int64)
    lengths = _median_lengths(sample, bonds)
    wrong = (lengths < _HYDROGEN[0]) | (lengths > _HYDROGEN[1])
    count = np.bincount(frames.atoms.residue[bonds[wrong, 0]], minlength=1)
    if count.max() >= _WRONG_IN_RESIDUE:
        first = int(np.flatnonzero(wrong & (count[frames.atoms.residue[bonds[:, 0]]] >= _WRONG_IN_RESIDUE))[0])
        a, b = bonds[first].tolist()
        _refuse(frames, a, b, float(lengths[first]), int(wrong.sum()), len(bonds))


def _median_lengths(sample: Positions, bonds: IndexArray) -> FloatArray:
    apart = np.linalg.norm(sample[:, bonds[:, 0]] - sample[:, bonds[:, 1]], axis=2)
    return np.asarray(np.median(apart, axis=0), np.float64)


def _limits(atoms: Atoms, bonds: IndexArray) -> tuple[FloatArray, FloatArray]:
    sulfur = np.isin(atoms.name[bonds], ("SG", "SD")).any(1)
    return np.where(sulfur, _SULFUR[0], _HEAVY[0]), np.where(sulfur, _SULFUR[1], _HEAVY[1])


def _refuse(frames: Frames, a: int, b: int, length: float, wrong: int, bonds: int) -> None:
    atoms: FileAtoms = frames.atoms
    raise InputError(
        f"{frames.source}: the atoms of {frames.topology} are not these, or in another order: {wrong} of {bonds} bonds "
        f"have no length of a bond, {atoms.name[a]}-{atoms.name[b]} of {atoms.label(a)} has {length:.2f} angstrom; "
        "give the topology that the trajectory was written with",
        code="topology.other-atoms",
        file=frames.source,
        topology=frames.topology,
    )
