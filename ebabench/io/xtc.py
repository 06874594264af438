"""Reading trajectories in the XTC format: whole, as a stream, or a few frames out of many.

Every reader raises InputError that names the file and what is wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ebabench.errors import InputError
from ebabench.io.stored import FileFrames
from ebabench.structures.arrays import FloatArray, IndexArray, Positions

_CHUNK = 128
_MAGIC = 1995
# Magic number, atoms, step, time, box, atoms; then, for more than nine atoms, how they are packed, and how many bytes.
_HEAD, _PACKED = struct.Struct(">iiif36xi"), struct.Struct(">iiif36xif28xi")
_PLAIN_ATOMS = 9
_BOX = np.arange(16, 52)  # bytes of a frame
_AT_ONCE = 1 << 25  # bytes


def read_xtc(path: Path | str, n_atoms: int, chunk: int = _CHUNK) -> Iterator[Positions]:
    """Streams a trajectory: blocks of at most ``chunk`` frames [F, n_atoms, 3], in angstrom, all atoms of the file."""
    frames = XtcFrames(path, n_atoms, np.arange(n_atoms))
    for start in range(0, len(frames), chunk):
        yield frames[start : start + chunk]


class XtcFrames(FileFrames):
    """The chosen atoms of an XTC file, read when they are asked for (``structures.StoredFrames``).

    Args:
        path: an XTC file.
        n_atoms: atoms of its topology.
        atoms: [N], those that are wanted.

    Raises:
        InputError: ``trajectory.broken``, the file is missing, empty, cut anywhere, or not one frame after the other;
            on reading: a frame is damaged (as far as a format without a checksum can tell); ``trajectory.atoms``,
            another number of atoms than ``n_atoms``.
    """

    def __init__(self, path: Path | str, n_atoms: int, atoms: IndexArray) -> None:
        super().__init__(Path(path), atoms, 0)
        self._n_atoms = n_atoms
        try:
            with self._file as handle:
                self._starts = _frame_starts(handle, self._path, n_atoms)
        except OSError as error:
            raise _broken(self._path, (error.strerror or str(error)).lower()) from error
        self._count = len(self._starts) - 1

    def _open(self) -> AbstractContextManager[BinaryIO]:
        return self._path.open("rb", buffering=0)

    def _read(self, handle: BinaryIO, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        from ebabench.io.xtc_kernel import unpack

        wanted, column = np.unique(self._atoms, return_inverse=True)
        slot = np.full(self._n_atoms, -1)
        slot[wanted] = np.arange(len(wanted))
        found = np.empty((count, len(wanted), 3), np.float32)
        boxes = np.empty((count, 3, 3))
        starts = self._starts[start : start + count + 1]
        first = 0
        while first < count:
            last = max(int(np.searchsorted(starts, starts[first] + _AT_ONCE, side="right")) - 1, first + 1)
            handle.seek(int(starts[first]))
            size = int(starts[last] - starts[first])
            data = np.frombuffer(handle.read(size).ljust(size, b"\0") + bytes(8), np.uint8)
            own = starts[first : last + 1] - starts[first]
            if (bad := unpack(data, own, self._n_atoms, slot, found[first:last])) >= 0:
                raise _broken(self._path, f"damaged in frame {start + first + bad + 1}")
            boxes[first:last] = data[own[:-1, None] + _BOX].view(">f4").reshape(-1, 3, 3)
            first = last
        found *= np.float32(10)
        in_order = np.array_equal(wanted, self._atoms)
        return found if in_order else found[:, column], boxes * 10


def _frame_starts(file: BinaryIO, path: Path, n_atoms: int) -> IndexArray:
    """Where each frame begins, in bytes, and where the last one ends: frames fill the file to its last byte."""
    found: list[int] = []
    at, size = 0, path.stat().st_size
    while at < size:
        file.seek(at)
        head = file.read(_PACKED.size)
        if len(head) < _HEAD.size:
            raise _broken(path, f"truncated after frame {len(found)}")
        magic, atoms, *_ = _HEAD.unpack_from(head)
        if magic != _MAGIC:
            raise _broken(path, f"broken after frame {len(found)}: no XTC frame begins there")
        if atoms != n_atoms:
            raise InputError(
                f"{path}: frames of {atoms} atoms, the topology has {n_atoms}",
                code="trajectory.atoms",
                file=str(path),
            )
        found.append(at)
        if atoms <= _PLAIN_ATOMS:
            at += _HEAD.size + 12 * atoms
        elif len(head) < _PACKED.size:
            raise _broken(path, f"truncated after frame {len(found) - 1}")
        else:
            at += _PACKED.size + (_PACKED.unpack(head)[-1] + 3) // 4 * 4
    if not found:
        raise _broken(path, "no frames")
    if at != size:
        raise _broken(path, f"truncated after frame {len(found) - 1}")
    return np.array([*found, at], np.int64)


def _broken(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", code="trajectory.broken", file=str(path))
