"""Reads molecular dynamics in the layouts of ATLAS (``ebabench.datasets.layout``)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ebabench.datasets.layout import replica_files, replica_name
from ebabench.errors import InputError
from ebabench.io.chains import heavy_atoms, modifications, select_chain
from ebabench.io.topologies import read_topology
from ebabench.io.trajectories import read_trajectory
from ebabench.structures import Reference, StoredFrames, Target
from ebabench.structures.arrays import Positions

_AT_ONCE = 8_000_000  # coordinates, 32 MB: about ten times the largest embedded target


def reference_names(root: Path) -> list[str]:
    """The targets in a folder of that layout. Raises InputError if there are none."""
    names = sorted(path.parent.name for path in root.glob("*/*.pdb") if path.stem == path.parent.name)
    if not names:
        raise InputError(f"{root}: no references in it (NAME/NAME.pdb with NAME/NAME_prod_R1_fit.xtc)")
    return names


def read_reference(root: Path, name: str, tier: str, *, modified_as_parent: bool = False) -> Reference:
    """The reference of one target: heavy atoms, angstrom, every replica that is there, in the order of its number.

    The native structure is ``NAME.pdb``. Long trajectories stay on disk and are read when they are needed.

    Args:
        root: the folder that holds a folder per target.
        name: the target.
        tier: what the trajectories are; it names their files (``ebabench.datasets.layout``).
        modified_as_parent: take a modified residue for the amino acid that it derives from.

    Raises:
        InputError: a file is missing or damaged, a trajectory is of other atoms than ``NAME.pdb``, or there are several
            protein chains.
    """
    folder = root / name
    topology = folder / f"{name}.pdb"
    found = replica_files(root, name, tier)
    if not topology.is_file() or not found:
        expected = f"{name}.pdb and {replica_name(name, 1, tier)}"
        raise InputError(f"no molecular dynamics of {name} in {folder}: expected {expected}")
    named = read_topology(topology)
    chains = [select_chain(read_trajectory(path, named)) for path in found.values()]
    read = [heavy_atoms(chain, modified_as_parent=modified_as_parent) for chain in chains]
    first, atoms = read[0]
    stored = [heavy.positions for heavy, _ in read]
    replicas: tuple[Positions | StoredFrames, ...] = tuple(stored)
    if sum(math.prod(replica.shape) for replica in stored) <= _AT_ONCE:
        replicas = tuple(
            _finite(folder, number, replica[:]) for number, replica in zip(sorted(found), stored, strict=True)
        )
    target = Target(name, atoms.sequence, atoms, first.first())
    return Reference(target, replicas, tier, tuple(found), modifications(first))


def _finite(folder: Path, number: int, replica: Positions) -> Positions:
    if not np.isfinite(replica).all():
        raise InputError(f"{folder}: replica {number} holds coordinates that are not finite")
    return replica
