"""What a comparison of two runs may claim: correction for several metrics, statistical power, equivalence.

Power is that of the Wilcoxon signed-rank test, by simulation from the observed differences (a smoothed bootstrap), so
that it holds for the skewed and heavy-tailed differences of real suites.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from ebabench.structures.arrays import FloatArray

Correction = Literal["holm", "benjamini-hochberg", "none"]

POWER = 0.8
MOST_TARGETS = 1024
"""Numbers of targets above this are reported as infinite: no suite has so many."""
_SIMULATIONS = 400
_STEPS = 24


def adjusted(p: Sequence[float], correction: Correction) -> FloatArray:
    """Return p values adjusted for the number of tests; NaN stays NaN and does not count as a test.

    Args:
        p: Raw p values.
        correction: ``holm`` bounds the probability of any wrong verdict (Holm, Scand. J. Stat. 6, 65 (1979)),
            ``benjamini-hochberg`` the expected share of wrong verdicts (J. R. Stat. Soc. B 57, 289 (1995)).

    Example:
        >>> adjusted([0.01, 0.04, 0.03], "holm").tolist()
        [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, dtype=np.float64)
    found = raw.copy()
    tested = np.flatnonzero(np.isfinite(raw))
    if correction == "none" or not len(tested):
        return found
    if correction == "benjamini-hochberg":
        from scipy.stats import false_discovery_control

        found[tested] = false_discovery_control(raw[tested])
        return found
    order = tested[np.argsort(raw[tested], kind="stable")]
    steps = raw[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return found


def detectable_difference(differences: FloatArray, alpha: float, seed: int = 0) -> float:
    """Return the shift that the signed-rank test tells from zero with a power of 80 %.

    Args:
        differences: [T], the differences of the targets, whose spread and number count.
        alpha: The significance level at which a verdict is given.
        seed: Seed of the simulation.

    Returns:
        A positive number in the unit of ``differences``; infinity where ``T`` targets can give no verdict at all.
    """
    n, spread = len(differences), _scale(differences)
    if _critical(n, alpha) is None:
        return float("inf")
    if spread == 0:
        return 0.0
    draws = _smooth(differences, n, seed) - float(np.median(differences))
    low, high = 0.0, spread
    while _power(draws + high, alpha) < POWER and high < 1e6 * spread:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _power(draws + middle, alpha) >= POWER else (middle, high)
    return high


def targets_needed(differences: FloatArray, alpha: float, seed: int = 0) -> float:
    """Return how many targets tell the observed median difference with a power of 80 %.

    Args:
        differences: [T], the differences of the targets.
        alpha: The significance level at which a verdict is given.
        seed: Seed of the simulation.

    Returns:
        The smallest such number of 6, 8, 11, ... (steps of a third); infinity above ``MOST_TARGETS``.
    """
    if len(differences) < 2 or not np.median(differences):
        return float("inf")
    n = 6.0
    while n <= MOST_TARGETS:
        size = round(n)
        if _critical(size, alpha) is not None and _power(_smooth(differences, size, seed), alpha) >= POWER:
            return size
        n *= 4 / 3
    return float("inf")


def _scale(differences: FloatArray) -> float:
    return float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0


def _smooth(differences: FloatArray, n: int, seed: int) -> FloatArray:
    """[simulations, n]: the observed differences drawn anew, with a Gaussian kernel of Silverman's width."""
    rng = np.random.default_rng(seed)
    width = 1.06 * _scale(differences) * len(differences) ** -0.2
    drawn = rng.choice(differences, size=(_SIMULATIONS, n))
    return np.asarray(drawn + width * rng.standard_normal(drawn.shape))


def _power(samples: FloatArray, alpha: float) -> float:
    """The share of ``samples`` [simulations, n] in which the two-sided signed-rank test rejects."""
    critical = _critical(samples.shape[1], alpha)
    if critical is None:
        return 0.0
    ranks = np.abs(samples).argsort(axis=1).argsort(axis=1) + 1
    return float(np.mean(np.abs((np.sign(samples) * ranks).sum(axis=1)) >= critical))


@lru_cache(maxsize=256)
def _critical(n: int, alpha: float) -> float | None:
    """The smallest absolute sum of signed ranks whose two-sided p is at most ``alpha``; None if none is."""
    total = n * (n + 1) // 2
    if n > 60:  # the normal limit is exact to three digits here
        from scipy.stats import norm

        return float(norm.isf(alpha / 2) * np.sqrt(n * (n + 1) * (2 * n + 1) / 6))
    counts = np.zeros(total + 1)  # of subsets of 1..n by their sum: the positive ranks
    counts[0] = 1
    for rank in range(1, n + 1):
        counts[rank:] += counts[:-rank].copy()
    tail = 2 * np.cumsum(counts[::-1]) / 2.0**n  # p of a positive sum of at least total - k
    allowed = np.flatnonzero(tail <= alpha)
    return float(2 * (total - allowed[-1]) - total) if len(allowed) else None
