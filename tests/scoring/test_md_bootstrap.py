"""The error of the finite MD: what is known in closed form, and of MD that has no correlation."""

from __future__ import annotations

import numpy as np
import pytest
from proteins import build, wobble
from synthetic_runs import TOY, ensemble, reference, spec

from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError
from ebabench.results.aggregation import perfect_score
from ebabench.scoring import pair
from ebabench.scoring.convergence import correlation_time, slowest_torsion
from ebabench.scoring.md_bootstrap import interval, md_standard_errors, mean_floor, resampled, within_error
from ebabench.scoring.noise_floor import perfect_share
from ebabench.scoring.selection import select_metrics
from ebabench.structures import Ensemble, Reference


def test_a_resample_has_the_frames_of_the_reference_in_blocks() -> None:
    md = reference("one", replicas=3, frames=60)
    made = resampled(md, 10, np.random.default_rng(0))
    assert [len(replica) for replica in made.replicas] == [60, 60, 60]
    frames = {np.asarray(frame).tobytes(): (k, f) for k, r in enumerate(md.replicas) for f, frame in enumerate(r)}
    for replica in made.replicas:
        places = [frames[np.asarray(frame).tobytes()] for frame in replica]
        assert len({k for k, _ in places}) == 1  # of one replica
        for start in range(0, 60, 10):
            block = [f for _, f in places[start : start + 10]]
            assert block == list(range(block[0], block[0] + 10))


def test_the_error_falls_with_the_square_root_of_the_length() -> None:
    """MD without correlation: 16 times as many frames have a quarter of the error."""
    model, errors = ensemble("one", 200), []
    for frames in (60, 960):
        found = md_standard_errors(model, reference("one", frames=frames), [TOY], resamples=40)
        errors.append(found["md_pairwise_rmsd"])
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.5)


def test_replicas_that_differ_make_a_large_error() -> None:
    same = reference("one", frames=200)
    away = np.array([2.0, 0, 0], np.float32) * np.linspace(-1, 1, 6)[:, None] ** 2
    apart = Reference(same.target, (same.replicas[0], same.replicas[1], same.replicas[2] + away), same.tier)
    errors = [md_standard_errors(ensemble("one"), md, [TOY], resamples=30)["shift"] for md in (same, apart)]
    assert errors[1] > 5 * errors[0]


def test_replicas_of_other_energies_make_a_large_error_of_energies() -> None:
    """Two replicas at rest, and a third whose conformations are strained: whether it is drawn decides the energies."""
    target = load_suite("peptides-v1").reference("GAPF").target
    still, strained = (tuple(wobble(target, 12, k, 0.0, width) for k in range(3)) for width in (0.02, 0.3))
    model = Ensemble("GAPF", target.atoms, wobble(target, 12, 9, 0.0, 0.02))
    (energy,) = select_metrics(["energy"]).metrics
    errors = [
        md_standard_errors(model, Reference(target, replicas, "md"), [energy], "corrected", "amber99sbildn-obc", 12)
        for replicas in (still, (*still[:2], strained[2]))
    ]
    assert all(found["energy_js"] > 0 for found in errors)
    for key in ("energy_w1", "energy_w1_trimmed"):  # kJ/mol: they see how far the strained conformations are
        assert errors[1][key] > 2 * errors[0][key] > 0, key
    assert md_standard_errors(model, Reference(target, still, "md"), [energy], resamples=2) == {}


def test_the_error_contains_the_noise_of_the_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics of transport thin the reference by one seed: what other seeds would say lies within the error."""
    target = build("AWTEKL")
    md = Reference(target, tuple(wobble(target, 150, k) for k in range(3)), "test")
    model = Ensemble(target.name, target.atoms, wobble(target, 40, 9, 1.0))
    (metric,) = select_metrics(["md_pca_w2"]).metrics
    error = md_standard_errors(model, md, [metric], resamples=25)["md_pca_w2"]
    found = []
    for seed in range(25):
        monkeypatch.setattr(pair, "_SEED", seed)
        found.append(metric.compute(pair.make_pair(model, md))["md_pca_w2"])
    assert 0 < np.std(found, ddof=1) < error


def test_one_replica_has_no_error() -> None:
    with pytest.raises(InputError) as refused:
        md_standard_errors(ensemble("one"), reference("one", replicas=1), [TOY])
    assert refused.value.code == "md_error.one_replica"


def test_the_flag_is_the_interval_reaching_the_floor() -> None:
    low, high = interval(1.0, 0.1)
    assert within_error(1.0, high - 1e-9, 0.1)
    assert within_error(1.0, low + 1e-9, 0.1)
    assert not within_error(1.0, high + 0.01, 0.1)
    assert not within_error(1.0, 1.5, float("nan"))
    assert mean_floor([{"a": 1.0}, {"a": 3.0}, {}], "a") == 2


@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_a_perfect_model_scores_its_share_of_the_floor(replicas: int) -> None:
    """Means of replicas of unit variance: a perfect model knows the mean."""
    means = np.random.default_rng(1).normal(size=(20000, replicas))
    floor = np.sqrt(np.mean((means[:, 0] - means[:, 1:].mean(1)) ** 2))
    perfect = np.sqrt(np.mean(means.mean(1) ** 2))
    assert perfect / floor == pytest.approx(perfect_share(replicas), rel=0.03)


def test_a_perfect_score_lies_between_the_floor_and_the_ideal() -> None:
    assert perfect_score(spec("a"), 0.3, 3) == pytest.approx(0.3 / 4.5**0.5)
    assert perfect_score(spec("a", better="higher"), 0.7, 3) == pytest.approx(1 - 0.3 / 4.5**0.5)
    assert perfect_score(spec("a", better="higher", unit="%"), 70, 3) == pytest.approx(100 - 30 / 4.5**0.5)
    assert np.isnan(perfect_score(spec("a", better="reference", reference_key="b"), 0.7, 3))
    assert np.isnan(perfect_score(spec("a"), 0.3, 1))


def test_a_correlation_time_is_that_of_an_autoregressive_angle() -> None:
    random, keep = np.random.default_rng(2), 0.9
    angle = np.zeros(40000)
    for k in range(1, len(angle)):
        angle[k] = keep * angle[k - 1] + 0.1 * random.normal()
    expected = 0.5 + keep / (1 - keep)  # the sum over lags of keep^k
    (found,) = correlation_time(angle[:, None], np.array([1]))
    assert found == pytest.approx(expected, rel=0.2)


def test_half_a_turn_of_a_symmetric_torsion_is_no_motion() -> None:
    flips = np.repeat([0.0, np.pi], 500)[:, None] + 0.1 * np.random.default_rng(3).normal(size=(1000, 1))
    assert correlation_time(flips, np.array([2]))[0] < 2
    assert correlation_time(flips, np.array([1]))[0] > 50


def test_frames_without_correlation_are_independent_samples() -> None:
    target = build("AWTEKL")
    md = Reference(target, tuple(wobble(target, 400, k, 0.5, 0.2) for k in range(3)), "test")
    slow = slowest_torsion(md)
    assert slow is not None
    assert 1200 / 4 < slow.samples <= 1200
