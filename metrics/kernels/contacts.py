"""How often two points are near one another in the frames of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.compilation import cached_njit

_BLOCK = 1024  # frames


def near(positions: Positions, limit: float, weights: FloatArray | None = None) -> FloatArray:
    """Return how often two points are nearer than a limit, [C, C] in [0, 1]; 1 on the diagonal.

    Distances are compared in double precision: rounding in single precision puts some pairs on the wrong side.

    Args:
        positions: [S, C, 3] in angstrom.
        limit: In angstrom.
        weights: [S], statistical weights of sum 1; None for equal weights.
    """
    frames, size = positions.shape[:2]
    counts, sums = np.zeros((size, size), np.int32), np.zeros((size, size))
    for start in range(0, frames, _BLOCK):
        axes = np.ascontiguousarray(positions[start : start + _BLOCK].transpose(0, 2, 1), np.float64)
        if weights is None:
            _count(axes, limit * limit, counts)
        else:
            _sum(axes, limit * limit, weights[start : start + _BLOCK], sums)
    share: FloatArray = (counts + counts.T) / frames if weights is None else np.minimum(sums + sums.T, 1)
    np.fill_diagonal(share, 1)
    return share


@cached_njit(error_model="numpy", nogil=True)
def _count(axes: npt.NDArray[Any], square: float, counts: npt.NDArray[Any]) -> None:  # pragma: no cover
    """Add every frame to the lower triangle; axes [S, 3, C], so that the inner loop runs along memory."""
    for frame in range(len(axes)):
        x, y, z = axes[frame, 0], axes[frame, 1], axes[frame, 2]
        for i in range(1, len(x)):
            row, xi, yi, zi = counts[i], x[i], y[i], z[i]
            for j in range(i):
                dx, dy, dz = xi - x[j], yi - y[j], zi - z[j]
                row[j] += np.int32(dx * dx + dy * dy + dz * dz < square)


@cached_njit(error_model="numpy", nogil=True)
def _sum(
    axes: npt.NDArray[Any], square: float, weights: npt.NDArray[Any], sums: npt.NDArray[Any]
) -> None:  # pragma: no cover
    """Add the weight of every frame to the pairs of the lower triangle that are near."""
    for frame in range(len(axes)):
        x, y, z, weight = axes[frame, 0], axes[frame, 1], axes[frame, 2], weights[frame]
        for i in range(1, len(x)):
            row, xi, yi, zi = sums[i], x[i], y[i], z[i]
            for j in range(i):
                dx, dy, dz = xi - x[j], yi - y[j], zi - z[j]
                if dx * dx + dy * dy + dz * dz < square:
                    row[j] += weight
