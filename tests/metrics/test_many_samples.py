"""More samples than the exact transport can take: sub-samples, with their standard error."""

import numpy as np
import pytest
from proteins import build, ensemble, reference

from ebabench.metrics import transport
from ebabench.metrics.flexibility import mean_own_rmsd, pairwise_rmsd
from ebabench.metrics.transport import over_samples, wasserstein2
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.records import MetricValues, figures_from, figures_to
from ebabench.scoring.spec import Approximation


def clouds(samples: int, shift: float):
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, samples, 2))
    return first + np.array([shift, 0]), second


def distance_of(first, second):
    return lambda rows, columns, own: wasserstein2(first[rows], second[columns], own)


def test_few_samples_are_exact():
    first, second = clouds(300, 1.0)
    assert over_samples(300, None, distance_of(first, second)) == wasserstein2(first, second)


@pytest.mark.slow
def test_many_samples_are_estimated_within_the_error_that_is_given():
    """Two Gaussians 5 apart: their distance is 5, and the noise of 1,000 points adds little."""
    first, second = clouds(6000, 5.0)
    found = over_samples(6000, None, distance_of(first, second))
    assert isinstance(found, Approximation)
    assert 0 < found.standard_error < 0.1
    assert abs(found.value - 5) < 4 * found.standard_error + 0.05


def test_weights_count_in_sub_samples():
    first, second = clouds(3000, 0.0)
    first[:1500] += 10
    weights = np.repeat([1e-6, 1.0], 1500) / 1500
    found = over_samples(3000, weights / weights.sum(), distance_of(first, second))
    assert found.value < 0.5


def test_a_sub_sample_has_the_stated_size(monkeypatch):
    sizes = []
    monkeypatch.setattr(transport, "EXACT", 50)
    over_samples(51, None, lambda rows, columns, own: sizes.append((len(set(rows)), len(set(columns)), own)) or 0.0)
    assert sizes == [(50, 50, None)] * transport.SUBSAMPLES


def test_metrics_of_transport_say_where_they_are_exact(monkeypatch):
    specs = {spec.key: spec for name in METRICS for spec in METRICS.load(name).specs}
    exact = {key for key, spec in specs.items() if spec.exact_up_to is not None}
    assert exact == {"md_pca_w2", "md_vs_md_pca_w2", "joint_pca_w2", "ramachandran_w2"}
    target = build("GAIK")
    pair = make_pair(ensemble(target, frames=60), reference(target))
    found = {}
    monkeypatch.setattr(transport, "EXACT", 30)
    for name in ("distribution", "ramachandran"):
        found |= METRICS.load(name).compute(pair)
    estimated = {key for key, value in found.items() if isinstance(value, Approximation)}
    assert estimated == exact - {"md_vs_md_pca_w2"}


def test_standard_errors_are_kept_in_records():
    figures = MetricValues.of({"a": Approximation(2.0, 0.1), "b": 1.0, "c": Approximation(np.inf, 0.1)})
    assert figures.values == {"a": 2.0, "b": 1.0}
    assert figures.standard_errors == {"a": 0.1}
    assert figures_from(figures_to(figures)) == figures
    assert "standard_errors" not in figures_to(MetricValues({"b": 1.0}))


def test_blocks_of_frames_are_the_whole(monkeypatch):
    frames = np.random.default_rng(0).standard_normal((50, 4, 3)).astype(np.float32)
    weights = np.random.default_rng(1).dirichlet(np.ones(50))
    own = pairwise_rmsd(frames, frames)
    np.fill_diagonal(own, 0)
    monkeypatch.setattr("ebabench.metrics.flexibility._BLOCK", 7)
    assert mean_own_rmsd(frames) == pytest.approx(own.mean())
    assert mean_own_rmsd(frames, weights) == pytest.approx(weights @ own @ weights)
