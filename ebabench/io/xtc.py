"""Reading trajectories in the XTC format: whole, as a stream, or a few frames out of many.

Every reader raises InputError that names the file and what is wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.stored import FileFrames
from ebabench.structures.arrays import FloatArray, Positions

_CHUNK = 128
_MAGIC = 1995
# Magic number, atoms, step, time, box, atoms; then, for more than nine atoms, how they are packed, and how many bytes.
_HEAD, _PACKED = struct.Struct(">iiif36xi"), struct.Struct(">iiif36xif28xi")
_PLAIN_ATOMS = 9


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
        InputError: the file is missing, empty, cut anywhere, or not one frame after the other of ``n_atoms`` atoms; on
            reading: a frame cannot be unpacked.
    """

    def __init__(self, path: Path | str, n_atoms: int, atoms: npt.NDArray[np.int64]) -> None:
        self._offsets = _frame_offsets(Path(path), n_atoms)
        super().__init__(Path(path), atoms, len(self._offsets))

    def _open(self) -> Any:
        from mdtraj.formats import XTCTrajectoryFile

        trajectory = XTCTrajectoryFile(str(self._path))
        trajectory.offsets = self._offsets
        return trajectory

    def _read(self, handle: Any, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        try:
            handle.seek(start)
            xyz, _, _, box = handle.read(count, atom_indices=self._atoms)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{self._path}: broken from frame {start + 1} on ({error})") from error
        if len(xyz) < count:
            raise InputError(f"{self._path}: broken in frame {start + len(xyz) + 1}")
        found: Positions = xyz * np.float32(10)
        return found, None if box is None else box.astype(np.float64) * 10


def _frame_offsets(path: Path, n_atoms: int) -> npt.NDArray[np.int64]:
    """Where each frame begins, in bytes. Raises InputError unless frames fill the file to its last byte."""
    found: list[int] = []
    at = 0
    try:
        with path.open("rb", buffering=0) as file:
            size = path.stat().st_size
            while at < size:
                file.seek(at)
                head = file.read(_PACKED.size)
                if len(head) < _HEAD.size:
                    raise InputError(f"{path}: truncated after frame {len(found)}")
                magic, atoms, *_ = _HEAD.unpack_from(head)
                if magic != _MAGIC:
                    raise InputError(f"{path}: broken after frame {len(found)}: no XTC frame begins there")
                if atoms != n_atoms:
                    raise InputError(f"{path}: frames of {atoms} atoms, the topology has {n_atoms}")
                found.append(at)
                if atoms <= _PLAIN_ATOMS:
                    at += _HEAD.size + 12 * atoms
                elif len(head) < _PACKED.size:
                    raise InputError(f"{path}: truncated after frame {len(found) - 1}")
                else:
                    at += _PACKED.size + (_PACKED.unpack(head)[-1] + 3) // 4 * 4
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if not found:
        raise InputError(f"{path}: no frames")
    if at != size:
        raise InputError(f"{path}: truncated after frame {len(found) - 1}")
    return np.array(found, np.int64)
