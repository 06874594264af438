"""MD-equivalent time: how many nanoseconds of molecular dynamics give the error that a model has.

A model's error is inverted on the error curve of MD (``ebabench.scoring.md_curve``). Nothing is extrapolated: a model
better than every window is worth at least the longest, one worse than every window at most the shortest. Such values
are censored, and the median over targets respects that (Kaplan and Meier, J. Am. Stat. Assoc. 53, 457 (1958)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ebabench.results.aggregation import percentiles
from ebabench.scoring.md_curve import ErrorCurve
from ebabench.scoring.records import MetricValues
from ebabench.scoring.spec import MetricSpec
from ebabench.structures.arrays import FloatArray, IndexArray

Censored = Literal["", "at least", "at most"]
_CENSORED: tuple[Censored, Censored, Censored] = ("", "at least", "at most")  # by the sign: 0, 1, -1
_BOOTSTRAPS = 400


@dataclass(frozen=True)
class EquivalentTime:
    """A length of MD.

    Attributes:
        nanoseconds: The length, or the bound where it is censored; NaN where there is none.
        low: Lower end of the 95 % interval.
        high: Upper end; infinite where the upper end is censored.
        censored: Whether ``nanoseconds`` is a bound.
        n_targets: How many targets it is made from.
    """

    nanoseconds: float
    low: float
    high: float
    censored: Censored = ""
    n_targets: int = 1

    def __str__(self) -> str:
        if np.isnan(self.nanoseconds):
            return "–"
        return f"{self.sign}{self.nanoseconds:.3g} ns"

    @property
    def sign(self) -> str:
        """The sign before a bound; empty for what is none."""
        return {"": "", "at least": "≥ ", "at most": "≤ "}[self.censored]


def error(spec: MetricSpec, figures: MetricValues) -> float:
    """Return how far figures are from the best: larger is worse. NaN where the metric is not a number of a target.

    Args:
        spec: The metric. One that is an aggregate of other keys has no error per target.
        figures: Those of one target.
    """
    if spec.of or spec.key not in figures.values:
        return float("nan")
    value = figures.values[spec.key]
    if spec.better == "lower":
        return value
    if spec.better == "higher":
        return -value
    md = figures.values.get(spec.reference_key or "", np.nan)
    return abs(value - md)


def equivalent_time(
    spec: MetricSpec, figures: MetricValues, curve: ErrorCurve, frame_ns: float, seed: int = 0
) -> EquivalentTime:
    """Return the MD-equivalent time of one target.

    Args:
        spec: The metric.
        figures: Those of the model's ensemble.
        curve: The error of MD by its length, for the same metric and number of samples.
        frame_ns: The time between two frames, in nanoseconds.
        seed: Seed of the bootstrap over windows.

    Returns:
        The length at which MD has the model's error, with a 95 % interval over windows. The median over windows of
        each length, made monotone by isotonic regression and linear in the logarithm of time, is inverted.
    """
    own = error(spec, figures)
    lengths = np.array(curve.lengths(frame_ns))
    errors = np.array([error(spec, item) for item in curve.figures])
    sizes = np.unique(lengths)
    groups = [errors[(lengths == size) & np.isfinite(errors)] for size in sizes]
    if not np.isfinite(own) or any(not len(group) for group in groups):
        return EquivalentTime(np.nan, np.nan, np.nan, n_targets=0)
    (value,), (how,) = _invert(own, sizes, np.array([[np.median(group) for group in groups]]))
    drawn = _draws(tuple(map(len, groups)), seed)
    medians = [np.median(group[of_size], axis=1) for group, of_size in zip(groups, drawn, strict=True)]
    again, bounds = _invert(own, sizes, np.stack(medians, axis=1))
    spread = np.where(bounds > 0, np.inf, again)
    low, high = np.quantile(spread, (0.025, 0.975), method="closest_observation")
    return EquivalentTime(float(value), float(min(low, value)), float(max(high, value)), _CENSORED[how])


@lru_cache(maxsize=64)
def _draws(counts: tuple[int, ...], seed: int) -> tuple[IndexArray, ...]:
    """Bootstrap draws of so many windows a size [_BOOTSTRAPS, count]: alike for all metrics and targets."""
    rng = np.random.default_rng(seed)
    drawn = [[rng.integers(0, count, count) for count in counts] for _ in range(_BOOTSTRAPS)]
    return tuple(np.stack(of_size) for of_size in zip(*drawn, strict=True))


def _invert(own: float, sizes: FloatArray, medians: FloatArray) -> tuple[FloatArray, IndexArray]:
    """Return the length at which each curve [C, S] falls to an error, and its sign: 1 at least, -1 at most, 0 found."""
    from scipy.optimize import isotonic_regression

    falling = medians.copy()
    for row in np.flatnonzero((medians[:, 1:] > medians[:, :-1]).any(axis=1)):
        falling[row] = isotonic_regression(medians[row], increasing=False).x
    above = np.maximum((falling >= own).sum(axis=1) - 1, 0)
    below = np.minimum(above + 1, len(sizes) - 1)
    rows, log = np.arange(len(falling)), np.log(sizes)
    left, right = falling[rows, above], falling[rows, below]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # elsewhere it is a bound or the plateau
        found = np.exp(log[above] + (left - own) / (left - right) * (log[below] - log[above]))
    last = falling[:, -1]
    # A flat end of the curve: MD has this error from the first length of the plateau on.
    ends = falling == last[:, None]
    plateau = (own == last) & (ends.sum(axis=1) > 1)
    at_least, at_most = (own <= last) & ~plateau, own > falling[:, 0]
    found = np.select([plateau, at_least, at_most], [sizes[ends.argmax(axis=1)], sizes[-1], sizes[0]], found)
    return found, at_least.astype(np.int64) - at_most


def median_time(times: Sequence[EquivalentTime], seed: int = 0) -> EquivalentTime:
    """Return the median over targets of MD-equivalent times, some of them censored.

    Args:
        times: One per target; those without a value are left out.
        seed: Seed of the bootstrap over targets.

    Returns:
        The Kaplan-Meier median, with a 95 % percentile bootstrap interval over targets (infinite upper end where more
        than half are worth more MD than there is).
    """
    # Sorted, so that the interval does not depend on the order of the targets.
    known = sorted(
        (time for time in times if np.isfinite(time.nanoseconds)), key=lambda time: (time.nanoseconds, time.censored)
    )
    if not known:
        return EquivalentTime(np.nan, np.nan, np.nan, n_targets=0)
    values = np.array([time.nanoseconds for time in known])
    right = np.array([time.censored == "at least" for time in known])
    left = np.array([time.censored == "at most" for time in known])
    value, censored = _kaplan_meier(values, right, left)
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(known), len(known)) for _ in range(_BOOTSTRAPS)]
    spread = [_kaplan_meier(values[draw], right[draw], left[draw]) for draw in draws]
    ends = np.array([np.inf if how == "at least" else found for found, how in spread])
    low, high = (
        np.quantile(ends, (0.025, 0.975), method="closest_observation") if np.isinf(ends).any() else percentiles(ends)
    )
    return EquivalentTime(value, float(min(low, value)), float(max(high, value)), censored, len(known))


def _kaplan_meier(
    values: FloatArray,
    right: np.ndarray[tuple[int], np.dtype[np.bool_]],
    left: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> tuple[float, Censored]:
    """The time at which the survival function falls to one half; a bound where it does not, or at a left bound."""
    from scipy.stats import CensoredData, ecdf

    if right.all():
        return float(values.min()), "at least"
    survival = ecdf(CensoredData(uncensored=values[~right], right=values[right])).sf
    at = np.flatnonzero(survival.probabilities <= 0.5 + 1e-12)
    if not len(at):
        return float(values.max()), "at least"
    found = float(survival.quantiles[at[0]])
    # Half of the targets lie at their left bound or below: the median is a bound itself.
    return found, "at most" if np.mean(left & (values <= found)) >= 0.5 else ""


def headline(medians: Sequence[EquivalentTime]) -> EquivalentTime:
    """Return the median over metrics of MD-equivalent times: the headline of a row of the board.

    Args:
        medians: One per primary metric, each a median over targets.
    """
    return median_time(medians)
