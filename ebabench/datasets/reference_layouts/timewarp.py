"""Timewarp's files: ``X-traj-state0.pdb``, the structure, and ``X-traj-arrays.npz``, positions [F, N, 3] in nm."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ebabench.datasets.reference_layouts.replicas import Replicas
from ebabench.errors import InputError
from ebabench.io.columns import check_columns
from ebabench.io.frames import Frames
from ebabench.io.npz import read_arrays
from ebabench.io.stored import FileFrames
from ebabench.io.topologies import read_topology
from ebabench.structures.arrays import FloatArray, IndexArray, Positions

_ARRAYS, _STRUCTURE = "-traj-arrays.npz", "-traj-state0.pdb"


def find(path: Path) -> dict[str, Replicas]:
    """Return what reads the one replica of each target; nothing where there are no such files."""
    files = sorted(path.rglob(f"*{_ARRAYS}")) if path.is_dir() else [path] * path.name.endswith(_ARRAYS)
    pairs = [(one, one.with_name(one.name.replace(_ARRAYS, _STRUCTURE))) for one in files]
    return {pair[0].name.removesuffix(_ARRAYS): Replicas(partial(_replica, *pair), pair) for pair in pairs}


def _replica(path: Path, structure: Path) -> dict[int, Frames]:
    topology = read_topology(structure)
    arrays = read_arrays(path)
    size = len(topology.atoms)
    positions = arrays.get("positions", np.empty(0))
    if positions.ndim != 3 or positions.shape[1:] != (size, 3) or not len(positions):
        raise InputError(
            f"{path}: positions have shape {list(positions.shape)}, expected [frames, {size}, 3] over the atoms of "
            f"{Path(topology.source).name}",
            code="reference.shape",
            file=path,
        )
    stored = _ArrayFrames(path, np.arange(size), positions)
    frames = Frames(str(path), topology.atoms, stored, native=topology.positions, topology=topology.source)
    check_columns(frames)
    return {1: frames}


class _ArrayFrames(FileFrames):
    """Positions in nm, read from a file as a whole.

    Args:
        path: The file.
        atoms: [N], the columns that are wanted.
        positions: [F, N, 3] in nm.
    """

    def __init__(self, path: Path, atoms: IndexArray, positions: FloatArray) -> None:
        super().__init__(path, atoms, len(positions))
        self._positions = positions

    def _open(self) -> AbstractContextManager[Any]:
        return nullcontext(self._positions)

    def _read(self, handle: Any, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        return (handle[start : start + count][:, self._atoms] * 10).astype(np.float32), None
