"""Trajectories in the DCD format (CHARMM, NAMD, OpenMM), read without a library that prints or crashes on damage."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ebabench.errors import InputError
from ebabench.io.stored import FileFrames
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.periodic import box_vectors

_HEADER = 84  # bytes in the first record
_FLAGS = 20  # integers behind the word CORD
_CELL = 48  # bytes of the unit cell: a, gamma, b, beta, alpha, c; or CHARMM's symmetric matrix xx, xy, yy, xz, yz, zz
_LEAST_ANGLE, _GREATEST_ANGLE = 30.0, 180.0  # degrees; no angle of a cell, but an element of the matrix
_SYMMETRIC = np.array([[0, 1, 3], [1, 2, 4], [3, 4, 5]])


class DcdFrames(FileFrames):
    """The chosen atoms of a DCD file, read when they are asked for (``structures.StoredFrames``).

    Args:
        path: a DCD file.
        n_atoms: atoms of its topology.
        atoms: [N], those that are wanted.

    Raises:
        InputError: ``trajectory.broken``, the file is missing, cut, or no DCD file; ``trajectory.atoms``, it has
            another number of atoms.
    """

    def __init__(self, path: Path, n_atoms: int, atoms: IndexArray) -> None:
        try:
            with path.open("rb") as file:
                start = self._read_header(file.read(1 << 20), path, n_atoms)
            size = path.stat().st_size
        except OSError as error:
            raise _broken(path, (error.strerror or str(error)).lower()) from error
        count, rest = divmod(size - start, self._layout.itemsize)
        if rest or not count:
            raise _broken(path, f"truncated after frame {count}" if count else "no frames")
        if self._declared > count:
            raise _broken(
                path,
                f"its header tells of {self._declared} frames, {count} are there: the copy is cut, or the run ended "
                "early. If these are meant, mdconvert -o NEW.dcd writes them anew",
            )
        self._start = start
        super().__init__(path, atoms, count)

    def _read_header(self, data: bytes, path: Path, n_atoms: int) -> int:
        """Read what comes before the first frame. Returns its length in bytes."""
        order = next((o for o in "<>" if data[:4] == np.array(_HEADER, f"{o}i4").tobytes()), None)
        if order is None or data[4:8] != b"CORD" or len(data) < _HEADER + 16:
            raise _broken(path, "no DCD header")
        integer = np.dtype(f"{order}i4")
        flags = np.frombuffer(data, integer, _FLAGS, 8)
        title = int(np.frombuffer(data, integer, 1, _HEADER + 8)[0])
        at = _HEADER + 8 + 8 + title
        if title < 0 or len(data) < at + 12:
            raise _broken(path, "its header is cut")
        opening, found, closing = np.frombuffer(data, integer, 3, at).tolist()
        if (opening, closing) != (4, 4):
            raise _broken(path, "its header is damaged")
        if found != n_atoms:
            raise InputError(
                f"{path}: frames of {found} atoms, the topology has {n_atoms}", code="trajectory.atoms", file=str(path)
            )
        charmm = flags[19] != 0
        if flags[8]:
            raise _broken(path, f"{flags[8]} atoms are fixed and written once; write it anew with all atoms per frame")
        self._declared = int(flags[0])
        has_cell, four = bool(charmm and flags[10]), bool(charmm and flags[11])
        axes = [(name, f"{order}f4", n_atoms) for name in ("x", "y", "z", "w")[: 4 if four else 3]]
        fields: list[Any] = [("cell_in", integer), ("cell", f"{order}f8", 6), ("cell_out", integer)] if has_cell else []
        for name, kind, length in axes:
            fields += [(f"{name}_in", integer), (name, kind, length), (f"{name}_out", integer)]
        self._layout = np.dtype(fields)
        return at + 12

    def _open(self) -> AbstractContextManager[Any]:
        return nullcontext(np.memmap(self._path, self._layout, "r", self._start, (self._count,)))

    def _read(self, handle: Any, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        records = handle[start : start + count]
        names = self._layout.names or ()
        for name in names:
            if name.endswith(("_in", "_out")):
                length = self._layout[name.split("_")[0]].itemsize
                if len(bad := np.flatnonzero(records[name] != length)):
                    raise _broken(self._path, f"broken in frame {start + int(bad[0]) + 1}")
        positions = np.stack([records[axis][:, self._atoms] for axis in "xyz"], axis=2).astype(np.float32)
        return positions, _box(records["cell"]) if "cell" in names else None


def _box(cell: FloatArray) -> FloatArray:
    """Box vectors [F, 3, 3] of unit cells [F, 6]: lengths and angles (degrees or cosines), or CHARMM's matrix."""
    lengths, angles = cell[:, [0, 2, 5]].astype(np.float64), cell[:, [4, 3, 1]].astype(np.float64)
    cosines = (np.abs(angles) <= 1).all(1)
    symmetric = cell.astype(np.float64)[:, _SYMMETRIC]
    matrix = ~cosines & ((angles < _LEAST_ANGLE) | (angles > _GREATEST_ANGLE)).any(1) & (np.linalg.det(symmetric) > 0)
    angles[cosines] = np.degrees(np.arccos(angles[cosines]))
    found = box_vectors(lengths, angles)
    found[matrix] = symmetric[matrix]
    return found


def _broken(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", code="trajectory.broken", file=str(path))
