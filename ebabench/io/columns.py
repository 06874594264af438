"""Whether the columns of a trajectory are the atoms of its topology, by the lengths of bonds."""

from __future__ import annotations

import numpy as np

from ebabench.errors import InputError
from ebabench.io.frames import FileAtoms, Frames
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.bonds import residue_bonds
from ebabench.structures.nomenclature import canonical, parent_residue
from ebabench.structures.periodic import spanning_tree

_SAMPLED = 8  # frames: the first, and others at random
_SEED = 11
# Angstrom. The longest bond of all is S-S, 2.05. An atom in the place of a hydrogen is 1.1 from one neighbour, and 2.1
# from the others.
_HEAVY, _SULFUR, _HYDROGEN = (1.12, 2.0), (1.6, 2.3), (0.8, 1.45)
_BACKBONE = {("N", "CA"): 1.46, ("CA", "C"): 1.525, ("C", "O"): 1.23}
_SIGMAS = 3.0
_STATIC = 0.3
_CUT = 10.0  # angstrom: atoms of another order are nearer to each other than that, some of them
_WRONG_IN_RESIDUE, _WRONG, _WRONG_SHARE = 2, 3, 0.05
_SAME = 0.01  # angstrom, the rounding of XTC
_NEAR = 1.3  # angstrom: farther from its hydrogen no parent lies


def check_columns(frames: Frames) -> None:
    """Raise InputError unless the frames on disk have the bonds that their topology implies.

    A trajectory written in another order of atoms than its topology has the right number of atoms, and gives wrong
    numbers. The first frame and seven random ones are read. A bond is wrong if its median length over these frames is
    no length of a bond, by more than the noise of the backbone's bonds explains; a topology is refused where two bonds
    of one residue are wrong, or one in twenty of all. A bond that is broken in some frames only is no fault here.

    Args:
        frames: a trajectory, with all atoms of its topology. Only its amino acids are looked at.

    Raises:
        InputError: ``topology.other-atoms``; ``trajectory.nanometres``; ``trajectory.cut``, by a periodic boundary.
    """
    part = frames.take(_protein(frames.atoms))
    stored = part.positions
    if isinstance(stored, np.ndarray) or not len(part.atoms):
        return
    heavy = np.flatnonzero(~part.atoms.hydrogen)
    residue = np.unique(part.atoms.residue[heavy], return_inverse=True)[1].astype(np.int64)
    atoms = canonical(Atoms(part.atoms.name[heavy], part.atoms.residue_name[heavy], residue))
    others = np.random.default_rng(_SEED).integers(len(stored), size=_SAMPLED - 1)
    rows = np.unique(np.append(others, 0))
    sample = np.array(stored[rows])
    cut, sample[:, heavy] = sample[:, heavy], stored.take(heavy).whole(spanning_tree(atoms))[rows]
    bonds = heavy[residue_bonds(atoms)]
    if len(bonds) < 2 or not np.isfinite(sample).all():
        return
    lengths = _median_lengths(sample, bonds)
    if _HEAVY[0] / 10 < np.median(lengths) < _HEAVY[1] / 10:
        raise InputError(
            f"{frames.source}: bonds are {np.median(lengths):.3f} long: these are nanometres, in a format of angstrom; "
            "multiply the coordinates by 10",
            code="trajectory.nanometres",
            file=frames.source,
        )
    if 10 * _HEAVY[0] < np.median(lengths) < 10 * _HEAVY[1] and lengths.max() < 10 * _SULFUR[1]:
        raise InputError(
            f"{frames.source}: bonds are {np.median(lengths):.1f} angstrom long: these are angstrom, in a format of "
            "nanometres; divide the coordinates by 10",
            code="trajectory.nanometres",
            file=frames.source,
        )
    sulfur = np.isin(part.atoms.name[bonds], ("SG", "SD", "SE")).any(1)
    noise = _noise(part, bonds, sample)
    low, high = (np.where(sulfur, one, other) for one, other in zip(_SULFUR, _HEAVY, strict=True))
    _check_lengths(part, bonds, lengths, low - noise, high + noise)
    hydrogens = _hydrogen_bonds(part)
    if len(hydrogens) and np.array_equal(cut, sample[:, heavy]):  # else a boundary may lie between them
        low, high = (np.full(len(hydrogens), limit) for limit in _HYDROGEN)
        _check_lengths(part, hydrogens, _median_lengths(sample, hydrogens), low - noise, high + noise)


def _protein(atoms: FileAtoms) -> IndexArray:
    """The atoms of amino acids, residue after residue."""
    known = {name: parent_residue(name) is not None for name in np.unique(atoms.residue_name).tolist()}
    with_ca = np.unique(atoms.residue[atoms.name == "CA"])
    kept = np.array([known[name] for name in atoms.residue_name.tolist()]) & np.isin(atoms.residue, with_ca)
    rows = np.flatnonzero(kept)
    return rows[np.argsort(atoms.residue[rows], kind="stable")]


def _hydrogen_bonds(frames: Frames) -> IndexArray:
    """Every hydrogen [B, 2] behind the atom that it is bonded to in the topology's structure."""
    native, atoms = frames.native, frames.atoms
    pairs: list[tuple[int, int]] = []
    if native is not None:
        light = atoms.hydrogen
        starts = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
        for rows in np.split(np.arange(len(atoms)), starts[1:]):
            heavy, hydrogen = rows[~light[rows]], rows[light[rows]]
            apart = np.linalg.norm(native[hydrogen][:, None] - native[heavy], axis=2)
            near = apart.min(1, initial=np.inf) < _NEAR
            pairs += zip(heavy[apart[near].argmin(1)].tolist(), hydrogen[near].tolist(), strict=True)
    return np.array(pairs, np.int64).reshape(-1, 2)


def _noise(frames: Frames, bonds: IndexArray, sample: Positions) -> float:
    """How far noise may move a median length.

    It is known by how bonds of the backbone fluctuate from frame to frame, and by how far they are from their ideal
    lengths. The latter counts up to ``_STATIC`` only: in another order of atoms, no bond has its ideal length.
    """
    names = frames.atoms.name[bonds].tolist()
    ideal = np.array([_BACKBONE.get((a, b), np.nan) for a, b in names])
    known = np.isfinite(ideal)
    if not known.any():
        return 0.0
    apart = sample[:, bonds[known, 0]].astype(np.float64) - sample[:, bonds[known, 1]]
    lengths = np.linalg.norm(apart, axis=2)
    static, moving = (float(np.median(np.abs(lengths - at))) for at in (ideal[known], np.median(lengths, axis=0)))
    of_median = _SIGMAS * 1.4826 * float(np.sqrt(np.pi / 2 / len(sample)))
    return max(min(static * of_median, _STATIC), moving * of_median)


def _check_lengths(frames: Frames, bonds: IndexArray, lengths: FloatArray, low: FloatArray, high: FloatArray) -> None:
    atoms = frames.atoms
    wrong = (lengths < low) | (lengths > high)
    count = np.bincount(atoms.residue[bonds[wrong, 0]], minlength=int(atoms.residue.max()) + 1)
    if count.max() < _WRONG_IN_RESIDUE and wrong.sum() < max(_WRONG, _WRONG_SHARE * len(bonds)):
        return
    if lengths[wrong].min() > _CUT:
        raise InputError(
            f"{frames.source}: {wrong.sum()} bonds are {lengths[wrong].min():.1f} angstrom and longer: a periodic "
            "boundary cuts the molecule, without a box to mend it by; make it whole (gmx trjconv -pbc whole)",
            code="trajectory.cut",
            file=frames.source,
        )
    if (in_one := wrong & (lengths < _SAME)).sum() > wrong.sum() / 2:
        row = int(bonds[np.flatnonzero(in_one)[0], 0])
        raise InputError(
            f"{frames.source}: atoms of {atoms.label(row)} lie in one place: missing atoms were padded; leave them out "
            "of the trajectory and its topology",
            code="trajectory.padded",
            file=frames.source,
        )
    first = int(np.flatnonzero(wrong & (count[atoms.residue[bonds[:, 0]]] == count.max()))[0])
    a, b = bonds[first].tolist()
    raise InputError(
        f"{frames.source}: the atoms of {frames.topology or 'its topology'} are not these, or in another order: "
        f"{wrong.sum()} of {len(bonds)} bonds have no length of a bond, {atoms.name[a]}-{atoms.name[b]} of "
        f"{atoms.label(a)} has {lengths[first]:.2f} angstrom; give the topology that the trajectory was written with",
        code="topology.other-atoms",
        file=frames.source,
        topology=frames.topology,
    )


def _median_lengths(sample: Positions, bonds: IndexArray) -> FloatArray:
    apart = sample[:, bonds[:, 0]].astype(np.float64) - sample[:, bonds[:, 1]]
    return np.asarray(np.median(np.linalg.norm(apart, axis=2), axis=0), np.float64)
