"""MD-equivalent times of a run: kept beside its records, never beside others, and shown on the leaderboard."""

from __future__ import annotations

import math

import pytest
from synthetic_runs import TOY, suite, whole_run

from ebabench.results.board import read_board
from ebabench.results.leaderboard import rebuild
from ebabench.results.md_equivalent import EquivalentTime
from ebabench.results.md_times import FILE, headline_of, medians, read_times, write_times
from ebabench.results.report import html, markdown
from ebabench.results.worth_columns import md_time_of

NAMES = ("one", "two", "three", "four", "five")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))
    return whole_run(tmp_path / "run")


def times(*values, key="shift"):
    return {name: {key: EquivalentTime(v, v / 2, math.inf if v > 9 else 2 * v, "at least" if v > 9 else "")}
            for name, v in zip(NAMES, values, strict=True)}  # fmt: skip


def test_times_are_read_as_they_were_written(run):
    write_times(run, times(1.0, 2.0, 3.0, 10.0, 10.0))
    assert read_times(run) == times(1.0, 2.0, 3.0, 10.0, 10.0)
    write_times(run, times(5.0, 5.0, 5.0, 5.0, 5.0, key="jaccard"))  # of another metric: beside the first
    assert set(read_times(run)["one"]) == {"shift", "jaccard"}


def test_a_time_that_is_not_there_is_not_written(run):
    write_times(run, {"one": {"shift": EquivalentTime(math.nan, math.nan, math.nan, n_targets=0)}})
    assert read_times(run) == {"one": {}}


def test_times_of_other_records_count_for_nothing(run):
    write_times(run, times(1.0, 2.0, 3.0, 4.0, 5.0))
    run.remove_record("one")
    assert read_times(run) == {}


def test_a_damaged_file_counts_for_nothing(run):
    (run.folder / FILE).write_text("{")
    assert read_times(run) == {}


def test_the_headline_is_the_median_over_primary_metrics():
    found = {key: EquivalentTime(v, v, v) for key, v in {"a": 1.0, "b": 2.0, "c": 8.0, "d": 100.0}.items()}
    assert headline_of(found, ("a", "b", "c")).nanoseconds == 2
    assert math.isnan(headline_of(found, ("e",)).nanoseconds)


def test_the_board_says_what_a_model_is_worth(run, tmp_path):
    write_times(run, times(1.0, 10.0, 10.0, 10.0, 10.0))
    chosen = suite(primary=("shift",))
    board = rebuild(chosen, [run], TOY.specs, tmp_path)
    again = read_board(tmp_path / "toy-v1.csv", chosen, TOY.specs)
    for found in (board, again):
        floor, line = found.lines
        assert line["status"] == "official"
        assert md_time_of(floor) is None
        time = md_time_of(line)
        assert (time.nanoseconds, time.censored, time.high) == (10, "at least", math.inf)
        assert str(md_time_of(line, "shift")) == "≥ 10 ns"
        assert md_time_of(line, "jaccard") is None
    for page in (markdown(board, chosen), html(board, chosen)):
        assert "≥ 10 ns" in page
        assert "worth of MD" in page
    assert medians(read_times(run))["shift"].censored == "at least"
