"""How often two points are near one another in the frames of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.compilation import cached_njit


def near(positions: Positions, limit: float) -> FloatArray:
    """Share [C, C] of the frames of positions [S, C, 3] in which two points are nearer than ``limit``; 1 with itself.

    In double precision: rounding in single puts some pairs on the other side of the limit.
    """
    frames, size = positions.shape[:2]
    counts = np.zeros((size, size), np.int32)
    _count(np.ascontiguousarray(positions.transpose(0, 2, 1), np.float64), limit * limit, counts)
    share: FloatArray = (counts + counts.T) / frames
    np.fill_diagonal(share, 1)
    return share


@cached_njit(error_model="numpy", nogil=True)
def _count(axes: npt.NDArray[Any], square: float, counts: npt.NDArray[Any]) -> None:  # pragma: no cover
    """Adds frames to the lower triangle; axes [S, 3, C], so that the inner loop runs along memory."""
    for frame in range(len(axes)):
        x, y, z = axes[frame, 0], axes[frame, 1], axes[frame, 2]
        for i in range(1, len(x)):
            row, xi, yi, zi = counts[i], x[i], y[i], z[i]
            for j in range(i):
                dx, dy, dz = xi - x[j], yi - y[j], zi - z[j]
                row[j] += np.int32(dx * dx + dy * dy + dz * dz < square)
