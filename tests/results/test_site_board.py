"""The board of a suite: marks and ranks stand where the paired test says so; costs stand where they are known."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from stub_runs import Stub

from ebabench.results.leaderboard import Board
from ebabench.results.pairs import Pairs, all_pairs, too_few
from ebabench.results.site.board import BoardView, board_view, shown_specs
from ebabench.results.site.costs import MD_PRICE, MD_TIME, SECONDS
from ebabench.scoring.metric import METRICS
from ebabench.scoring.records import MetricValues
from ebabench.scoring.spec import MetricSpec

SPECS = tuple(spec for name in METRICS for spec in METRICS.load(name).specs if spec.aggregate)
ERROR = MetricSpec("error", 1, "an error", "", "lower", "median", "ca", "", default_view=("toy",))
TARGETS = 10


def line(model: str, **cells: str) -> dict[str, str]:
    return {"model": model, "status": "official"} | cells


def stub(model: str, errors: np.ndarray) -> Stub:
    return Stub(model, [MetricValues({"error": float(error)}) for error in errors])


def view_of(errors: dict[str, np.ndarray], *others: dict[str, str], tested: bool = True) -> BoardView:
    runs = {model: stub(model, own) for model, own in errors.items()}
    lines = [line(model, error=str(np.median(own))) for model, own in errors.items()]
    with ThreadPoolExecutor(1) as pool:
        pairs = all_pairs(runs, (ERROR,), pool) if tested else Pairs()
    return board_view(Board("toy-v1", (ERROR,), (*lines, *others)), "Toy", 10, "toy", runs if tested else {}, pairs)


def cells(view: BoardView) -> dict[str, tuple[bool, bool]]:
    return {row.name: (row.cells["error"].best, row.cells["error"].tied) for row in view.rows}


NOISE = np.random.default_rng(1).normal(0, 0.05, (3, TARGETS))


def test_a_model_that_is_better_on_every_target_is_marked_and_ranked_first() -> None:
    view = view_of({"middle": 2 + NOISE[0], "good": 1 + NOISE[1], "bad": 3 + NOISE[2]})
    assert cells(view) == {"good": (True, False), "middle": (False, False), "bad": (False, False)}
    assert [row.name for row in view.rows] == ["good", "middle", "bad"]
    assert [(row.rank.mean, row.rank.low, row.rank.high) for row in view.rows if row.rank] == [
        (1, 1, 1),
        (2, 2, 2),
        (3, 3, 3),
    ]
    assert [row.name for row in view.leaders] == ["good"]


def test_models_that_cannot_be_told_apart_share_the_lead_and_every_rank() -> None:
    view = view_of({"a": 1 + NOISE[0], "b": 1 + NOISE[0][::-1], "far": 9 + NOISE[2]})
    assert cells(view) == {"a": (False, True), "b": (False, True), "far": (False, False)}
    ranks = {row.name: (row.rank.low, row.rank.high) for row in view.rows if row.rank}
    assert ranks == {"a": (1, 2), "b": (1, 2), "far": (3, 3)}
    assert {row.name for row in view.leaders} == {"a", "b"}


def test_without_runs_nothing_is_tested_and_nothing_is_marked() -> None:
    view = view_of({"a": 1 + NOISE[0], "b": 9 + NOISE[1]}, tested=False)
    assert not view.tested
    assert view.leaders == []
    assert not any(mark for marks in cells(view).values() for mark in marks)
    assert [row.name for row in view.rows] == ["a", "b"]


def test_a_row_without_a_run_has_no_mark_and_leaves_no_other_row_the_best() -> None:
    view = view_of({"a": 2 + NOISE[0], "b": 9 + NOISE[1]}, line("told", error="0.1"))
    assert cells(view) == {"told": (False, False), "a": (False, True), "b": (False, False)}


@pytest.mark.parametrize("family", ["peptides", "atlas", "unheard-of"])
def test_the_default_view_has_at_most_eight_columns_from_the_specs(family: str) -> None:
    shown = shown_specs(Board("s", SPECS, ()), family)
    assert 1 <= len(shown) <= 8
    marked = [spec for spec in SPECS if family in spec.default_view]
    assert not marked or set(shown) <= set(marked)
    assert "exposed_mi_rho" not in [spec.key for spec in shown]


def test_the_nearest_to_md_is_the_best_bond_length() -> None:
    spec = next(spec for spec in SPECS if spec.key == "bond_length_z")
    rows = [
        line(name, bond_length_z=value, md_bond_length_z="1.0") for name, value in (("tight", "0.2"), ("near", "0.9"))
    ]
    view = board_view(Board("toy-v1", (spec,), tuple(rows)), "Toy", 10, "peptides", {})
    assert [row.name for row in view.rows] == ["near", "tight"]


def test_costs_have_columns_only_where_a_row_knows_them() -> None:
    assert SECONDS.key not in [column.spec.key for column in view_of({"a": NOISE[0]}).columns]
    told = {"seconds_per_sample": "0.25", "device": "a GPU", "md_ns": "12", "md_ns_low": "3", "md_ns_high": "inf"}
    view = view_of({"a": 1 + NOISE[0]}, line("b", error="2", md_ns_censored="at least", **told))
    by_name = {row.name: row.cells for row in view.rows}
    assert np.isnan(by_name["a"][SECONDS.key].value)
    assert by_name["b"][SECONDS.key].span == "a GPU"
    assert by_name["b"][MD_TIME.key].span == "at least, 3.00 to ∞"
    assert view.axes == (SECONDS.key, "error")
    assert [column.spec.key for column in view.columns if column.visible] == [MD_TIME.key, "error"]
    assert view.shown == [ERROR]


def test_the_board_says_what_as_much_md_costs() -> None:
    told = {"samples": "10", "seconds_per_sample": "0.5", "device": "P", "md_ns": "2", "md_ns_low": "1",
            "md_ns_high": "3", "md_seconds_per_ns": "10", "md_device": "P"}  # fmt: skip
    view = view_of({"a": 1 + NOISE[0]}, line("b", error="2", **told), line("c", error="3", **told | {"device": "G"}))
    by_name = {row.name: row for row in view.rows}
    assert by_name["b"].cells[MD_PRICE.key].value == 4
    assert by_name["b"].cells[MD_PRICE.key].span == "5.00 s; MD 20.0 s"
    assert (by_name["c"].cells[MD_PRICE.key].text, by_name["c"].cells[MD_PRICE.key].span) == (
        "–",
        "5.00 s (G); MD 20.0 s (P)",
    )
    assert "that much MD takes 20.0 s on one core (P)" in by_name["b"].worth
    assert by_name["a"].worth == ""
    assert [column.heading for column in view.columns if column.visible][:2] == ["worth of MD", "cost of as much MD"]


@pytest.mark.parametrize(("targets", "metrics", "found"), [(8, 8, 8), (8, 1, 0), (20, 8, 0), (5, 1, 5)])
def test_few_targets_can_give_no_verdict_after_correction(targets: int, metrics: int, found: int) -> None:
    errors = np.arange(targets) / 100
    with ThreadPoolExecutor(1) as pool:
        pairs = all_pairs({"a": stub("a", errors), "b": stub("b", errors + 1)}, (ERROR,) * metrics, pool)
    differences = pairs.between("a", "b")
    assert too_few(differences) == found
    assert any(one.p_adjusted <= 0.05 for one in differences) == (found == 0)


def test_a_comparison_turned_around_is_the_same_comparison() -> None:
    with ThreadPoolExecutor(1) as pool:
        pairs = all_pairs({"a": stub("a", 1 + NOISE[0]), "b": stub("b", 2 + NOISE[1])}, (ERROR,), pool)
    (there,), (back,) = pairs.between("a", "b"), pairs.between("b", "a")
    assert (there.a, there.b, there.difference) == (back.b, back.a, -back.difference)
    assert there.low <= there.difference <= there.high
    assert back.low <= back.difference <= back.high
    assert pairs.better("error", "a", "b") == pairs.better("error", "b", "a") == "a"
