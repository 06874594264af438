"""Corrections, power and equivalence: closed forms, limits and error rates."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, wilcoxon
from stub_runs import Stub
from synthetic_runs import spec

from ebabench.results import comparison
from ebabench.results.claims import _critical, adjusted, detectable_difference, targets_needed
from ebabench.results.comparison import EQUIVALENT, SAME, compare
from ebabench.scoring.records import MetricValues, Record

rng = np.random.default_rng(11)
LOWER = spec("a", aggregate="median")


def test_holm_is_bonferroni_for_the_smallest_and_nothing_for_the_largest():
    p = np.array([0.2, 0.001, 0.04, 0.9])
    found = adjusted(p, "holm")
    assert found[1] == pytest.approx(4 * p[1])
    assert found[3] == pytest.approx(p[3])
    assert (np.argsort(found, kind="stable") == np.argsort(p)).all()
    assert (found >= p).all()


def test_benjamini_hochberg_is_scipys_and_never_above_holm():
    p = rng.uniform(size=20) ** 3
    found = adjusted(p, "benjamini-hochberg")
    np.testing.assert_allclose(found, false_discovery_control(p))
    assert (found <= adjusted(p, "holm") + 1e-12).all()


def test_a_metric_without_a_p_is_no_test():
    assert adjusted([0.02, np.nan, 0.03], "holm")[[0, 2]] == pytest.approx([0.04, 0.04])


@pytest.mark.parametrize("n", [6, 9, 15, 25])
def test_the_critical_rank_sum_is_where_the_exact_test_turns(n):
    critical, signs = _critical(n, 0.05), np.arange(1.0, n + 1)
    rejected = []
    for subset in rng.integers(0, 2, size=(300, n)):
        values = np.where(subset, signs, -signs)
        rejected.append((abs(values.sum()) >= critical) == (wilcoxon(values, method="exact").pvalue <= 0.05))
    assert all(rejected)


def test_too_few_targets_detect_nothing():
    assert _critical(5, 0.05) is None
    assert detectable_difference(rng.normal(size=5), 0.05) == np.inf


def test_power_of_normal_differences_is_the_textbooks():
    values = rng.normal(size=60)
    values = (values - np.median(values)) / values.std(ddof=1)
    # Two-sided 5 %, power 80 %: 2.80 standard errors; the signed-rank test is 95.5 % as efficient as the t test.
    expected = 2.80 / np.sqrt(0.955 * 60)
    assert detectable_difference(values, 0.05) == pytest.approx(expected, rel=0.2)
    needed = targets_needed(values + 0.5, 0.05)
    assert needed == pytest.approx((2.80 / 0.5) ** 2 / 0.955, rel=0.4)


def test_a_detectable_difference_scales_with_the_unit():
    values = rng.normal(size=20)
    assert detectable_difference(7 * values, 0.05) == pytest.approx(7 * detectable_difference(values, 0.05), rel=1e-6)


def test_no_difference_needs_infinitely_many_targets():
    assert targets_needed(np.zeros(10), 0.05) == np.inf
    assert targets_needed(np.r_[rng.normal(size=500), 0] * 1.0 - 0.0, 0.05) >= 60


def runs(a, b, floor):
    def run(model, values):
        made = Stub(model, [MetricValues({"a": float(x), "b": float(x)}) for x in values])
        made._records = [
            Record(r.target, r.sequence, r.tier, 20, 60, 1.0, {"a": 1, "b": 1}, r.figures,
                   (MetricValues({"a": floor, "b": floor}),))
            for r in made._records
        ]  # fmt: skip
        return made

    return run("one", a), run("other", b)


def test_small_differences_below_the_floor_are_equivalent_and_wide_ones_are_not():
    base = rng.normal(10, 1, size=20)
    near = base + 0.1 * rng.normal(size=20)
    (row,) = compare(*runs(base, near, floor=1.0), [LOWER])
    assert row.verdict == EQUIVALENT
    (row,) = compare(*runs(base, base + 5 * rng.normal(size=20), floor=0.1), [LOWER])
    assert row.verdict == SAME
    assert row.detectable > 0.1


def test_a_verdict_needs_the_adjusted_p():
    base = rng.normal(10, 1, size=8)
    better = base - np.array([3, 1, 2, 4, 3, 5, 2, -0.1])
    (alone,) = compare(*runs(better, base, 0.01), [LOWER])
    assert alone.winner == "one"
    many = [spec(key, aggregate="median") for key in ("a", "b")] * 4
    for row in compare(*runs(better, base, 0.01), many):
        assert row.p == pytest.approx(alone.p)
        assert row.p_adjusted == pytest.approx(min(8 * alone.p, 1))
        assert row.winner == ""
    assert compare(*runs(better, base, 0.01), many, correction="none")[0].winner == "one"


@pytest.mark.slow
def test_equal_models_at_the_margin_are_called_equivalent_in_at_most_five_percent(monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 500)
    draws, margin = np.random.default_rng(3), 1.0
    wrong = 0
    for _ in range(200):
        base = draws.normal(10, 1, size=12)
        (row,) = compare(*runs(base, base + margin + draws.normal(size=12), margin), [spec("a", aggregate="mean")])
        wrong += row.equivalent
    assert wrong / 200 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200) + 0.03  # the bootstrap of 12 targets is a little short
