"""Arithmetic with statistical weights. Equal weights are None, and take the plain arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray, IndexArray


def mean(values: npt.NDArray[Any], weights: FloatArray | None) -> FloatArray:
    """Return the mean over the first axis of values [S, ...], in double precision.

    Args:
        values: [S, ...], numbers or truth values.
        weights: [S], of sum 1; None for equal weights.
    """
    if weights is None:
        return np.asarray(values.mean(0, dtype=np.float64))
    return np.asarray(np.tensordot(weights, values, 1))


def systematic(weights: FloatArray, count: int, offset: float = 0.5) -> IndexArray:
    """Return ``count`` indices, each drawn with a probability proportional to its weight, by systematic resampling.

    The cumulative weights are read at evenly spaced points, so that an index of weight w is drawn floor(count w) or
    ceil(count w) times (Carpenter, Clifford and Fearnhead, IEE Proc. Radar Sonar Navig. 146, 2 (1999)).

    Args:
        weights: [S], of sum 1.
        count: How many.
        offset: Where the points begin, in [0, 1) of their distance.
    """
    points = (np.arange(count) + offset) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), points, side="right"), len(weights) - 1).astype(np.int64)
