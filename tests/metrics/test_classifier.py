"""The classifier two-sample test: chance where there is nothing to tell, certainty where there is."""

import numpy as np
import pytest
from proteins import HELIX, STRAND, build, turned, wobble
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from ebabench.metrics.classifier import (
    CLASSIFIER,
    FOLDS,
    cross_validated_auc,
    kernel_auc,
    labelled,
    weighted_auc,
)
from ebabench.metrics.kernels.radial import radial_kernels
from ebabench.metrics.slow_torsions import features
from ebabench.scoring.pair import make_pair
from ebabench.scoring.spec import NotAvailable
from ebabench.structures import Ensemble, Reference


def angles(samples, center, seed, torsions=4):
    return features(np.random.default_rng(seed).vonmises(center, 4, (samples, torsions)))


@pytest.mark.parametrize("auc", [cross_validated_auc, kernel_auc])
def test_two_samples_of_one_distribution_cannot_be_told_apart(auc):
    found = [auc(labelled(angles(200, 0, k), angles(200, 0, 100 + k))) for k in range(4)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)
    assert np.max(np.abs(np.array(found) - 0.5)) < 0.1


@pytest.mark.parametrize("auc", [cross_validated_auc, kernel_auc])
def test_the_further_apart_the_better_they_are_told(auc):
    found = [auc(labelled(angles(200, shift, 0), angles(200, 0, 1))) for shift in (0.0, 0.3, 1.0, 3.0)]
    assert sorted(found) == found
    assert found[-1] > 0.999


@pytest.mark.parametrize("auc", [cross_validated_auc, kernel_auc])
def test_the_order_of_samples_means_nothing(auc):
    model, md = angles(60, 0.3, 0), angles(60, 0, 1)
    shuffled = np.random.default_rng(2).permutation(60)
    assert auc(labelled(model[shuffled], md[::-1])) == pytest.approx(auc(labelled(model, md)), abs=1e-12)


@pytest.mark.parametrize(("size", "torsions", "weighted"), [(40, 1, False), (101, 7, True), (150, 90, False)])
def test_kernels_that_are_computed_once_predict_what_the_radial_kernel_of_scikit_learn_does(size, torsions, weighted):
    rng = np.random.default_rng(size)
    points, of_model = angles(size, 0, size, torsions), np.arange(size) % 2 == 0
    weights, gamma = rng.uniform(0.1, 2, size) if weighted else np.ones(size), 1 / torsions
    train, test = np.arange(size) % 5 != 0, np.arange(size) % 5 == 0
    trained, predicting = radial_kernels(points, gamma)
    ours = SVC(kernel="precomputed").fit(trained[np.ix_(train, train)], of_model[train], weights[train])
    theirs = SVC(kernel="rbf", gamma=gamma).fit(points[train], of_model[train], weights[train])
    found = ours.decision_function(predicting[np.ix_(test, train)])
    assert found == pytest.approx(theirs.decision_function(points[test]), abs=1e-12)


def test_a_coupling_is_told_though_every_torsion_is_as_in_md():
    """Both torsions are uniform on either side; in MD they are the same, in the model unrelated."""
    rng = np.random.default_rng(0)
    one = rng.uniform(-np.pi, np.pi, (300, 1))
    md = features(np.concatenate([one, one + 0.2 * rng.standard_normal((300, 1))], axis=1))
    model = features(rng.uniform(-np.pi, np.pi, (300, 2)))
    assert cross_validated_auc(labelled(model, md)) > 0.8
    assert kernel_auc(labelled(model[:, [0, 2]], md[:, [0, 2]])) == pytest.approx(0.5, abs=0.1)


def test_copies_become_one_row():
    model, md = angles(20, 0, 0), angles(20, 0, 1)
    data = labelled(np.repeat(model, 3, 0), md)
    assert len(data.weights) == 40
    np.testing.assert_allclose(data.weights[data.of_model], 1 / 20)


def test_area_under_the_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, positive, weights = rng.integers(0, 20, 100).astype(float), rng.random(100) < 0.4, rng.random(100)
    for side in (True, False):
        weights[positive == side] /= weights[positive == side].sum()
    expected = roc_auc_score(positive, scores, sample_weight=weights)
    assert weighted_auc(scores, positive, weights) == pytest.approx(expected)


def test_the_profile_names_the_residues_that_differ():
    """Residues 2 to 5 of one model are extended; the other model is as MD is."""
    helix, bent = build("GAVLKA", HELIX), build("GAVLKA", STRAND)
    md = Reference(helix, tuple(wobble(helix, 200, k, 0.3, 0.05) for k in (1, 2)), "test")
    same = make_pair(Ensemble("t", helix.atoms, turned(wobble(helix, 100, 9, 0.3, 0.05))), md)
    other = make_pair(Ensemble("t", helix.atoms, turned(wobble(bent, 100, 9, 0.3, 0.05))), md)
    alike, unlike = CLASSIFIER.compute(same), CLASSIFIER.compute(other)
    assert abs(alike["classifier_skill"]) < 0.4
    assert unlike["classifier_skill"] > 0.98
    assert unlike["classifier_residue_skill"][1:5].min() > 0.98
    assert np.abs(alike["classifier_residue_skill"]).max() < 0.4


def test_a_single_structure_has_no_classifier():
    target = build("GAVLKA")
    md = Reference(target, (wobble(target, 200, 1),), "test")
    still = Ensemble("t", target.atoms, np.repeat(target.native[None], 50, 0))
    found = CLASSIFIER.compute(make_pair(still, md))
    assert all(isinstance(value, NotAvailable) for value in found.values())
    assert f"fewer than {FOLDS} distinct" in found["classifier_skill"].reason
