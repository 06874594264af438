"""Frames that stay in their file until they are asked for: what all trajectory formats share."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import numpy as np

from ebabench.io.frames import TrajectoryFrames
from ebabench.io.handles import SharedHandle
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.periodic import Bonds, make_whole


class FileFrames(ABC):
    """The chosen atoms of a trajectory on disk, read when they are asked for (``structures.StoredFrames``).

    A format says how many frames there are, how its file is opened, and how a run of frames is read.

    Args:
        path: the file.
        atoms: [N], the columns that are wanted.
        count: how many frames there are.
    """

    def __init__(self, path: Path, atoms: IndexArray, count: int) -> None:
        self._path, self._atoms, self._count = path, atoms, count
        self._bonds: Bonds | None = None
        self._file = SharedHandle(self._open)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = SharedHandle(self._open)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, atoms, 3."""
        return self._count, len(self._atoms), 3

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, key: Any, /) -> Positions:
        rows = np.arange(len(self))[key]
        wanted, place = np.unique(rows, return_inverse=True)
        found = np.empty((len(wanted), *self.shape[1:]), np.float32)
        with self._file as handle:
            for run in np.split(np.arange(len(wanted)), np.flatnonzero(np.diff(wanted) != 1) + 1):
                if len(run):
                    block, box = self._read(handle, int(wanted[run[0]]), len(run))
                    if self._bonds is not None and box is not None:
                        block = make_whole(block, box, self._bonds)
                    found[run[0] : run[-1] + 1] = block
        in_order = rows.ndim == 1 and np.array_equal(rows, wanted)
        return found if in_order else found[place.reshape(rows.shape)]

    def take(self, index: IndexArray) -> Self:
        """Return the frames of the atoms at ``index`` only."""
        narrowed = self._copy()
        narrowed._atoms, narrowed._bonds = self._atoms[index], None
        return narrowed

    def whole(self, bonds: Bonds) -> Self:
        """Return the same frames; molecules that a periodic boundary cuts are put together on reading."""
        mended = self._copy()
        mended._bonds = bonds
        return mended

    def _copy(self) -> Self:
        """The same frames, of the file that is open already."""
        other = copy.copy(self)
        other._file = self._file
        return other

    def digest(self) -> str:
        """SHA-256 of the file and the atoms."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() + hashlib.sha256(self._atoms.tobytes()).hexdigest()

    def stamp(self) -> str:
        """Where the file is, its size, when it was last written to or put there; and the atoms."""
        path, atoms = self._path.resolve(), hashlib.sha256(self._atoms.tobytes()).hexdigest()
        told = path.stat()
        return f"{path}|{told.st_size}|{told.st_mtime_ns}|{told.st_ctime_ns}|{atoms}"

    @abstractmethod
    def _open(self) -> AbstractContextManager[Any]:
        """Open the file for one or more calls of ``_read``."""

    @abstractmethod
    def _read(self, handle: Any, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        """Read frames ``start`` to ``start + count``: positions [count, N, 3] and boxes [count, 3, 3] in angstrom."""


class JoinedFrames:
    """Several stored trajectories of the same atoms as one, in their order."""

    def __init__(self, parts: Sequence[TrajectoryFrames]) -> None:
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, atoms, 3."""
        return len(self), self._parts[0].shape[1], 3

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, key: Any, /) -> Positions:
        rows = np.arange(len(self))[key]
        flat = rows.reshape(-1)
        found = np.empty((len(flat), *self.shape[1:]), np.float32)
        for part, start in zip(self._parts, self._starts, strict=False):
            here = np.flatnonzero((flat >= start) & (flat < start + len(part)))
            if len(here):
                found[here] = part[flat[here] - start]
        return found.reshape(*rows.shape, *self.shape[1:])

    def take(self, index: IndexArray) -> JoinedFrames:
        """Return the frames of the atoms at ``index`` only."""
        return JoinedFrames([part.take(index) for part in self._parts])

    def whole(self, bonds: Bonds) -> JoinedFrames:
        """Return the same frames; molecules that a periodic boundary cuts are put together on reading."""
        return JoinedFrames([part.whole(bonds) for part in self._parts])

    def digest(self) -> str:
        """SHA-256 of the parts' digests."""
        return hashlib.sha256("".join(part.digest() for part in self._parts).encode()).hexdigest()

    def stamp(self) -> str:
        """The parts' stamps."""
        return "\n".join(part.stamp() for part in self._parts)
