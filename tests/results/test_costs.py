"""The cost of sampling: measured, kept in the manifest, and no part of what makes a run."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from synthetic_runs import TOY, ensemble, make_run, suite, target, whole_run

from ebabench.datasets.md_speed import MdSpeed
from ebabench.generators.cost import Cost
from ebabench.generators.protocol import Footprint
from ebabench.generators.sampling import sample
from ebabench.results.board import read_board
from ebabench.results.costs import costs_from, md_cost, run_cost, speeds_from
from ebabench.results.leaderboard import rebuild
from ebabench.results.md_equivalent import EquivalentTime
from ebabench.results.md_times import write_times
from ebabench.results.report import html, markdown
from ebabench.results.runs import Run
from ebabench.results.worth import cost_text, price, price_text, worth_sentence


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


class Slow:
    """A generator that sleeps, takes memory and knows how large it is."""

    def sample(self, target, samples, seed):
        held = np.ones(8 << 20)  # 64 MiB
        time.sleep(0.05 + 0 * held[-1])
        return ensemble(target.name, samples)

    def footprint(self):
        return Footprint(parameters=123)


def sampled(generators, names=("one",), **options):
    return list(sample(generators, [target(n) for n in names], 5, 0, lambda _: None, lambda _: None, "ca", **options))


def test_sampling_is_measured():
    (outcome,) = sampled([Slow()])
    cost = outcome.cost
    assert cost.samples == 5
    assert cost.seconds >= 0.05
    assert cost.processor_seconds >= 0
    assert cost.parameters == 123
    assert cost.device
    assert cost.peak_memory_mib is None or cost.peak_memory_mib > 64
    assert cost.peak_device_memory_mib is None


def test_processor_time_of_several_at_once_is_nobodys():
    outcomes = sampled([Slow(), Slow()], ("one", "two"), devices=["cpu", "cpu"])
    assert [outcome.cost.processor_seconds for outcome in outcomes] == [None, None]
    assert all(outcome.cost.seconds >= 0.05 for outcome in outcomes)


def test_what_is_not_sampled_costs_nothing():
    kept = ensemble("one", 5)
    (resumed,) = sample([Slow()], [target("one")], 5, 0, lambda _: kept, lambda _: None, "ca")
    assert resumed.cost is None


def test_a_cost_changes_neither_identity_nor_records(tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")
    assert len(one.costs) == 5
    two.save_cost("one", replace(two.costs["one"], seconds=99.0))
    assert one.identity.digest() == two.identity.digest()
    for name in ("records/one.json", "targets.csv", "summary.csv", "ensembles/one.npz"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert Run.read(two.folder).costs["one"].seconds == 99
    assert Run.read(one.folder).costs == one.costs


def test_the_mean_is_over_conformations():
    found = run_cost({
        "small": Cost(100, 10.0, 20.0, "A", 50.0, None, 7),
        "large": Cost(300, 90.0, 100.0, "B", 500.0, None, 7),
    })  # fmt: skip
    assert found.seconds_per_sample == pytest.approx(0.25)
    assert found.processor_seconds_per_sample == pytest.approx(0.3)
    assert (found.device, found.peak_memory_mib, found.peak_device_memory_mib, found.parameters) == (
        "A; B",
        500,
        None,
        7,
    )
    assert run_cost({}) is None


def test_a_cost_that_another_version_wrote_is_left_out():
    assert costs_from({"one": {"hours": 3}}) == {}


def test_the_leaderboard_shows_the_cost_of_the_machine(tmp_path):
    run = whole_run(tmp_path / "run")
    board = rebuild(suite(), [run], TOY.specs, tmp_path)
    (line,) = (line for line in board.lines if line["model"] == "wobble")
    assert float(line["seconds_per_sample"]) == pytest.approx(run_cost(run.costs).seconds_per_sample, rel=1e-4)
    assert line["device"] in cost_text(line)
    again = read_board(tmp_path / "toy-v1.csv", suite(), TOY.specs)
    assert [one["status"] for one in again.lines] == ["official", "official"]
    assert again.to_csv() == board.to_csv()


def test_a_table_of_before_has_no_cost_and_is_read(tmp_path):
    run = whole_run(tmp_path / "run")
    manifest = run.folder / "manifest.json"
    manifest.write_text(json.dumps({k: v for k, v in json.loads(manifest.read_text()).items() if k != "cost"}))
    board = rebuild(suite(), [Run.read(run.folder)], TOY.specs, tmp_path)
    assert "seconds_per_sample" not in (tmp_path / "toy-v1.csv").read_text().splitlines()[0]
    assert cost_text(board.lines[-1]) == ""


SPEEDS = {"one": MdSpeed(6.0, "a processor"), "two": MdSpeed(10.0, "a processor")}


def row(**cells):
    """A row worth 2 ns, of a model of 250 conformations at 0.04 s each on both cores of a processor."""
    return {
        "model": "m", "status": "official", "samples": "250", "md_ns": "2", "md_ns_low": "1", "md_ns_high": "4",
        "seconds_per_sample": "0.02", "processor_seconds_per_sample": "0.04", "device": "a processor",
        "md_seconds_per_ns": "8", "md_device": "a processor",
    } | cells  # fmt: skip


def test_the_cost_of_md_is_the_mean_over_targets():
    assert md_cost(SPEEDS).md_seconds_per_ns == 8
    assert md_cost({**SPEEDS, "three": MdSpeed(5.0, "another")}).md_device == "a processor; another"
    assert md_cost({}) is None
    plain = {"one": {"hours": 3}, "two": {"seconds_per_ns": 10.0, "device": "a processor"}}
    assert speeds_from(plain) == {"two": SPEEDS["two"]}


def test_processor_time_is_compared_with_processor_time():
    told = price(row())
    assert (told.samples, told.md, told.ratio) == (pytest.approx(10), 16, pytest.approx(1.6))
    assert price_text(row()) == "10.0 s; MD 16.0 s (1.60 times)"
    assert "10.0 s of processor time; that much MD takes 16.0 s on one core" in worth_sentence(row())


def test_md_that_is_cheaper_is_said_to_be():
    assert price_text(row(md_ns="0.1")) == "10.0 s; MD 0.800 s (0.0800 times)"


def test_times_on_two_kinds_of_machine_are_not_divided():
    told = row(device="a GPU")
    assert price_text(told) == "5.00 s (a GPU); MD 16.0 s (a processor)"
    assert np.isnan(price(told).ratio)
    assert "5.00 s of time on a GPU" in worth_sentence(told)


def test_what_a_bound_costs_is_a_bound():
    for censored, sign in (("at least", "≥"), ("at most", "≤")):
        assert price_text(row(md_ns_censored=censored)) == f"10.0 s; MD {sign} 16.0 s ({sign} 1.60 times)"


@pytest.mark.parametrize("lost", ["md_ns", "md_seconds_per_ns"])
def test_without_a_time_or_a_speed_there_is_no_price(lost):
    assert price(row(**{lost: ""})) is None
    assert price_text(row(**{lost: ""})) == ""
    assert ("not known" in worth_sentence(row(**{lost: ""}))) == (lost == "md_seconds_per_ns")


def test_ensembles_from_elsewhere_have_the_price_of_md_alone():
    told = row(seconds_per_sample="", processor_seconds_per_sample="", device="")
    assert price_text(told) == "MD 16.0 s (a processor)"
    assert np.isnan(price(told).ratio)


def test_the_leaderboard_shows_the_cost_of_as_much_md(tmp_path):
    run = whole_run(tmp_path / "run")
    digests = run.identity.digest(), [record.digest() for record in run.records()]
    write_times(run, {name: {"shift": EquivalentTime(2.0, 1.0, 4.0)} for name in ("one", "two", "three")})
    run.save_md_speeds(SPEEDS)
    run = Run.read(run.folder)
    assert run.md_speeds == SPEEDS
    assert (run.identity.digest(), [record.digest() for record in run.records()]) == digests
    chosen = suite(primary=("shift",))
    board = rebuild(chosen, [run], TOY.specs, tmp_path)
    again = read_board(tmp_path / "toy-v1.csv", chosen, TOY.specs)
    for found in (board, again):
        floor, line = found.lines
        assert line["status"] == "official"
        assert price(line).md == pytest.approx(16)
        assert price(floor) is None
    for page in (markdown(board, chosen), html(board, chosen)):
        assert "MD 16.0 s" in page


@pytest.mark.parametrize("seconds", [-1.0, -0.001, float("nan")])
def test_a_cost_below_zero_is_none(seconds):
    """A manifest that was edited by hand makes no model and no MD cheaper than free."""
    cost = {"samples": 5, "seconds": 2.0, "processor_seconds": None, "device": "x", "peak_memory_mib": None}
    cost |= {"peak_device_memory_mib": None, "parameters": 7}
    assert list(costs_from({"a": cost, "b": cost | {"seconds": seconds}})) == ["a"]
    speed = {"seconds_per_ns": 3.0, "device": "x"}
    assert list(speeds_from({"a": speed, "b": speed | {"seconds_per_ns": seconds}})) == ["a"]
