"""Trajectories and their topologies: XTC, TRR, DCD, NetCDF, HDF5.

The columns of a trajectory are the atoms of the topology in the order of the topology's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.io.array_files import ArrayFrames, hdf5_topology
from ebabench.io.columns import check_columns
from ebabench.io.content import suffix_of
from ebabench.io.dcd import DcdFrames
from ebabench.io.frames import Frames, TrajectoryFrames
from ebabench.io.stored import JoinedFrames
from ebabench.io.topologies import Topology, find_topology, read_topology
from ebabench.io.trr import TrrFrames
from ebabench.io.xtc import XtcFrames

TRAJECTORY_SUFFIXES = (".xtc", ".trr", ".dcd", ".nc", ".ncdf", ".netcdf", ".h5", ".hdf5")
_HDF5 = (".h5", ".hdf5")


def is_trajectory(path: Path) -> bool:
    """Return whether a file is a trajectory, by its suffix in any case; a gzipped one is, but is not read."""
    return suffix_of(path) in TRAJECTORY_SUFFIXES


def names_atoms(path: Path) -> bool:
    """Return whether a trajectory brings its own topology: mdtraj's HDF5."""
    return path.suffix.lower() in _HDF5


def read_trajectory(paths: Path | Sequence[Path], topology: Path | Topology | None = None) -> Frames:
    """Return the frames of one trajectory, or of several of the same atoms, one after the other.

    The frames stay on disk until they are asked for; ``Frames.take`` narrows down the atoms before. Bond lengths tell
    whether the topology belongs to the trajectory (``check_columns``).

    Args:
        paths: files in the order in which their frames count. XTC, TRR, DCD, NetCDF (AMBER) or mdtraj's HDF5.
        topology: the file that names the atoms (``read_topology``), or what was read from it. An HDF5 file brings its
            own; for others it is searched for beside the first trajectory (``find_topology``).

    Raises:
        InputError: a file is missing, damaged, of another number of atoms than the topology, or of other atoms.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    for path in files:
        if path.exists() and not path.is_file():  # reading a pipe waits for ever
            raise InputError(f"{path}: not a regular file", code="trajectory.broken", file=str(path))
        if path.suffix.lower() == ".gz":
            raise InputError(
                f"{path}: a gzipped trajectory, whose frames cannot be read one by one: unpack it (gunzip {path.name})",
                code="trajectory.format",
                file=str(path),
            )
    if topology is None:
        topology = hdf5_topology(files[0]) if names_atoms(files[0]) else find_topology(files[0])
    if isinstance(topology, Path):
        topology = read_topology(topology)
    parts = [_opened(path, topology) for path in files]
    positions = parts[0] if len(parts) == 1 else JoinedFrames(parts)
    source = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    frames = Frames(source, topology.atoms, positions, native=topology.positions, topology=topology.source)
    check_columns(frames)
    return frames


_REMEDIES = {
    "trajectory.atoms": "{topology} is not its topology: give the one that the trajectory was written with",
    "trajectory.broken": "copy or write it again; what is whole can be cut out with the program that wrote it",
}


def _opened(path: Path, topology: Topology) -> TrajectoryFrames:
    """Return the frames of a trajectory. An error names the topology, and what helps."""
    try:
        return _open(path, len(topology.atoms))
    except InputError as error:
        remedy = _REMEDIES.get(error.code, "").format(topology=topology.source)
        if not remedy:
            raise
        raise InputError(f"{error}; {remedy}", code=error.code, **error.named) from error


def _open(path: Path, n_atoms: int) -> TrajectoryFrames:
    atoms = np.arange(n_atoms)
    match path.suffix.lower():
        case ".xtc":
            return XtcFrames(path, n_atoms, atoms)
        case ".trr":
            return TrrFrames(path, n_atoms, atoms)
        case ".dcd":
            return DcdFrames(path, n_atoms, atoms)
        case ".nc" | ".ncdf" | ".netcdf" | ".h5" | ".hdf5":
            return ArrayFrames(path, n_atoms, atoms)
    raise InputError(
        f"{path}: not a trajectory that can be read ({', '.join(TRAJECTORY_SUFFIXES)})",
        code="trajectory.format",
        file=str(path),
    )
