"""Tables of a terminal: no name and no verdict is ever cut; what does not fit is left out and named."""

import math

import pytest
from stub_runs import Stub

from ebabench.results.aggregation import Estimate, Row, summarise
from ebabench.results.board import FLOOR, Board
from ebabench.results.comparison import compare
from ebabench.results.text import (
    AT,
    BETTER,
    WORSE,
    TextTable,
    against_floor,
    board_table,
    comparison_table,
    short_summary,
    summary_table,
)
from ebabench.scoring.metric import METRICS
from ebabench.scoring.records import MetricValues
from ebabench.scoring.spec import MetricSpec

SPECS = tuple(spec for name in METRICS for spec in METRICS.load(name).specs if spec.aggregate)


def row(better: str, value: float, low: float, high: float, floor: float) -> Row:
    md = "md_a" if better == "reference" else None
    spec = MetricSpec("a", 1, "a", "", better, "median", "ca", "", reference_key=md)
    return Row(spec, Estimate(value, low, high, 8, 0), floor)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 10_000])
def test_a_table_is_as_narrow_as_its_columns_allow_and_says_what_it_leaves_out(width: int) -> None:
    rows = (("a-model-with-a-long-name", "0.123", "x" * 30, "better"), ("b", "1", "", "worse"))
    lines = TextTable("T", ("name", "value", "note", "verdict"), rows, ("note", "value"), ("name",)).lines(width)
    text = "\n".join(lines)
    assert "a-model-with-a-long-name" in text
    assert "better" in text
    assert "…" not in text
    left_out = [name for name in ("note", "value") if name not in lines[1].split()]
    told = [line.split(": ")[1] for line in lines if line.startswith("not shown for want of room: ")]
    assert told == ["; ".join(left_out)] * bool(left_out)
    assert max(map(len, lines[1:4])) <= width or left_out == ["note", "value"]


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (row("lower", 3, 2, 4, 1), WORSE),
        (row("lower", 3, 2, 4, 2.5), AT),
        (row("lower", 3, 2, 4, 5), BETTER),
        (row("higher", 0.5, 0.4, 0.6, 0.9), WORSE),
        (row("higher", 0.5, 0.4, 0.95, 0.9), AT),
        (row("higher", 0.95, 0.92, 0.99, 0.9), BETTER),
        (row("reference", 2, 1.8, 2.2, 1.1), WORSE),
        (row("reference", 1.1, 0.9, 1.3, 1.2), AT),
        (row("reference", 1.02, 1.01, 1.03, 1.2), BETTER),
        (row("lower", 3, math.nan, math.nan, 1), ""),
        (row("lower", math.nan, math.nan, math.nan, 1), ""),
        (row("lower", 3, 2, 4, math.nan), ""),
    ],
)
def test_the_verdict_against_the_floor_follows_the_direction_of_the_metric(given: Row, verdict: str) -> None:
    assert against_floor(given, md=1.0) == verdict


@pytest.mark.parametrize("family", ["peptides", "atlas", ""])
def test_the_end_of_a_run_fits_ten_lines_of_eighty_characters(family: str) -> None:
    figures = [MetricValues({spec.key: 0.123456 * (k + 1) for spec in SPECS}) for k in range(8)]
    rows = summarise(Stub("model", figures).records(), SPECS)
    shown = short_summary(rows, family)
    lines = summary_table(rows, shown, "a model on a suite").lines(80)
    assert 5 <= len(lines) <= 10
    assert all(len(line) <= 80 for line in lines)
    assert "not shown" not in lines[-1]
    for one in shown:
        assert any(line.startswith(one.spec.key) for line in lines)


def test_metrics_without_a_value_are_left_to_the_whole_table() -> None:
    rows = summarise(Stub("model", [MetricValues({"rmsf_r": 0.5})] * 4).records(), SPECS)
    assert [one.spec.key for one in short_summary(rows, "atlas")] == ["rmsf_r"]
    (line,) = (line for line in summary_table(rows, rows, "all").lines(10_000) if line.startswith("energy_js "))
    assert "4 of 4 targets undefined" in line


def test_a_comparison_keeps_metrics_and_verdicts_on_eighty_columns() -> None:
    shown = [spec for spec in SPECS if "peptides" in spec.default_view]
    sides = [
        Stub(name, [MetricValues({spec.key: 0.1 * k + shift for spec in shown}) for k in range(12)])
        for name, shift in (("one-model", 0.0), ("another-model", 0.5))
    ]
    differences = compare(*sides, [spec for spec in shown if spec.better != "reference"])
    lines = comparison_table(differences, "A and B").lines(80)
    text = "\n".join(lines)
    assert "not shown for want of room" in lines[-1]
    for one in differences:
        (line,) = (line for line in lines if line.startswith(one.spec.key))
        assert line.endswith(one.verdict)
    assert "one-model better" in text
    assert all(len(line) <= 80 for line in lines[2:-1])


def test_a_leaderboard_shows_every_name_and_names_the_metrics_without_room() -> None:
    models = ["a-model-of-thirty-characters-xx", "short"]
    cells = {spec.key: "0.5" for spec in SPECS} | {f"{spec.key}_low": "0.25" for spec in SPECS}
    cells |= {f"{spec.key}_high": "0.75" for spec in SPECS}
    rows = tuple({"model": name, "status": "official"} | cells for name in (FLOOR, *models))
    shown = [spec for spec in SPECS if "peptides" in spec.default_view]
    lines = board_table(Board("s", SPECS, rows), shown, "s").lines(80)
    assert all(any(name in line for line in lines) for name in models)
    assert "0.500 [0.250, 0.750]" in lines[3]
    for spec in shown:
        assert sum(spec.key in line for line in lines) == 1
    assert all(len(line) <= 80 for line in lines[:-1])


def test_long_verdicts_make_room_for_the_metrics() -> None:
    better = " ".join(f"another-model-{k}=2" for k in range(8))
    rows = tuple(
        {"model": name, "status": "official", "rmsf_r": "0.5", "better_than": better, "seconds_per_sample": "0.1"}
        for name in ("one", "two")
    )
    table = board_table(Board("s", SPECS, rows), SPECS, "s")
    narrow, wide = ("\n".join(table.lines(width)) for width in (80, 1000))
    assert "rmsf_r" in narrow.splitlines()[1]
    assert "not shown for want of room: better than" in narrow
    assert "another-model-7 (2)" in wide
