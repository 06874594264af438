from dataclasses import replace

import numpy as np
import pytest
from stub_runs import Stub
from synthetic_runs import TOY, ensemble, identity, make_run, spec

from ebabench.errors import InputError
from ebabench.results import comparison
from ebabench.results.comparison import SAME, compare
from ebabench.results.text import comparison_table
from ebabench.scoring.records import MetricValues

rng = np.random.default_rng(5)


def numbers(model, values, md=None):
    md = np.zeros(len(values)) if md is None else md
    return Stub(model, [MetricValues({"a": float(x), "md_a": float(y)}) for x, y in zip(values, md, strict=True)])


def profiles(model, rows, md):
    return Stub(
        model, [MetricValues(profiles={"a": tuple(x), "md_a": tuple(y)}) for x, y in zip(rows, md, strict=True)]
    )


LOWER = spec("a", aggregate="median")
HIGHER = spec("a", aggregate="mean", better="higher")
NEAREST = spec("a", aggregate="median", better="reference", reference_key="md_a")
CORRELATION = spec("r", aggregate="pearson", better="higher", of=("a", "md_a"))
POOLED = spec("a", aggregate="pooled_median", better="reference", reference_key="md_a")


@pytest.mark.parametrize(("one", "winner"), [(LOWER, "good"), (HIGHER, "bad")])
def test_a_clear_difference_has_a_winner_by_the_metrics_direction(one, winner):
    base = rng.normal(5, 2, size=8)
    (row,) = compare(numbers("good", base - 1 + 0.1 * rng.normal(size=8)), numbers("bad", base), [one])
    assert row.winner == winner
    assert row.verdict == f"{winner} better"
    assert row.low < row.difference < row.high < 0
    assert row.n_targets == 8


def test_the_pairing_sees_what_the_spread_over_targets_would_hide():
    base = 100 * rng.normal(size=8)
    (row,) = compare(numbers("good", base - 1), numbers("bad", base), [LOWER])
    assert row.winner == "good"
    assert row.difference == pytest.approx(-1)
    assert row.high - row.low == pytest.approx(0, abs=1e-9)


def test_nearest_md_wins_from_above_or_below():
    md = rng.uniform(1, 3, size=8)
    near = md + rng.uniform(-0.05, 0.05, size=8)
    for far in (0.5 * md, 1.7 * md):
        (row,) = compare(numbers("near", near, md), numbers("far", far, md), [NEAREST])
        assert row.winner == "near"


def test_pooled_and_correlated_metrics_are_compared_too():
    md = [rng.uniform(1, 3, size=n) for n in (5, 9, 7, 12, 6, 8, 4, 10)]
    near, far = [x + 0.1 * rng.normal(size=len(x)) for x in md], [0.3 * x for x in md]
    (row,) = compare(profiles("near", near, md), profiles("far", far, md), [POOLED])
    assert row.winner == "near"
    of_md = rng.normal(size=12)
    tight, loose = (
        numbers("tight", of_md + 0.05 * rng.normal(size=12), of_md),
        numbers("loose", rng.normal(size=12), of_md),
    )
    (row,) = compare(tight, loose, [CORRELATION])
    assert (row.winner, row.a > 0.9) == ("tight", True)


@pytest.mark.parametrize("one", [LOWER, HIGHER, NEAREST, CORRELATION])
def test_swapping_the_runs_swaps_the_verdict(one):
    for shift in (0.0, 0.5, 3.0):
        md = rng.normal(5, 2, size=9)
        a, b = numbers("a", md + rng.normal(size=9), md), numbers("b", md + shift + rng.normal(size=9), md)
        (there,), (back,) = compare(a, b, [one]), compare(b, a, [one])
        assert there.winner == back.winner
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
        assert there.difference == pytest.approx(-back.difference)
        assert there.p == pytest.approx(back.p)


def test_a_run_cannot_be_told_from_itself():
    values = rng.normal(size=8)
    (row,) = compare(numbers("a", values), numbers("a", values), [LOWER])
    assert (row.verdict, row.difference, row.low, row.high, row.p) == (SAME, 0, 0, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("one", [LOWER, HIGHER])
def test_equal_models_are_told_apart_in_at_most_five_percent(one, monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 1000)
    draws = np.random.default_rng(17).normal(size=(400, 2, 8))
    wrong = sum(bool(compare(numbers("a", x), numbers("b", y), [one])[0].winner) for x, y in draws)
    assert wrong / len(draws) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(draws))


def test_fewer_than_six_targets_give_no_verdict():
    (row,) = compare(numbers("a", np.arange(5.0)), numbers("b", np.arange(5.0) + 10), [LOWER])
    assert row.verdict == SAME
    assert row.p == pytest.approx(2 / 2**5)
    (row,) = compare(numbers("a", np.arange(6.0)), numbers("b", np.arange(6.0) + 10), [LOWER])
    assert row.winner == "a"


def test_only_targets_that_both_have_are_compared():
    a, b = numbers("a", np.arange(8.0)), numbers("b", np.arange(8.0) + 1)
    b.records()[2] = replace(b.records()[2], error="torn", figures=MetricValues())
    b.records()[3] = replace(b.records()[3], figures=MetricValues({"a": float("nan")}))
    del b.records()[7]
    (row,) = compare(a, b, [LOWER])
    assert row.n_targets == 5
    (row,) = compare(a, b, [spec("missing", aggregate="median")])
    assert (row.n_targets, row.verdict) == (0, "nothing to compare")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"suite": "toy-v2"}, "suite toy-v1 and toy-v2"),
        ({"tier": "atlas-protein"}, "tier md-implicit and atlas-protein"),
        ({"protocol": "alphaflow"}, "protocol corrected and alphaflow"),
        ({"energy": "charmm36-gbn2"}, "energy None and charmm36-gbn2"),
    ],
)
def test_runs_under_other_settings_are_refused(change, said):
    figures = [MetricValues({"a": 1.0})] * 8
    with pytest.raises(InputError, match=said):
        compare(Stub("a", figures), Stub("b", figures, **change), [LOWER])


def test_runs_against_other_references_are_refused_where_it_is_known():
    figures = [MetricValues({"a": 1.0})] * 8
    one = Stub("a", figures, references={"0": "x", "1": "y"})
    with pytest.raises(InputError, match=r"other references of 1$"):
        compare(one, Stub("b", figures, references={"0": "x", "1": "z"}), [LOWER])
    for known in ({"0": "x", "1": "y"}, {"0": "x"}, {"2": "z"}, None):
        assert len(compare(one, Stub("b", figures, references=known), [LOWER])) == 1


def test_other_samples_versions_or_targets_are_refused():
    a, b = numbers("a", np.arange(8.0)), numbers("b", np.arange(8.0))
    b.records()[0] = replace(b.records()[0], n_samples=10)
    with pytest.raises(InputError, match=r"samples \[20\] and \[10, 20\]"):
        compare(a, b, [LOWER])
    b.records()[:] = [replace(record, n_samples=20, metric_versions={"a": 2}) for record in b.records()]
    with pytest.raises(InputError, match="other versions of a"):
        compare(a, b, [LOWER])
    b.records()[:] = [replace(record, target="elsewhere", metric_versions={"a": 1}) for record in b.records()[:1]]
    with pytest.raises(InputError, match="no scored target in common"):
        compare(a, b, [LOWER])


def test_real_runs_are_compared_and_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))
    one = make_run(tmp_path / "a", identity("wobble"))
    other = make_run(tmp_path / "b", identity("stiff"), make=ensemble, amplitude=0.1)
    rows = compare(one, other, TOY.specs)
    by_key = {row.spec.key: row for row in rows}
    assert "md_rmsf" not in by_key
    assert by_key["jaccard"].n_targets == 4
    assert by_key["side_chains"].n_targets == 0
    assert by_key["rmsf"].difference < 0
    assert len(comparison_table(rows, "wobble and stiff").rows) == len(rows)


@pytest.mark.parametrize("one", [LOWER, CORRELATION])
def test_a_single_common_target_gives_a_difference_and_no_verdict(one):
    a, b = (Stub(name, [MetricValues({"a": x, "md_a": 1.0})]) for name, x in (("one", 2.0), ("two", 3.0)))
    (row,) = compare(a, b, [one])
    assert row.n_targets == 1
    assert row.p == 1
    assert not row.winner


def test_the_primary_metrics_of_the_suite_are_compared_by_default(monkeypatch):
    from ebabench.datasets.suites import load_suite
    from ebabench.workflows.compare import compare, differences

    rng = np.random.default_rng(0)
    primary = load_suite("peptides-v1").primary
    keys = [*primary, "rmsd", "joint_pca_w2"]
    digest = load_suite("peptides-v1").digest()
    sides = [
        Stub(name, [MetricValues({key: float(rng.random()) for key in keys}) for _ in range(8)],
             suite="peptides-v1", suite_digest=digest)
        for name in ("a", "b")
    ]  # fmt: skip
    assert {row.spec.key for row in differences(*sides)} == set(primary)
    assert {row.spec.key for row in differences(*sides, "all")} > {*primary, "md_pca_w2"}
    assert [row.spec.key for row in differences(*sides, ["md_pca_w2"])] == ["md_pca_w2"]
    monkeypatch.setattr("ebabench.workflows.compare.as_run", lambda run: run)
    table = compare(*sides)
    assert table.attrs == {"tests": len(primary), "correction": "holm"}
    smallest = table["p"].idxmin()
    assert table.loc[smallest, "p_adjusted"] == pytest.approx(min(1, len(primary) * table.loc[smallest, "p"]))
