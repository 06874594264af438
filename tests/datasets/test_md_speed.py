"""The speed of the suites' molecular dynamics: measured once per machine and per settings, never guessed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from ebabench.datasets import md_speed as module
from ebabench.datasets.md_speed import MOST_TARGETS, MdSpeed, md_speed, md_speeds
from ebabench.datasets.simulation import Simulation
from ebabench.datasets.suites import SimulationSettings, SuiteTarget, load_suite
from ebabench.system.processor import processor

SHORT = Simulation("GA", "GA", 1, 1.0, 10.0, 300.0, seed=5)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def test_a_speed_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = md_speed(SHORT)
    assert first.seconds_per_ns > 0
    assert first.device == processor()["processor"]
    monkeypatch.setattr(module, "_measured", lambda _: 1e9)
    assert md_speed(SHORT) == first
    # How long, from where and with which random numbers it goes on changes no speed.
    assert md_speed(replace(SHORT, nanoseconds=5.0, seed=6, replica=2, frame_ps=1.0)) == first
    for other in (replace(SHORT, timestep_fs=2.0), replace(SHORT, sequence="GAA")):
        assert md_speed(other).seconds_per_ns == 1e9


def test_a_speed_that_was_damaged_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_measured", lambda _: 2.0)
    md_speed(SHORT)
    (path,) = (tmp_path / "cache" / "md_speed").iterdir()
    path.write_text('{"seconds_per_ns": 1.0')
    assert md_speed(SHORT) == MdSpeed(2.0, processor()["processor"])


def test_of_md_that_is_not_run_here_nothing_is_known() -> None:
    assert md_speeds(load_suite("atlas-test-v1")) == {}


def test_of_many_targets_a_few_are_measured_and_none_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_measured", lambda simulation: float(len(simulation.sequence)))
    suite = load_suite("peptides-v1")
    many = tuple(SuiteTarget(f"p{n}", "A" * n) for n in range(2, 40))
    found = md_speeds(replace(suite, targets=many, simulation=SimulationSettings(300.0, 1.0, 10.0, 3)))
    assert len(found) == MOST_TARGETS
    assert {"p2", "p39"} <= set(found)
    lengths = sorted(speed.seconds_per_ns for speed in found.values())
    steps = [b - a for a, b in pairwise(lengths)]
    assert max(steps) - min(steps) <= 1
    assert md_speeds(replace(suite, targets=(SuiteTarget("x", "AXA"), SuiteTarget("ok", "AAA")))).keys() == {"ok"}
