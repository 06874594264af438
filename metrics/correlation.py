"""Correlation coefficients."""

from __future__ import annotations

import numpy as np

from ebabench.structures.arrays import FloatArray


def pearson(first: FloatArray, second: FloatArray) -> float:
    """Return Pearson's r of two arrays [n]; NaN where one side does not vary or has fewer than two values."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 and len(first) > 1 else float("nan")


def spearman(first: FloatArray, second: FloatArray) -> float:
    """Return Spearman's rho of all entries, ties sharing their mean rank; NaN where one side does not vary."""
    return pearson(_ranks(first), _ranks(second))


def _ranks(values: FloatArray) -> FloatArray:
    """Return the ranks of all entries, flattened, from 1. ``scipy.stats`` would take half a second to load."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(count) - (count - 1) / 2)[which.ravel()]
    return ranks
