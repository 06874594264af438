"""Conformations of other libraries (mdtraj, MDAnalysis, plain arrays) as ours, and back.

No library is imported before an object of it is given: objects are recognised by the name of their module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.ensembles import Atoms
from ebabench.structures.nomenclature import canonical, is_hydrogen

if TYPE_CHECKING:
    import mdtraj

_ANGSTROM_PER_NM = 10
_IONS = ("CA", "CAL", "CA2")  # residue names of calcium, whose atom is named CA like a C-alpha


def is_mdtraj(thing: object) -> bool:
    """Return whether an object is an ``mdtraj.Trajectory``."""
    return _of_module(thing, "mdtraj") and hasattr(thing, "xyz") and hasattr(thing, "topology")


def is_mdanalysis(thing: object) -> bool:
    """Return whether an object is a Universe or an AtomGroup of MDAnalysis."""
    return _of_module(thing, "MDAnalysis") and hasattr(thing, "atoms") and hasattr(thing, "universe")


def _of_module(thing: object, package: str) -> bool:
    return any(base.__module__.split(".")[0] == package for base in type(thing).__mro__)


def from_mdtraj(trajectory: mdtraj.Trajectory, who: str) -> tuple[Atoms, Positions]:
    """Return the protein's heavy atoms and their positions [S, N, 3] in angstrom of an mdtraj trajectory (in nm)."""
    if not trajectory.n_frames:
        raise InputError(f"{who}: the trajectory has no frames", code="ensemble.empty", target=who)
    every = list(trajectory.topology.atoms)
    atoms, heavy = heavy_atoms(
        [atom.name for atom in every],
        [atom.residue.name for atom in every],
        [atom.residue.index for atom in every],
        who,
    )
    return atoms, (trajectory.xyz[:, heavy] * np.float32(_ANGSTROM_PER_NM)).astype(np.float32)


def from_mdanalysis(group: Any, who: str) -> tuple[Atoms, Positions]:
    """Return the protein's heavy atoms and their positions [S, N, 3] in angstrom of a Universe or an AtomGroup.

    All frames of the trajectory are read. The frame that the Universe stands at is the same afterwards.
    """
    chosen = group.atoms
    atoms, heavy = heavy_atoms(chosen.names, chosen.resnames, chosen.resindices, who)
    chosen = chosen[heavy]
    trajectory = group.universe.trajectory
    positions = np.empty((len(trajectory), len(heavy), 3), np.float32)
    before = trajectory.frame
    try:
        for row, _ in enumerate(trajectory):
            positions[row] = chosen.positions
    finally:
        trajectory[before]
    return atoms, positions


def to_mdtraj(atoms: Atoms, positions: Positions) -> mdtraj.Trajectory:
    """Return an mdtraj trajectory (in nm) of one chain, with residues numbered from 1."""
    import mdtraj

    topology = mdtraj.Topology()
    chain = topology.add_chain()
    residues: dict[int, Any] = {}
    for name, residue_name, residue in zip(atoms.name, atoms.residue_name, atoms.residue.tolist(), strict=True):
        if residue not in residues:
            residues[residue] = topology.add_residue(str(residue_name), chain, resSeq=residue + 1)
        topology.add_atom(str(name), mdtraj.element.get_by_symbol(str(name)[0]), residues[residue])
    return mdtraj.Trajectory(np.asarray(positions, np.float32) / _ANGSTROM_PER_NM, topology)


def heavy_atoms(
    names: Sequence[str] | npt.NDArray[Any],
    residue_names: Sequence[str] | npt.NDArray[Any],
    residues: Sequence[int] | npt.NDArray[Any],
    who: str,
) -> tuple[Atoms, IndexArray]:
    """Return the protein's heavy atoms under PDB version 3 names, and their indices among the atoms given.

    Residues without a C-alpha (waters, ions, ligands, caps) and hydrogens are left out.

    Args:
        names: [M], names of all atoms.
        residue_names: [M], the residue name of every atom.
        residues: [M], a number per atom that differs between neighbouring residues.
        who: How a message names the ensemble.

    Raises:
        InputError: There is no C-alpha (``atoms.none``), or a residue has an atom twice (``atoms.twice``).
    """
    name, residue_name = (np.asarray(column).astype(np.str_) for column in (names, residue_names))
    number = np.asarray(residues)
    if not len(name) == len(residue_name) == len(number):
        raise InputError(
            f"{who}: {len(name)} atom names, {len(residue_name)} residue names and {len(number)} residue numbers",
            code="atoms.length",
            target=who,
        )
    change = np.ones(len(name), bool)
    change[1:] = (number[1:] != number[:-1]) | (residue_name[1:] != residue_name[:-1])
    runs = np.cumsum(change) - 1
    ca = (name == "CA") & ~np.isin(np.char.upper(residue_name), _IONS)
    protein = np.bincount(runs, weights=ca) > 0 if len(runs) else np.zeros(0, bool)
    heavy = np.flatnonzero(protein[runs] & ~is_hydrogen(name)) if len(runs) else np.zeros(0, np.int64)
    if not len(heavy):
        raise InputError(f"{who}: no residue has a C-alpha", code="atoms.none", target=who)
    counted = np.unique(runs[heavy], return_inverse=True)[1].astype(np.int64)
    atoms = canonical(Atoms(name[heavy], residue_name[heavy], counted))
    keys = list(zip(atoms.residue.tolist(), atoms.name.tolist(), strict=True))
    if len(set(keys)) < len(keys):
        seen: set[tuple[int, str]] = set()
        residue, twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InputError(
            f"{who}: residue {residue + 1} has atom {twice} more than once", code="atoms.twice", target=who
        )
    return atoms, heavy
