"""Statistical weights: what they mean, for every metric.

A weighted ensemble is a distribution. Its figures depend on that distribution and on the number of frames, and not on
how the weight of one conformation is shared among copies of it.
"""

from dataclasses import replace

import numpy as np
import pytest
from proteins import build, ensemble, reference, turned, wobble

from ebabench.metrics.classifier import cross_validated_auc, kernel_auc, labelled
from ebabench.metrics.collapse import effective_conformations
from ebabench.metrics.contacts import contact_frequency
from ebabench.metrics.distribution import gaussians
from ebabench.metrics.energy import trimmed_w1
from ebabench.metrics.exposure import mutual_information
from ebabench.metrics.flexibility import cross_correlation, mean_own_rmsd, rmsf
from ebabench.metrics.free_energy import smoothed
from ebabench.metrics.histograms import binned
from ebabench.metrics.ramachandran import basin_populations
from ebabench.metrics.secondary_structure import secondary_structure
from ebabench.metrics.slow_torsions import joint_histograms
from ebabench.metrics.torsions import torsion_histograms
from ebabench.metrics.transport import least_cost
from ebabench.metrics.validity import ca_clash_percent
from ebabench.metrics.weighting import mean, systematic
from ebabench.scoring.metric import METRICS, Metric
from ebabench.scoring.pair import make_pair
from ebabench.scoring.score import score_target
from ebabench.scoring.spec import MetricSpec, NotAvailable
from ebabench.structures import Ensemble
from ebabench.structures.geometry import principal_components

TARGET = build("GAWKFL")
MD = reference(TARGET, frames=200)
FAMILIES = [METRICS.load(name) for name in METRICS]
KINDS, FRAMES = 10, 60
NEVER = {"exposed_mi_rho", "exposure_coupling_r"}  # they say that they cannot


def figures(model: Ensemble) -> dict:
    pair = make_pair(model, MD)
    found = {}
    for family in FAMILIES:
        found |= family.compute(pair)
    return found


def assert_same(one: dict, other: dict, skip: set = frozenset()) -> None:
    assert one.keys() == other.keys()
    for key in one.keys() - skip:
        if isinstance(one[key], NotAvailable):
            assert one[key] == other[key], key
        else:
            np.testing.assert_allclose(other[key], one[key], rtol=2e-4, atol=1e-5, err_msg=key)


def copies(which: np.ndarray, weights: np.ndarray | None = None) -> Ensemble:
    """Frames ``which`` of ten conformations."""
    kinds = turned(wobble(TARGET, KINDS, 9, 0.8))
    return Ensemble(TARGET.name, TARGET.atoms, kinds[which], weights=weights)


@pytest.mark.slow
def test_only_the_weight_of_a_conformation_counts_not_how_copies_share_it():
    """Sixty frames, ten conformations, two ways to share the same weights: one of them equal for all frames."""
    shares = np.array([15, 12, 9, 7, 5, 4, 3, 2, 2, 1])
    alike = figures(copies(np.repeat(np.arange(KINDS), shares)))
    often = np.full(KINDS, FRAMES // KINDS)
    which = np.random.default_rng(0).permutation(np.repeat(np.arange(KINDS), often))
    unlike = figures(copies(which, (shares / often)[which]))
    skip = NEVER | {"exposed_mi_rho_exact"}  # ties of counts are exact, ties of sums of weights are not
    assert_same(alike, unlike, skip)
    assert all("equal weights" in unlike[key].reason for key in NEVER)
    assert unlike["exposed_mi_rho_exact"] == pytest.approx(alike["exposed_mi_rho_exact"], abs=0.1, nan_ok=True)


def test_the_scale_of_weights_means_nothing():
    weights = np.random.default_rng(1).random(40)
    model = ensemble(TARGET)
    assert_same(figures(replace(model, weights=weights)), figures(replace(model, weights=1e5 * weights)))


def test_a_conformation_of_weight_zero_is_absent():
    weights = np.random.default_rng(1).random(40)
    weights[::3] = 0
    model = ensemble(TARGET)
    absent = replace(model, positions=model.positions[weights > 0], weights=weights[weights > 0])
    assert_same(figures(replace(model, weights=weights)), figures(absent))


def test_equal_weights_are_no_weights():
    model = ensemble(TARGET)
    plain, weighted = figures(model), figures(replace(model, weights=np.full(40, 0.3)))
    assert all(np.array_equal(plain[key], weighted[key]) or np.isnan(plain[key]) for key in plain if key not in NEVER
               and not isinstance(plain[key], NotAvailable))  # fmt: skip


def test_weights_change_what_they_should():
    """All weight on the frames that look like MD makes a model as good as these alone."""
    near, far = wobble(TARGET, 30, 5), wobble(TARGET, 30, 6, 2.5)
    weights = np.repeat([1.0, 1e-9], 30)
    mixed = figures(Ensemble(TARGET.name, TARGET.atoms, np.concatenate([near, far]), weights=weights))
    equal = figures(Ensemble(TARGET.name, TARGET.atoms, np.concatenate([near, far])))
    for key in ("rmsf_mae", "md_pca_w2", "ramachandran_w2", "js_backbone_torsions", "rmwd", "distance_rmsf_mae"):
        assert mixed[key] < equal[key], key


COUNTS = np.array([3, 1, 2, 5, 1, 4])
WEIGHTS = COUNTS / COUNTS.sum()
CA = np.random.default_rng(3).normal(0, 3, (6, 5, 3)).astype(np.float32)
VALUES = np.random.default_rng(4).normal(0, 1, (6, 3))
ANGLES = np.random.default_rng(5).uniform(-np.pi, np.pi, (6, 4))
HELIX = wobble(build("A" * 8), 6, 1, 1.5)
FUNCTIONS = {
    "mean": (mean, VALUES),
    "rmsf": (rmsf, CA),
    "pairwise_rmsd": (mean_own_rmsd, CA),
    "cross_correlation": (cross_correlation, CA),
    "moments": (lambda x, w: np.concatenate([part.ravel() for part in gaussians(x, w)]), CA),
    "principal components of frames": (lambda x, w: np.abs(principal_components(x, 2, w)[1]), CA),
    "principal components of coordinates": (lambda x, w: np.abs(principal_components(x[:, :1], 2, w)[1]), CA),
    "effective_conformations": (lambda x, w: effective_conformations(x, 4.0, w), CA),
    "contacts": (contact_frequency, CA),
    "clashes": (lambda x, w: ca_clash_percent(x, np.arange(5), w), CA),
    "basins": (lambda x, w: basin_populations(x.reshape(-1, 2, 2), w), ANGLES),
    "torsion histograms": (torsion_histograms, ANGLES),
    "histograms": (lambda x, w: binned(x, np.full(3, -1.0), np.full(3, 1.0), 5, w), VALUES),
    "joint histograms": (lambda x, w: joint_histograms(x[:, :2], VALUES[:, :2], 4, w), VALUES),
    "free energy": (lambda x, w: smoothed(x[:, :2], np.linspace([-2, -2], [2, 2], 9).T, w), VALUES),
    "trimmed_w1": (lambda x, w: trimmed_w1(x[:, 0], VALUES[:, 1], w), VALUES),
    "mutual information": (lambda x, w: mutual_information(x > 0, w), VALUES),
    "secondary structure": (lambda x, w: secondary_structure(build("A" * 8).atoms, x, w), HELIX),
    "classifier": (lambda x, w: cross_validated_auc(labelled(x, VALUES + 0.1, w)), VALUES),
    "classifier of a residue": (lambda x, w: kernel_auc(labelled(x[:, :2], VALUES[:, :2] + 0.1, w)), VALUES),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_integer_weight_is_that_many_repeated_frames(name):
    function, frames = FUNCTIONS[name]
    repeated = function(np.repeat(frames, COUNTS, 0), None)
    np.testing.assert_allclose(function(frames, WEIGHTS), repeated, rtol=1e-5, atol=1e-6)


def test_transport_of_weights_is_that_of_repeated_points():
    rng = np.random.default_rng(0)
    for counts in (COUNTS, np.array([16, 0, 0, 0, 0, 0]), np.array([15, 1, 0, 0, 0, 0])):
        cost = rng.random((6, 16))
        found = least_cost(cost, counts / counts.sum())
        assert found == pytest.approx(least_cost(np.repeat(cost, counts, 0)), rel=1e-9)


def test_systematic_resampling_draws_every_index_as_often_as_its_weight_says():
    weights = np.random.default_rng(0).dirichlet(np.ones(30))
    for offset in (0.0, 0.3, 0.99):
        often = np.bincount(systematic(weights, 200, offset), minlength=30)
        assert often.sum() == 200
        assert (np.abs(often - 200 * weights) < 1).all()
    assert systematic(np.array([0.5, 0.0, 0.5]), 4).tolist() == [0, 0, 2, 2]


def test_a_family_that_ignores_weights_is_not_available_with_them():
    spec = MetricSpec("plain", 1, "plain", "", "lower", "median", "ca", "")
    plain = Metric("plain", (spec,), lambda pair: {"plain": float(pair.model.mean())})
    model = ensemble(TARGET)
    weighted = replace(model, weights=np.arange(40.0))
    assert "plain" in score_target(model, MD, [plain]).figures.values
    record = score_target(weighted, MD, [plain])
    assert "do not honour statistical weights" in record.figures.reasons["plain"]
    assert record.effective_samples == pytest.approx(weighted.effective_samples)
    assert len(record.floor) == 3
