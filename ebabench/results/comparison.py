"""Two runs on the same targets: which is better, metric by metric, or that they cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ebabench.errors import InputError
from ebabench.results.aggregation import (
    FEWEST_TARGETS,
    RESAMPLES,
    Columns,
    Counts,
    aggregate,
    columns,
    floor_of,
    percentiles,
    resample,
    sources,
)
from ebabench.results.claims import Correction, adjusted, detectable_difference, targets_needed
from ebabench.results.identity import changed_references
from ebabench.results.runs import Run
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.structures.arrays import FloatArray

SIGNIFICANCE = 0.05
APART, SAME, NOTHING = "better", "cannot be told apart", "nothing to compare"
EQUIVALENT = "equivalent"
FEWEST_FOR_VERDICT = 6

Contrast = Callable[[Counts, Counts], FloatArray]
"""[B]: how much more the one run has than the other, from how often each target counts for each of them."""


@dataclass(frozen=True)
class Difference:
    """One metric of two runs over the targets where both have it.

    Attributes:
        spec: The metric.
        a: The first run's aggregate over these targets.
        b: The second run's.
        difference: A less B, see ``compare``.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Raw p of the permutation test.
        p_adjusted: The same, adjusted for the number of metrics that were compared together.
        n_targets: How many targets both runs have.
        leader: The model with the better figure, if the interval leaves out 0; else empty.
        margin: The distance of the noise floor from a perfect value; differences below it are called equivalent.
        equivalent: Whether the 90 % interval lies within the margin (two one-sided tests at 5 %).
        own: The differences of the targets; empty for pooled metrics, correlations and percentages.
    """

    spec: MetricSpec
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    n_targets: int
    leader: str
    margin: float = np.nan
    equivalent: bool = False
    own: tuple[float, ...] = ()

    @cached_property
    def detectable(self) -> float:
        """The difference that so many targets tell with a power of 80 %; NaN for pooled metrics."""
        return detectable_difference(np.array(self.own), SIGNIFICANCE) if self.own else np.nan

    @cached_property
    def targets_needed(self) -> float:
        """How many targets tell the observed difference with a power of 80 %; NaN for pooled metrics."""
        return targets_needed(np.array(self.own), SIGNIFICANCE) if self.own else np.nan

    @property
    def winner(self) -> str:
        """The model that is better by the adjusted p; empty if neither is."""
        return self.leader if self.p_adjusted <= SIGNIFICANCE else ""

    @property
    def verdict(self) -> str:
        """In words: one is better, both are equivalent, or the targets are too few to tell."""
        if self.winner:
            return f"{self.winner} {APART}"
        if not self.n_targets:
            return NOTHING
        return EQUIVALENT if self.equivalent else SAME


def compare(
    a: Run, b: Run, specs: Sequence[MetricSpec], seed: int = 0, correction: Correction = "holm"
) -> list[Difference]:
    """Return paired differences, A less B, over the targets that both runs have.

    For a metric whose aggregate is a median or mean over targets, the difference is the median or mean of the
    targets' own differences. For the others (pooled, correlations, percentages) it is the difference of the
    aggregates. Where nearest to MD is best, it is the difference of the distances to MD's own figure.

    The interval is the percentile bootstrap over targets, each drawn with both its sides. The p value is that of a
    permutation test that exchanges the two sides of targets (of signed ranks, for medians and means). It is exact for
    any number of targets. A run is called better only if the interval leaves out 0 and the p value, adjusted for the
    number of metrics in ``specs``, is at most 5 %. Below 6 targets there is never a verdict.

    A tie says two more things: which difference these targets would have told with a power of 80 %, and how many
    targets would tell the observed one. Two runs are equivalent where the 90 % interval of the difference lies within
    the margin: the distance of the noise floor from a perfect value.

    Args:
        a: The first run.
        b: The second run.
        specs: The metrics that are compared. Name few: each one more costs power.
        seed: Seed of the resampling.
        correction: How p values are adjusted for the number of metrics.

    Returns:
        One Difference per metric that is aggregated.

    Raises:
        InputError: The runs are not comparable: other suite, tier, protocol, energies, references, samples or metric
            versions, or no target in common.
    """
    if faults := _mismatches(a, b):
        raise InputError(f"{a.folder} and {b.folder} cannot be compared: {'; '.join(faults)}", code="compare.mismatch")
    of_b = {record.target: record for record in b.records() if not record.error}
    paired = [(record, of_b[record.target]) for record in a.records() if not record.error and record.target in of_b]
    if not paired:
        raise InputError(f"{a.folder} and {b.folder} have no scored target in common", code="compare.no_common_target")
    names = (a.identity.model, b.identity.model) if a.identity.model != b.identity.model else ("first", "second")
    compared = [
        spec
        for spec in specs
        if spec.aggregate is not None and not (spec.better == "reference" and spec.reference_key is None)
    ]
    found = [_difference(spec, paired, names, seed) for spec in compared]
    p = adjusted([row.p for row in found], correction)
    return [replace(row, p_adjusted=float(value)) for row, value in zip(found, p, strict=True)]


def tests(differences: Sequence[Difference]) -> int:
    """Return how many metrics were tested together: those that have a p value."""
    return sum(not np.isnan(row.p) for row in differences)


def _mismatches(a: Run, b: Run) -> list[str]:
    ours, theirs = a.identity, b.identity
    faults = [
        f"{name} {getattr(ours, name)} and {getattr(theirs, name)}"
        for name in ("suite", "folder", "tier", "protocol", "energy")
        if getattr(ours, name) != getattr(theirs, name)
    ]
    digests = {ours.suite_digest, theirs.suite_digest} - {""}  # earlier versions did not say
    if len(digests) > 1:
        faults.append(f"the suite {ours.suite} was changed between them")
    if changed := changed_references(ours.references, theirs.references):
        faults.append(f"other references of {', '.join(changed)}")
    records = [[record for record in run.records() if not record.error] for run in (a, b)]
    samples = [sorted({record.n_samples for record in side}) for side in records]
    if samples[0] != samples[1]:
        faults.append(f"samples {samples[0]} and {samples[1]}")
    versions = [{key: v for record in side for key, v in record.metric_versions.items()} for side in records]
    if newer := [key for key, version in versions[0].items() if versions[1].get(key, version) != version]:
        faults.append(f"other versions of {', '.join(sorted(newer))}; score both again")
    return faults


def _difference(
    spec: MetricSpec, paired: Sequence[tuple[Record, Record]], names: tuple[str, str], seed: int
) -> Difference:
    assert spec.aggregate is not None
    keys, md_keys = sources(spec), (spec.reference_key,) if spec.better == "reference" and spec.reference_key else ()
    both = [[columns(record.figures, (*keys, *md_keys)) for record in pair] for pair in paired]
    data = [(one, other) for one, other in both if one is not None and other is not None]
    n = len(data)
    if not n:
        return Difference(spec, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 0, "")
    sides = [[pair[side][: len(keys)] for pair in data] for side in (0, 1)]
    md = [[pair[side][len(keys) :] for pair in data] for side in (0, 1)] if md_keys else None
    once = np.ones((1, n), dtype=np.int64)
    value_a, value_b = (float(aggregate(spec.aggregate, side, once)[0]) for side in sides)
    counts = resample(n, seed=seed)
    per_target: FloatArray = np.array([])
    if spec.aggregate in ("median", "mean") and all(len(target[0]) == 1 for target in sides[0]):
        own = _own_differences(sides, md)
        found, spread = (aggregate(spec.aggregate, [((x,),) for x in own], c) for c in (once, counts))
        p = _signed_rank_p(own, seed)
        per_target = own
    else:
        contrast = _contrast(spec, sides, md)
        found, spread = (contrast(_side(c, 0), _side(c, 1)) for c in (once, counts))
        p = _exchange_p(contrast, n, seed)
    difference = float(found[0])
    low, high = percentiles(spread) if n >= FEWEST_TARGETS else (np.nan, np.nan)
    leader = names[int((low > 0) != (spec.better == "higher"))] if low > 0 or high < 0 else ""
    margin = _margin(spec, [record for record, _ in paired])
    inner = np.quantile(spread[np.isfinite(spread)], (0.05, 0.95)) if n >= FEWEST_FOR_VERDICT else (np.nan, np.nan)
    return Difference(
        spec,
        value_a,
        value_b,
        difference,
        low,
        high,
        p,
        p,
        n,
        leader,
        margin,
        bool(-margin <= inner[0] and inner[1] <= margin),
        tuple(per_target.tolist()),
    )


def _margin(spec: MetricSpec, records: Sequence[Record]) -> float:
    """How far the noise floor is from a perfect value: from 0, from 1 or 100 %, or from MD's own figure."""
    floor = floor_of(records, spec)
    if spec.better == "lower":
        return floor
    if spec.better == "higher":
        return (100.0 if spec.unit == "%" else 1.0) - floor
    assert spec.reference_key is not None
    md = [found for record in records if (found := columns(record.figures, (spec.reference_key,))) is not None]
    assert spec.aggregate is not None
    once = np.ones((1, len(md)), dtype=np.int64)
    return float(abs(aggregate(spec.aggregate, md, once)[0] - floor)) if md else np.nan


def _own_differences(sides: Sequence[Sequence[Columns]], md: Sequence[Sequence[Columns]] | None) -> FloatArray:
    """A less B [T], target by target; of the distances to MD where ``md`` is given."""
    a, b = (np.array([target[0][0] for target in side]) for side in sides)
    if md is not None:
        md_a, md_b = (np.array([target[0][0] for target in side]) for side in md)
        a, b = np.abs(a - md_a), np.abs(b - md_b)
    return np.asarray(a - b)


def _contrast(spec: MetricSpec, sides: Sequence[Sequence[Columns]], md: Sequence[Sequence[Columns]] | None) -> Contrast:
    """A's aggregate less B's, each over targets of either side: the first T counts are A's, the others B's."""
    assert spec.aggregate is not None
    kind, data = spec.aggregate, [*sides[0], *sides[1]]
    of_md = [*md[0], *md[1]] if md is not None else None

    def one(counts: Counts) -> FloatArray:
        value = aggregate(kind, data, counts)
        return value if of_md is None else np.abs(value - aggregate(kind, of_md, counts))

    return lambda first, second: np.asarray(one(first) - one(second))


def _side(counts: Counts, side: int) -> Counts:
    """Counts [B, T] of one side's targets as counts [B, 2T] of both sides'."""
    empty = np.zeros_like(counts)
    return np.concatenate([empty, counts] if side else [counts, empty], axis=1)


def _signed_rank_p(own: FloatArray, seed: int) -> float:
    from scipy.stats import permutation_test, rankdata

    if len(own) < 2:
        return 1.0  # both exchanges of one target are as large
    signed_ranks = np.sign(own) * rankdata(np.abs(own))  # an exchange of sides turns the sign and leaves the rank
    rng = np.random.default_rng(seed)
    found = permutation_test(
        (signed_ranks,), np.sum, permutation_type="samples", vectorized=True, n_resamples=RESAMPLES, rng=rng
    )
    return float(found.pvalue)


def _exchange_p(contrast: Contrast, n: int, seed: int) -> float:
    from scipy.stats import permutation_test

    if n < 2:
        return 1.0

    def of_sides(first: FloatArray, second: FloatArray, axis: int) -> FloatArray:
        counts = [(np.moveaxis(x, axis, -1)[..., None] == np.arange(2 * n)).sum(-2) for x in (first, second)]
        shape = counts[0].shape
        return contrast(*(c.reshape(-1, 2 * n) for c in counts)).reshape(shape[:-1])

    rng = np.random.default_rng(seed)
    sides = (np.arange(n), np.arange(n) + n)
    found = permutation_test(
        sides, of_sides, permutation_type="samples", vectorized=True, n_resamples=RESAMPLES, batch=1000, rng=rng
    )
    return float(found.pvalue)
