"""Trajectories in the TRR format of GROMACS."""

from __future__ import annotations

import struct
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ebabench.errors import InputError
from ebabench.io.stored import FileFrames
from ebabench.structures.arrays import FloatArray, IndexArray, Positions

_MAGIC = 1993
_START = struct.Struct(">3i12s")
_SIZES = struct.Struct(">13i")  # bytes of ten arrays, then atoms, step, and one that is not used


class _Frame(NamedTuple):
    """Where in the file box and positions lie, and whether they are of double precision."""

    box: int
    positions: int
    double: bool


class TrrFrames(FileFrames):
    """The chosen atoms of a TRR file, read when they are asked for (``structures.StoredFrames``).

    Frames without positions (of velocities or forces alone) are no frames.

    Args:
        path: a TRR file.
        n_atoms: atoms of its topology.
        atoms: [N], those that are wanted.

    Raises:
        InputError: ``trajectory.broken``, the file is missing, cut, or no TRR file; ``trajectory.atoms``, it has
            another number of atoms.
    """

    def __init__(self, path: Path, n_atoms: int, atoms: IndexArray) -> None:
        self._n_atoms = n_atoms
        try:
            with path.open("rb") as file:
                self._frames = self._index(file, path.stat().st_size, path)
        except OSError as error:
            raise _broken(path, (error.strerror or str(error)).lower()) from error
        if not self._frames:
            raise _broken(path, "no frames with positions")
        super().__init__(path, atoms, len(self._frames))

    def _index(self, file: BinaryIO, size: int, path: Path) -> list[_Frame]:
        found: list[_Frame] = []
        at = 0
        while at < size:
            file.seek(at)
            head = file.read(_START.size + _SIZES.size)
            if len(head) < _START.size + _SIZES.size:
                raise _broken(path, f"truncated after frame {len(found)}")
            magic, _, _, name = _START.unpack_from(head)
            *sizes, atoms, _, _ = _SIZES.unpack_from(head, _START.size)
            if magic != _MAGIC or name != b"GMX_trn_file" or min(sizes) < 0:
                raise _broken(path, f"broken after frame {len(found)}: no TRR frame begins there")
            if atoms != self._n_atoms:
                raise InputError(
                    f"{path}: frames of {atoms} atoms, the topology has {self._n_atoms}",
                    code="trajectory.atoms",
                    file=str(path),
                )
            double = sizes[2] == 72 or 24 * atoms in sizes[7:10]
            width = 8 if double else 4
            if sizes[7] not in (0, 3 * width * atoms) or sizes[2] not in (0, 9 * width):
                raise _broken(path, f"broken in frame {len(found) + 1}")
            box = at + len(head) + 2 * width + sizes[0] + sizes[1]
            if sizes[7]:
                found.append(_Frame(box if sizes[2] else 0, box + sum(sizes[2:7]), double))
            at += len(head) + 2 * width + sum(sizes)
        if at != size:
            raise _broken(path, f"truncated after frame {len(found) - 1}")
        return found

    def _open(self) -> AbstractContextManager[Any]:
        return self._path.open("rb")

    def _read(self, handle: Any, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        positions = np.empty((count, len(self._atoms), 3), np.float32)
        boxes = np.zeros((count, 3, 3))
        for row, frame in enumerate(self._frames[start : start + count]):
            kind = np.dtype(">f8" if frame.double else ">f4")
            handle.seek(frame.positions)
            values = np.frombuffer(handle.read(3 * self._n_atoms * kind.itemsize), kind).reshape(-1, 3)
            with np.errstate(over="ignore", invalid="ignore"):
                positions[row] = values[self._atoms].astype(np.float64) * 10
            if frame.box:
                handle.seek(frame.box)
                boxes[row] = np.frombuffer(handle.read(9 * kind.itemsize), kind).reshape(3, 3) * 10
        return positions, boxes


def _broken(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", code="trajectory.broken", file=str(path))
