"""MD-equivalent times by the curves that the package holds: no MD is scored."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ebabench.datasets.md_speed import MdSpeed
from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.generators.cost import Cost
from ebabench.results.md_times import FILE
from ebabench.scoring.md_curve import ErrorCurve, curve_key, joined_curves, load_curve
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.reference_cache import reference_digest
from ebabench.scoring.score import subset
from ebabench.scoring.selection import select_metrics
from ebabench.workflows.md_time import md_time_if_stored

SUITE = load_suite("peptides-v1")
READ = reference_reader(SUITE)
METRICS = select_metrics(SUITE.primary).metrics


@pytest.fixture(scope="module", autouse=True)
def _empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def packaged(suite: Suite) -> dict[str, tuple[str, ErrorCurve]]:
    """The digest of the reference and the packaged curve, by target."""
    found, read = {}, reference_reader(suite)
    for one in suite.targets:
        reference = read(one.name)
        every = reference.target.atoms
        digest, atoms = reference_digest(reference), subset(every, np.arange(len(every))).digest()
        keys = [curve_key(digest, atoms, suite.samples, m, suite.protocol, suite.energy) for m in METRICS]
        stored = [load_curve(key) for key in keys]
        # To make them again: docs/explanation/md-equivalent-time.md
        assert all(stored), f"no curve of {one.name} is packaged for today's metrics"
        found[one.name] = digest, joined_curves([curve for curve in stored if curve is not None])
    return found


@pytest.fixture(scope="module")
def curves() -> dict[str, tuple[str, ErrorCurve]]:
    return packaged(SUITE)


def test_the_curves_of_peptides_v2_are_packaged() -> None:
    suite = load_suite("peptides-v2")
    assert packaged(suite).keys() == {target.name for target in suite.targets}


def test_every_curve_reaches_from_two_frames_to_a_replica(curves: dict[str, tuple[str, ErrorCurve]]) -> None:
    for name, (_, curve) in curves.items():
        frames = SUITE.frames(name)
        assert frames is not None
        sizes = {window.frames for window in curve.windows}
        assert (min(sizes), max(sizes)) == (2, min(frames.values()))
        assert {window.replica for window in curve.windows} == set(frames)
        for figures in curve.figures:
            assert set(SUITE.primary) <= set(figures.values), name


def test_more_md_is_nearer_to_the_rest(curves: dict[str, tuple[str, ErrorCurve]]) -> None:
    for key in SUITE.primary:
        gains = []
        for _, curve in curves.values():
            sizes = sorted({window.frames for window in curve.windows})
            medians = [
                np.median(
                    [f.values[key] for f, w in zip(curve.figures, curve.windows, strict=True) if w.frames == size]
                )
                for size in (sizes[0], sizes[-1])
            ]
            gains.append(medians[0] > medians[1])
        assert np.mean(gains) > 0.8, key


def run_of(
    figures: dict[str, MetricValues], curves: dict[str, tuple[str, ErrorCurve]], folder: Path, **more: Any
) -> Any:
    """What is read of a run, with the figures given."""
    versions = dict.fromkeys(SUITE.primary, 1)
    records = [
        Record(name, SUITE.target(name).sequence, SUITE.tier, SUITE.samples, 3003, 1.0, versions, own,
               inputs={"reference": curves[name][0]}, effective_samples=float(SUITE.samples))
        for name, own in figures.items()
    ]  # fmt: skip
    identity = SimpleNamespace(model="window", protocol=SUITE.protocol, energy=SUITE.energy)
    speeds: dict[str, MdSpeed] = {}
    return SimpleNamespace(
        folder=folder, identity=identity, records=lambda: records, md_speeds=speeds, save_md_speeds=speeds.update,
        costs={name: Cost(SUITE.samples, 5.0, 7.0, "another machine", None, None, None) for name in figures},
    )  # fmt: skip


@pytest.mark.slow
def test_windows_of_md_are_worth_their_length(curves: dict[str, tuple[str, ErrorCurve]], tmp_path: Path) -> None:
    """A model as wrong as the median window of its length, in every metric and target."""

    def median_window(curve: ErrorCurve, place: int) -> tuple[float, MetricValues]:
        size = sorted({window.frames for window in curve.windows})[place]
        own = [f for f, w in zip(curve.figures, curve.windows, strict=True) if w.frames == size]
        return size, MetricValues({key: float(np.median([f.values[key] for f in own])) for key in SUITE.primary})

    for place in (2, 4):
        chosen = {name: median_window(curve, place) for name, (_, curve) in curves.items()}
        lengths = [size * (SUITE.frame_ns(name) or math.nan) for name, (size, _) in chosen.items()]
        figures = {name: own for name, (_, own) in chosen.items()}
        run = run_of(figures, curves, tmp_path)
        made = md_time_if_stored(run, SUITE, READ)
        assert made is not None
        assert run.md_speeds.keys() == {target.name for target in SUITE.targets}  # what as much MD costs here
        assert set(made.metrics) == set(SUITE.primary)
        assert made.cost is not None
        assert made.cost.seconds_per_sample == pytest.approx(5 / SUITE.samples)
        assert made.price is not None
        assert made.price.samples == pytest.approx(5)  # wall time: the machine of the MD is another one
        speed = np.mean([found.seconds_per_ns for found in run.md_speeds.values()])
        assert made.price.md == pytest.approx(made.headline.nanoseconds * speed)
        assert made.headline.low <= np.median(lengths) * 1.5
        assert made.headline.nanoseconds == pytest.approx(np.median(lengths), rel=0.5)
        assert (tmp_path / FILE).exists()


@pytest.mark.slow
def test_a_perfect_model_is_worth_a_replica_or_more(curves: dict[str, tuple[str, ErrorCurve]], tmp_path: Path) -> None:
    figures = dict.fromkeys(curves, MetricValues(dict.fromkeys(SUITE.primary, 0.0)))
    made = md_time_if_stored(run_of(figures, curves, tmp_path), SUITE, READ)
    assert made is not None
    assert (made.headline.censored, made.headline.high) == ("at least", math.inf)


def test_without_a_stored_curve_there_is_no_time(curves: dict[str, tuple[str, ErrorCurve]], tmp_path: Path) -> None:
    figures = dict.fromkeys(curves, MetricValues(dict.fromkeys(SUITE.primary, 0.1)))
    run = run_of(figures, curves, tmp_path)
    run.identity.protocol = "symmetric"
    assert md_time_if_stored(run, SUITE, READ) is None
    assert not (tmp_path / FILE).exists()
