"""Distances of all pairs of points over many frames: range, moments and histogram, without keeping the distances."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.compilation import cached_njit

_Array = npt.NDArray[Any]
_AT_ONCE = 12_000_000  # coordinates


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
    frames, points = positions.shape[:2]
    pairs = points * (points - 1) // 2
    low, high, mean, variance = (np.empty(pairs) for _ in range(4))
    counts = np.zeros((pairs, bins + 2), np.int32)
    # All frames of some points at a time: so many coordinates are copied, of two blocks of points.
    block = max(_AT_ONCE // max(3 * frames, 1), 1)
    for i in range(0, points, block):
        rows = _by_point(positions, i, block)
        for j in range(i, points, block):
            columns = rows if i == j else _by_point(positions, j, block)
            _measure(rows, columns, i, j, points, bins, low, high, mean, variance, counts)
    return PairDistances(low, high, mean, variance, counts)


def _by_point(positions: Positions, first: int, count: int) -> _Array:
    """Return [3, count, F]: the frames of some points, side by side."""
    return np.ascontiguousarray(positions[:, first : first + count].transpose(2, 1, 0))


@cached_njit(error_model="numpy", nogil=True)
def _measure(
    rows: _Array,
    columns: _Array,
    first_row: int,
    first_column: int,
    points: int,
    bins: int,
    low: _Array,
    high: _Array,
    mean: _Array,
    variance: _Array,
    counts: _Array,
) -> None:  # pragma: no cover
    frames = rows.shape[2]
    found = np.empty(frames)
    for i in range(rows.shape[1]):
        row = first_row + i
        start = row * points - row * (row + 1) // 2 - row - 1  # where pairs (row, column) begin, less the column
        for j in range(max(row + 1 - first_column, 0), columns.shape[1]):
            pair = start + first_column + j
            for f in range(frames):
                x = np.float64(rows[0, i, f] - columns[0, j, f])
                y = np.float64(rows[1, i, f] - columns[1, j, f])
                z = np.float64(rows[2, i, f] - columns[2, j, f])
                found[f] = np.sqrt(x * x + y * y + z * z)
            # Each sum waits for its last addend: what can be done meanwhile is done in the same loop.
            first, total = found[0], 0.0
            least = most = first
            for f in range(frames):
                total += found[f] - first
                least = found[f] if found[f] < least else least
                most = found[f] if found[f] > most else most
            shift, squares = total / frames, 0.0
            scale = bins / (most - least) if most > least else 0.0
            for f in range(frames):
                away = found[f] - first - shift
                squares += away * away
                counts[pair, min(int((found[f] - least) * scale), bins - 1) + 1] += 1
            low[pair], high[pair] = least, most
            mean[pair], variance[pair] = first + shift, squares / frames
