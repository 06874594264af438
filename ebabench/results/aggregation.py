"""Aggregate records over the targets of a suite: values, bootstrap intervals and the noise floor.

An aggregate is a function of how often each target counts. The value counts every target once. A bootstrap resample
counts a target as often as it was drawn. One implementation computes both, for all resamples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ebabench.scoring.noise_floor import perfect_share
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.spec import Aggregate, MetricSpec
from ebabench.structures.arrays import FloatArray

Counts = npt.NDArray[np.int64]
"""[B, T]: how often resample b contains target t."""
Columns = tuple[tuple[float, ...], ...]
"""For one target: one tuple of numbers per key of the aggregate."""

RESAMPLES = 10_000
CONFIDENCE = 0.95
FEWEST_TARGETS = 3


@dataclass(frozen=True)
class Estimate:
    """An aggregate with its 95 % interval.

    Attributes:
        value: The aggregate; NaN if there is none.
        low: Lower end of the interval; NaN if there is none.
        high: Upper end.
        n_targets: Number of targets with a defined value.
        n_undefined: Number of targets without one.
        reason: Why there is no value or no interval.
    """

    value: float
    low: float
    high: float
    n_targets: int
    n_undefined: int
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """One line of summary.csv.

    Attributes:
        spec: The metric.
        estimate: The aggregate of the model.
        floor: The same aggregate with an MD replica as the model, mean over replicas.
        perfect: The least that a perfect model is expected to have (``perfect_score``).
    """

    spec: MetricSpec
    estimate: Estimate
    floor: float
    perfect: float = np.nan


def sources(spec: MetricSpec) -> tuple[str, ...]:
    """Return the per-target keys from which a metric is aggregated."""
    return spec.of or (spec.key,)


def columns(figures: MetricValues, keys: Sequence[str]) -> Columns | None:
    """Return the numbers of ``keys`` for one target; None if one is missing or NaN.

    Args:
        figures: The values of the target.
        keys: Keys of the aggregate.
    """
    found = [figures.numbers(key) for key in keys]
    if any(numbers is None or not numbers or not np.isfinite(numbers).all() for numbers in found):
        return None
    return tuple(numbers for numbers in found if numbers is not None)


@lru_cache(maxsize=16)
def resample(n_targets: int, resamples: int = RESAMPLES, seed: int = 0) -> Counts:
    """Return the counts [B, T] of bootstrap resamples: T targets drawn out of T, with replacement.

    Args:
        n_targets: T.
        resamples: B.
        seed: Seed of the draw.

    Example:
        >>> resample(5, resamples=3).sum(axis=1).tolist()
        [5, 5, 5]
    """
    uniform = np.full(n_targets, 1 / n_targets)
    counts = np.random.default_rng(seed).multinomial(n_targets, uniform, size=resamples).astype(np.int64)
    counts.flags.writeable = False  # all metrics and models of a suite share the draw
    return counts


def aggregate(kind: Aggregate, data: Sequence[Columns], counts: Counts) -> FloatArray:
    """Return the aggregate [B] for each row of counts.

    Args:
        kind: The kind of aggregate.
        data: One item per target.
        counts: [B, T], how often each target counts.

    Example:
        >>> aggregate("mean", [((1.0,),), ((4.0,),)], np.array([[1, 1], [2, 1]])).tolist()
        [2.5, 2.0]
    """
    return _AGGREGATES[kind](data, counts)


def interval(kind: Aggregate, data: Sequence[Columns], n_undefined: int = 0, seed: int = 0) -> Estimate:
    """Return an aggregate over targets with its 95 % percentile bootstrap interval.

    The bootstrap draws targets, because a suite is a sample of targets and values of one target are not independent.
    The percentile interval needs nothing but the aggregate, respects its range, and does not break down for a median of
    few targets, as BCa and studentised intervals do. With few targets its coverage is below 95 %: see
    ``docs/explanation/uncertainty.md`` and ``experiments/interval_coverage.py``.

    Args:
        kind: The kind of aggregate.
        data: The numbers of each target with a defined value.
        n_undefined: Number of targets without a defined value.
        seed: Seed of the bootstrap.
    """
    n = len(data)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, n_undefined, "no target has a defined value")
    value = float(aggregate(kind, data, np.ones((1, n), dtype=np.int64))[0])
    if n < FEWEST_TARGETS:
        reason = f"no interval: {n} of the at least {FEWEST_TARGETS} targets that one needs"
        return Estimate(value, np.nan, np.nan, n, n_undefined, reason)
    low, high = percentiles(aggregate(kind, data, resample(n, seed=seed)))
    return Estimate(value, low, high, n, n_undefined)


def percentiles(distribution: FloatArray) -> tuple[float, float]:
    """Return the ends of the central 95 % of a bootstrap distribution. Undefined resamples are excluded.

    Args:
        distribution: [B], aggregates of resamples.
    """
    defined = distribution[np.isfinite(distribution)]
    if not len(defined):
        return np.nan, np.nan
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return float(low), float(high)


def summarise(records: Sequence[Record], specs: Sequence[MetricSpec], seed: int = 0) -> list[Row]:
    """Return one Row per metric that is aggregated. A failed target counts as undefined.

    Args:
        records: One record per target.
        specs: The metrics.
        seed: Seed of the bootstrap.
    """
    return [_row(records, spec, seed) for spec in specs if spec.aggregate is not None]


def _row(records: Sequence[Record], spec: MetricSpec, seed: int) -> Row:
    assert spec.aggregate is not None
    keys = sources(spec)
    data = [found for record in records if (found := columns(record.figures, keys)) is not None]
    estimate = interval(spec.aggregate, data, len(records) - len(data), seed)
    if not data and (why := reasons(records, keys)):
        estimate = Estimate(np.nan, np.nan, np.nan, 0, len(records), why)
    floor = floor_of(records, spec)
    replicas = max((len(record.floor) for record in records), default=0)
    return Row(spec, estimate, floor, perfect_score(spec, floor, replicas))


def reasons(records: Sequence[Record], keys: Sequence[str]) -> str:
    """Return the distinct reasons why targets lack one of ``keys``, the most frequent first.

    Args:
        records: One record per target.
        keys: Keys of the aggregate.
    """
    found = []
    for record in records:
        if columns(record.figures, keys) is None:
            stated = [record.figures.reasons[key] for key in keys if key in record.figures.reasons]
            found.append(record.error or next(iter(stated), "undefined"))
    return "; ".join(sorted(set(found), key=lambda reason: (-found.count(reason), reason)))


def perfect_score(spec: MetricSpec, floor: float, replicas: int) -> float:
    """Return the least score that a perfect model is expected to have, from the floor (``perfect_share``).

    The floor is that of one more replica. NaN without a floor, and where the value nearest to MD is best.

    Args:
        spec: The metric.
        floor: Its floor.
        replicas: Number of replicas of the references.
    """
    if replicas < 2 or spec.better == "reference":
        return np.nan
    ideal = {"lower": 0.0, "higher": 100.0 if spec.unit == "%" else 1.0}[spec.better]
    return ideal + perfect_share(replicas) * (floor - ideal)


def floor_of(records: Sequence[Record], spec: MetricSpec) -> float:
    """Return the aggregate of a metric with each MD replica as the model, mean over replicas; NaN without a floor.

    Args:
        records: One record per target.
        spec: The metric.
    """
    assert spec.aggregate is not None
    keys, values = sources(spec), []
    for replica in range(max((len(record.floor) for record in records), default=0)):
        figures = [record.floor[replica] for record in records if replica < len(record.floor)]
        data = [found for item in figures if (found := columns(item, keys)) is not None]
        if data:
            values.append(float(aggregate(spec.aggregate, data, np.ones((1, len(data)), dtype=np.int64))[0]))
    return float(np.mean(values)) if values else np.nan


def _mean(data: Sequence[Columns], counts: Counts) -> FloatArray:
    sums = np.array([np.sum(column) for (column,) in data])
    sizes = np.array([len(column) for (column,) in data])
    return np.asarray(counts @ sums / (counts @ sizes), dtype=np.float64)


def _percent_above_half(data: Sequence[Columns], counts: Counts) -> FloatArray:
    above = [(tuple(float(value > 0.5) for value in column),) for (column,) in data]
    return 100 * _mean(above, counts)


def _median(data: Sequence[Columns], counts: Counts) -> FloatArray:
    """The median of all numbers of all targets, each as often as its target: mean of the two middle ones if even."""
    if all(len(column) == 1 for (column,) in data):
        return _median_of_targets(np.array([column[0] for (column,) in data]), counts)
    ordered = [np.sort(column) for (column,) in data]
    grid = np.sort(np.concatenate(ordered))
    total = counts @ np.array([len(column) for column in ordered])
    middle = [_order_statistic(ordered, grid, counts, rank) for rank in ((total - 1) // 2, total // 2)]
    return (middle[0] + middle[1]) / 2


def _median_of_targets(values: FloatArray, counts: Counts) -> FloatArray:
    """The same median where each target has one number: where the counts in the order of the numbers reach the half."""
    order = np.argsort(values)
    reached = np.cumsum(counts[:, order], axis=1)
    total = reached[:, -1]
    low, high = (values[order][np.argmax(reached > rank[:, None], axis=1)] for rank in ((total - 1) // 2, total // 2))
    return np.asarray((low + high) / 2)


def _order_statistic(
    ordered: Sequence[FloatArray], grid: FloatArray, counts: Counts, rank: npt.NDArray[np.int64]
) -> FloatArray:
    """The number of each resample that has ``rank`` [B] others below it.

    By bisection, all resamples at a time: to pool and sort the atoms of a suite 10,000 times would take minutes.
    """
    low = np.zeros(len(counts), dtype=np.int64)
    high = np.full(len(counts), len(grid) - 1)
    while (low < high).any():
        middle = (low + high) // 2
        below = sum(
            count * np.searchsorted(column, grid[middle], side="right")
            for count, column in zip(counts.T, ordered, strict=True)
        )
        enough = below > rank
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle + 1)
    return np.asarray(grid[low])


def _pearson(data: Sequence[Columns], counts: Counts) -> FloatArray:
    """Pearson's r over all pairs of numbers of all targets, from sums that are kept target by target."""
    shift = [np.mean(np.concatenate([target[side] for target in data])) for side in (0, 1)]
    sums = []
    for target in data:
        x, y = (np.asarray(target[side]) - shift[side] for side in (0, 1))
        sums.append((len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y))
    n, x, y, xx, yy, xy = (counts @ np.array(sums)).T
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    # Numbers that are all alike (one target drawn many times, say) have no correlation: rounding must not make one.
    flat = (spread_x <= 1e-12 * xx) | (spread_y <= 1e-12 * yy)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(flat, np.nan, np.clip((xy - x * y / n) / np.sqrt(spread_x * spread_y), -1, 1)))


_AGGREGATES: dict[Aggregate, Callable[[Sequence[Columns], Counts], FloatArray]] = {
    "median": _median,
    "mean": _mean,
    "pooled_median": _median,
    "pearson": _pearson,
    "pooled_pearson": _pearson,
    "percent_above_half": _percent_above_half,
}
