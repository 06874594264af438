"""Jensen-Shannon distances between the histograms of a model and of MD."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray


def jensen_shannon(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return Jensen-Shannon distances [K] of base 2, in [0, 1], of shares [K, B] (0 equal, 1 disjoint).

    The square root of the Jensen-Shannon divergence (Lin, IEEE Trans. Inf. Theory 37, 145 (1991)). With the natural
    logarithm, as in ``scipy.spatial.distance.jensenshannon``, it is sqrt(ln 2) = 0.8326 times as large.

    Args:
        first: [K, B], every row of sum 1.
        second: [K, B], every row of sum 1.
    """
    middle = (first + second) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(p > 0, p * np.log2(p / middle), 0).sum(1) for p in (first, second)]
    distance: FloatArray = np.sqrt(np.clip((terms[0] + terms[1]) / 2, 0, 1))
    return distance


def bin_count(samples: int) -> int:
    """Return the number of equal bins for a number of samples: its square root, at least 4, at most 50."""
    return int(np.clip(np.sqrt(samples), 4, 50))


def binned(
    values: npt.NDArray[np.floating],
    low: npt.NDArray[np.floating],
    high: npt.NDArray[np.floating],
    bins: int,
    weights: FloatArray | None = None,
) -> FloatArray:
    """Return shares [K, bins + 2] of values: below ``low``, in equal bins from ``low`` to ``high``, above ``high``.

    Args:
        values: [n, K]; infinite values are above or below.
        low: [K].
        high: [K]. This value lies in the last of the equal bins.
        bins: Number of equal bins.
        weights: [n], of sum 1; None for equal weights.
    """
    width = np.where(high > low, (high - low) / bins, np.finfo(np.float32).tiny)
    with np.errstate(over="ignore"):
        index = np.clip(np.floor((values - low) / width), -1, bins).astype(np.int64)
    index[values == high] = bins - 1
    flat, size = index + 1 + (bins + 2) * np.arange(values.shape[1]), values.shape[1]
    if weights is None:
        counts = np.bincount(flat.ravel(), minlength=(bins + 2) * size)
        return np.asarray(counts.reshape(size, bins + 2) / len(values))
    sums = np.bincount(flat.ravel(), np.repeat(weights, size), (bins + 2) * size)
    return np.asarray(sums.reshape(size, bins + 2))


def js_distance(
    model: npt.NDArray[np.floating],
    md: npt.NDArray[np.floating],
    weights: FloatArray | None = None,
    bins: int | None = None,
) -> FloatArray:
    """Return Jensen-Shannon distances [K] of base 2 of K observables.

    The bins belong to MD: equal ones between its lowest and highest value, and an open one at either end. So outliers
    of the model count as what MD never does, and cannot stretch the bins.

    Args:
        model: [n, K].
        md: [m, K].
        weights: [n], of ``model``, of sum 1; None for equal weights.
        bins: Number of equal bins; ``bin_count`` of m by default.
    """
    bins = bins or bin_count(len(md))
    low, high = md.min(0), md.max(0)
    return jensen_shannon(binned(model, low, high, bins, weights), binned(md, low, high, bins))
