"""MD-equivalent time: what is known of it in closed form, and its censoring."""

from itertools import pairwise

import numpy as np
import pytest
from synthetic_runs import spec

from ebabench.results.md_equivalent import EquivalentTime, equivalent_time, error, median_time
from ebabench.scoring.md_curve import ErrorCurve, Window, plan_windows
from ebabench.scoring.records import MetricValues

LOWER = spec("a", aggregate="median")
HIGHER = spec("a", aggregate="median", better="higher")
NEAREST = spec("a", aggregate="median", better="reference", reference_key="md_a")
SIZES = (2, 4, 8, 16, 32, 64, 128)


def curve(law, spread=0.0, windows=4, seed=0):
    """The error of windows of MD by a law of their length, at 1 ns per frame."""
    rng = np.random.default_rng(seed)
    planned = tuple(Window(1, 0, size) for size in SIZES for _ in range(windows))
    values = [law(window.frames) * np.exp(spread * rng.standard_normal()) for window in planned]
    return ErrorCurve(planned, tuple(MetricValues({"a": float(v)}) for v in values))


def root(frames):
    return frames**-0.5


@pytest.mark.parametrize("nanoseconds", [2.0, 4.0, 11.3, 64.0])
def test_an_error_that_falls_as_a_root_is_inverted(nanoseconds):
    found = equivalent_time(LOWER, MetricValues({"a": nanoseconds**-0.5}), curve(root), 1.0)
    # Between two lengths the curve is linear in the logarithm, not a power law: off by less than 4 %.
    assert found.nanoseconds == pytest.approx(nanoseconds, rel=0.04)
    assert not found.censored


def test_a_better_model_is_worth_more():
    made = curve(root, spread=0.2)
    times = [
        equivalent_time(LOWER, MetricValues({"a": value}), made, 1.0).nanoseconds
        for value in np.linspace(0.05, 0.8, 16)
    ]
    assert (np.diff(times) <= 1e-12).all()


def test_nothing_is_extrapolated():
    best = equivalent_time(LOWER, MetricValues({"a": 0.01}), curve(root), 1.0)
    assert (best.nanoseconds, best.censored, best.high) == (128, "at least", np.inf)
    worst = equivalent_time(LOWER, MetricValues({"a": 3.0}), curve(root), 1.0)
    assert (worst.nanoseconds, worst.censored) == (2, "at most")
    assert str(best) == "≥ 128 ns"
    assert str(worst) == "≤ 2 ns"


def test_a_curve_that_ends_flat_is_inverted_where_it_becomes_flat():
    found = equivalent_time(LOWER, MetricValues({"a": 0.25}), curve(lambda frames: max(root(frames), 0.25)), 1.0)
    assert (found.nanoseconds, found.censored) == (16, "")


def test_a_curve_that_rises_is_inverted_as_the_nearest_one_that_falls():
    errors = dict(zip(SIZES, (1.0, 0.5, 0.7, 0.3, 0.2, 0.15, 0.1), strict=True))  # 4 and 8 ns: 0.6 each
    found = equivalent_time(LOWER, MetricValues({"a": 0.45}), curve(errors.__getitem__), 1.0)
    assert found.nanoseconds == pytest.approx(8 * 2**0.5)  # half way from 0.6 to 0.3, in the logarithm of time


@pytest.mark.slow
def test_a_window_of_md_comes_out_at_its_length_within_its_interval():
    rng, hits = np.random.default_rng(5), 0
    for k in range(60):
        own = 16**-0.5 * np.exp(0.15 * rng.standard_normal() / 2)
        found = equivalent_time(LOWER, MetricValues({"a": float(own)}), curve(root, 0.15, windows=12, seed=k), 1.0)
        hits += found.low / 1.5 <= 16 <= found.high * 1.5
    assert hits >= 54


def test_direction_and_unit_of_the_metric_do_not_matter():
    lower = equivalent_time(LOWER, MetricValues({"a": 0.3}), curve(root), 1.0)
    higher = equivalent_time(HIGHER, MetricValues({"a": 1 - 0.3}), curve(lambda f: 1 - root(f)), 1.0)
    assert higher.nanoseconds == pytest.approx(lower.nanoseconds)
    scaled = equivalent_time(LOWER, MetricValues({"a": 300.0}), curve(lambda f: 1000 * root(f)), 1.0)
    assert scaled.nanoseconds == pytest.approx(lower.nanoseconds)


def test_nearest_md_counts_by_distance():
    assert error(NEAREST, MetricValues({"a": 3.0, "md_a": 5.0})) == 2
    assert error(NEAREST, MetricValues({"a": 7.0, "md_a": 5.0})) == 2


def test_an_undefined_figure_has_no_time():
    assert np.isnan(equivalent_time(LOWER, MetricValues({"a": np.nan}), curve(root), 1.0).nanoseconds)
    assert str(equivalent_time(LOWER, MetricValues({}), curve(root), 1.0)) == "–"


def known(*values):
    return [EquivalentTime(float(v), v, v) for v in values]


def test_the_median_of_known_times_is_the_median():
    assert median_time(known(1, 5, 2, 9, 3)).nanoseconds == 3


def test_censored_targets_count_as_longer_without_a_made_up_number():
    censored = [EquivalentTime(10.0, 10, np.inf, "at least")] * 2
    found = median_time([*known(1, 2, 3), *censored])
    assert (found.nanoseconds, found.censored) == (3, "")
    found = median_time([*known(1, 2), *censored, *censored])
    assert (found.nanoseconds, found.censored, found.high) == (10, "at least", np.inf)
    # A target censored early says nothing of later times: the estimate is Kaplan and Meier's, not a plain median.
    early = [EquivalentTime(1.5, 1.5, np.inf, "at least")]
    assert median_time([*early, *known(1, 2, 3, 4)]).nanoseconds == 3


def test_a_median_at_the_shortest_window_is_a_bound():
    found = median_time([EquivalentTime(2.0, 2, 2, "at most")] * 3 + known(5))
    assert (found.nanoseconds, found.censored) == (2, "at most")


def test_windows_span_two_frames_to_a_replica_and_do_not_overlap():
    windows = plan_windows({1: 1001, 2: 1001})
    sizes = sorted({window.frames for window in windows})
    assert (sizes[0], sizes[-1], len(sizes)) == (2, 1001, 8)
    ratios = np.diff(np.log(sizes))
    assert ratios.max() / ratios.min() < 1.6
    for size in sizes:
        starts = sorted(w.start for w in windows if w.frames == size and w.replica == 1)
        assert all(b - a >= size for a, b in pairwise(starts))
        assert starts[-1] + size <= 1001


def test_the_order_of_targets_does_not_matter():
    times = [*known(1, 5, 2, 9, 3), EquivalentTime(4.0, 4, np.inf, "at least"), EquivalentTime(1.0, 1, 1, "at most")]
    assert median_time(times) == median_time(times[::-1])
