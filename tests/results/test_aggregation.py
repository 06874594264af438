import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_runs import spec

from ebabench.results import aggregation as statistics
from ebabench.results.aggregation import aggregate, interval, percentiles, resample, summarise
from ebabench.results.flags import disagreement, marks
from ebabench.scoring.records import MetricValues, Record

rng = np.random.default_rng(7)
ONE_NUMBER = [((float(value),),) for value in rng.normal(size=9)]
PROFILES = [(tuple(rng.normal(size=size)),) for size in (4, 11, 1, 30, 7)]
PAIRS = [(tuple(x), tuple(x + rng.normal(size=len(x)))) for x in (rng.normal(size=n) for n in (5, 12, 3, 8))]


def record(name, floor=(), error=None, **values):
    figures = MetricValues({key: value for key, value in values.items() if isinstance(value, float)})
    return Record(name, "AG", "md-implicit", 10, 30, 1.0, {}, figures, floor, error=error)


def pooled(data, counts, side=0):
    return np.concatenate([np.tile(target[side], count) for target, count in zip(data, counts, strict=True)])


@pytest.mark.parametrize(
    ("kind", "data", "of_pool"),
    [
        ("median", ONE_NUMBER, np.median),
        ("pooled_median", PROFILES, np.median),
        ("mean", ONE_NUMBER, np.mean),
        ("percent_above_half", ONE_NUMBER, lambda x: 100 * np.mean(x > 0.5)),
    ],
)
def test_an_aggregate_is_what_numpy_says_of_the_repeated_targets(kind, data, of_pool):
    counts = resample(len(data), 200, seed=3)
    expected = [of_pool(pooled(data, row)) for row in counts]
    assert aggregate(kind, data, counts) == pytest.approx(expected, abs=1e-12)


def test_a_pooled_correlation_is_numpys():
    counts = resample(len(PAIRS), 200, seed=3)
    expected = [np.corrcoef(pooled(PAIRS, row, 0), pooled(PAIRS, row, 1))[0, 1] for row in counts]
    assert aggregate("pooled_pearson", PAIRS, counts) == pytest.approx(expected, abs=1e-10)


def test_a_correlation_needs_something_that_varies():
    flat = [((2.0,), (float(k),)) for k in range(5)]
    assert math.isnan(interval("pearson", flat).value)
    one_target_many_times = np.array([[0, 5, 0, 0, 0]])
    sloped = [((0.1 * k + 1e3,), (0.3 * k,)) for k in range(5)]
    assert math.isnan(aggregate("pearson", sloped, one_target_many_times)[0])
    assert interval("pearson", sloped).value == pytest.approx(1)


@pytest.mark.parametrize(("kind", "least"), [("median", 0.90), ("mean", 0.85)])
def test_the_interval_over_eight_targets_covers_the_truth_as_often_as_stated(kind, least):
    truth, covered, trials = 3.0, 0, 300
    draws = np.random.default_rng(11).normal(truth, 2, size=(trials, 8))
    counts = resample(8, 2000)
    for draw in draws:
        low, high = percentiles(aggregate(kind, [((x,),) for x in draw], counts))
        covered += low <= truth <= high
    assert least < covered / trials < 0.97


def test_the_interval_shrinks_with_the_root_of_the_targets():
    values = np.random.default_rng(2).normal(size=25)
    widths = []
    for times in (1, 16):
        found = interval("mean", [((x,),) for x in np.tile(values, times)])
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.05)


def test_the_interval_is_the_same_every_time_and_other_with_another_seed():
    assert interval("median", ONE_NUMBER) == interval("median", ONE_NUMBER)
    assert interval("mean", ONE_NUMBER, seed=1) != interval("mean", ONE_NUMBER, seed=2)


def test_few_targets_have_a_value_but_no_interval():
    found = interval("median", ONE_NUMBER[:2], n_undefined=1)
    assert found.value == pytest.approx(np.mean([ONE_NUMBER[0][0], ONE_NUMBER[1][0]]))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert "3 targets" in found.reason
    assert (found.n_targets, found.n_undefined) == (2, 1)
    nothing = interval("median", [])
    assert math.isnan(nothing.value)
    assert nothing.reason


def test_undefined_and_failed_targets_are_counted_and_not_averaged():
    records = [record(str(k), a=float(k)) for k in range(5)]
    records += [record("x", a=math.nan), record("y", error="torn")]
    (row,) = summarise(records, [spec("a", aggregate="mean"), spec("b")])
    assert row.estimate.value == 2
    assert (row.estimate.n_targets, row.estimate.n_undefined) == (5, 2)


def test_a_profile_with_a_hole_is_undefined():
    whole = replace(record("x"), figures=MetricValues(profiles={"p": (1.0, 2.0)}))
    holed = replace(record("y"), figures=MetricValues(profiles={"p": (1.0, math.nan)}))
    (row,) = summarise([whole, holed], [spec("p", aggregate="pooled_median")])
    assert (row.estimate.value, row.estimate.n_undefined) == (1.5, 1)


def test_what_no_target_has_says_why():
    lacking = [replace(record(str(k)), figures=MetricValues(reasons={"a": "no side chains"})) for k in range(3)]
    (row,) = summarise([*lacking, record("x", error="torn")], [spec("a", aggregate="median")])
    assert math.isnan(row.estimate.value)
    assert row.estimate.reason == "no side chains; torn"
    assert row.estimate.n_undefined == 4


def test_the_floor_is_the_mean_over_replicas_of_the_aggregate():
    records = [
        record(str(k), floor=tuple(MetricValues({"a": float(k + shift)}) for shift in (0, 10, 50)), a=0.0)
        for k in range(3)
    ]
    (row,) = summarise(records, [spec("a", aggregate="median")])
    assert row.floor == pytest.approx(np.mean([1, 11, 51]))
    assert math.isnan(summarise([record("x", a=1.0)], [spec("a", aggregate="median")])[0].floor)


def test_the_value_lies_within_the_range_that_its_kind_allows():
    found = interval("pearson", [((x,), (x + 1e-9 * y,)) for x, y in rng.normal(size=(6, 2))])
    assert found.low <= found.value <= found.high <= 1
    found = interval("percent_above_half", ONE_NUMBER)
    assert 0 <= found.low <= found.high <= 100


def test_resamples_draw_as_many_targets_as_there_are():
    counts = resample(6, 1000)
    assert counts.shape == (1000, 6)
    assert (counts.sum(1) == 6).all()
    assert counts.mean(0) == pytest.approx(np.ones(6), abs=0.1)
    assert statistics.RESAMPLES == 10_000


@pytest.mark.parametrize(("own", "collapsed"), [(2.0, False), (1.1, False), (0.4, True), (0.0, True)])
@pytest.mark.parametrize("key", ["pairwise_rmsd", "effective_conformations"])
def test_a_collapsed_ensemble_is_marked(key, own, collapsed):
    found = record("x", **{key: own, f"md_{key}": 2.0})
    assert bool(marks(found)) is collapsed
    assert marks(record("x", **{f"md_{key}": 2.0})) == []


def test_replicas_in_basins_of_their_own_are_marked():
    def floor(distance, noise=0.4):
        figures = MetricValues({"md_pca_w2": distance, "md_vs_md_pca_w2": noise, "md_pairwise_rmsd": 2.0})
        return (figures,) * 3

    assert disagreement(record("x", floor=floor(0.4))) == pytest.approx(0)
    assert disagreement(record("x", floor=floor(2.0, noise=0.0))) == pytest.approx(1)
    assert marks(record("x", floor=floor(0.9))) == []
    assert marks(record("x", floor=floor(1.9))) == ["replicas disagree (0.86)"]
    assert marks(record("x")) == []
