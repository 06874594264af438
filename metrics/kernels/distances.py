"""Distances of all pairs of points over many frames: range, moments and histogram, without keeping the distances."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.compilation import cached_njit

_Array = npt.NDArray[Any]


class PairDistances(NamedTuple):
    """Statistics of the distances of all P = C (C - 1) / 2 pairs i < j, in the order of ``numpy.triu_indices(C, 1)``.

    Attributes:
        low: [P], smallest distance.
        high: [P], largest distance.
        mean: [P].
        variance: [P], population variance.
        counts: [P, B + 2], frames per bin: below ``low``, B equal bins from ``low`` to ``high``, above ``high``.
    """

    low: FloatArray
    high: FloatArray
    mean: FloatArray
    variance: FloatArray
    counts: npt.NDArray[np.int32]


def pair_distances(positions: Positions, bins: int) -> PairDistances:
    """Return statistics of the distances of all pairs of points of positions [F, C, 3], each frame counting once.

    Args:
        positions: [F, C, 3].
        bins: B, the number of equal bins between a pair's smallest and largest distance. The largest distance lies in
            the last of them.
    """
    axes = np.ascontiguousarray(positions.transpose(2, 1, 0))
    pairs = axes.shape[1] * (axes.shape[1] - 1) // 2
    low, high, mean, variance = (np.empty(pairs) for _ in range(4))
    counts = np.zeros((pairs, bins + 2), np.int32)
    _measure(axes, bins, low, high, mean, variance, counts)
    return PairDistances(low, high, mean, variance, counts)


@cached_njit(error_model="numpy", nogil=True)
def _measure(
    axes: _Array, bins: int, low: _Array, high: _Array, mean: _Array, variance: _Array, counts: _Array
) -> None:  # pragma: no cover
    size, frames = axes.shape[1], axes.shape[2]
    found = np.empty(frames)
    pair = 0
    for i in range(size):
        for j in range(i + 1, size):
            for f in range(frames):
                x = np.float64(axes[0, i, f] - axes[0, j, f])
                y = np.float64(axes[1, i, f] - axes[1, j, f])
                z = np.float64(axes[2, i, f] - axes[2, j, f])
                found[f] = np.sqrt(x * x + y * y + z * z)
            least, most, total = found.min(), found.max(), 0.0
            for f in range(frames):
                total += found[f] - found[0]
            shift, squares = total / frames, 0.0
            for f in range(frames):
                away = found[f] - found[0] - shift
                squares += away * away
            scale = bins / (most - least) if most > least else 0.0
            for f in range(frames):
                counts[pair, min(int((found[f] - least) * scale), bins - 1) + 1] += 1
            low[pair], high[pair] = least, most
            mean[pair], variance[pair] = found[0] + shift, squares / frames
            pair += 1
