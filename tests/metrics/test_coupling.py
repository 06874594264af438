"""Concerted exposure beyond chance, and energies without their tails: closed forms."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import wasserstein_distance
from sklearn.metrics.cluster import expected_mutual_information as sklearn_expectation

from ebabench.metrics.energy import trimmed_w1
from ebabench.metrics.exposure import _coupling, expected_mutual_information, mutual_information
from ebabench.scoring.spec import NotAvailable


def test_expected_information_is_the_mean_over_all_shuffles():
    """All 70 ways in which the four entries of one column can lie."""
    one = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    found = []
    for chosen in itertools.combinations(range(8), 4):
        other = np.zeros(8, bool)
        other[list(chosen)] = True
        found.append(mutual_information(np.stack([one, other], axis=1))[0, 1])
    assert expected_mutual_information(np.array([3, 4]), 8)[0, 1] == pytest.approx(np.mean(found))


def test_expected_information_is_that_of_scikit_learn():
    on, samples = np.array([5, 30, 77]), 100
    found = expected_mutual_information(on, samples)
    for i, j in itertools.product(range(3), repeat=2):
        low = max(on[i] + on[j] - samples, 0)
        # Any table with these sums: the expectation depends on the sums only.
        table = np.array([[samples - on[i] - on[j] + low, on[j] - low], [on[i] - low, low]])
        assert found[i, j] == pytest.approx(sklearn_expectation(csr_matrix(table), samples))


def test_a_constant_column_has_no_information():
    assert expected_mutual_information(np.array([0, 50, 100]), 100)[0].tolist() == [0, 0, 0]


def pairs_of_residues(samples, coupled, seed):
    """Twelve residues, exposed half of the time, in six pairs that move together as far as ``coupled`` says."""
    rng = np.random.default_rng(seed)
    first = rng.random((samples, 6)) < 0.5
    follows = rng.random((samples, 6)) < coupled
    second = np.where(follows, first, rng.random((samples, 6)) < 0.5)
    return np.concatenate([first, second], axis=1)


def coupling(model, md):
    """The metric of equal weights, without a cache."""
    pair = SimpleNamespace(weights=None, of_reference=lambda name, version, compute: compute())
    return _coupling(pair, model, md)


def test_shuffling_a_models_frames_residue_by_residue_takes_its_coupling():
    md = pairs_of_residues(2000, 0.8, 0)
    model = pairs_of_residues(500, 0.8, 1)
    rng = np.random.default_rng(2)
    shuffled = np.stack([rng.permutation(column) for column in model.T], axis=1)
    assert coupling(model, md) > 0.4
    assert abs(coupling(shuffled, md)) < 0.25


def test_residues_that_do_not_vary_in_md_do_not_count():
    md = pairs_of_residues(1000, 0.8, 0)
    model = pairs_of_residues(500, 0.8, 1)
    rare = np.zeros((1000, 3), bool)
    rare[0] = True
    more = np.concatenate([md, rare], axis=1)
    with_rare = np.concatenate([model, np.random.default_rng(0).random((500, 3)) < 0.5], axis=1)
    assert coupling(with_rare, more) == coupling(model, md)
    assert isinstance(coupling(model[:, :4], md[:, :4]), NotAvailable)


def test_trimmed_distance_of_shifted_samples_is_the_shift():
    rng = np.random.default_rng(0)
    energies = rng.normal(0, 10, 250)
    assert trimmed_w1(energies + 7, energies) == pytest.approx(7)
    assert trimmed_w1(energies, energies) == 0
    assert trimmed_w1(energies + 7, energies, trimmed=0.0) == pytest.approx(
        wasserstein_distance(energies + 7, energies)
    )


def test_untrimmed_is_the_distance_of_scipy_for_any_weights():
    rng = np.random.default_rng(0)
    one, other, weights = rng.normal(3, 2, 40), rng.normal(0, 5, 70), rng.dirichlet(np.ones(40))
    expected = wasserstein_distance(one, other, weights)
    assert trimmed_w1(one, other, weights, 0.0) == pytest.approx(expected)


def test_a_few_torn_structures_do_not_decide():
    rng = np.random.default_rng(0)
    md, model = rng.normal(0, 10, 250), rng.normal(2, 10, 250)
    torn = model.copy()
    torn[:20] += 1e4
    assert wasserstein_distance(torn, md) > 500
    assert trimmed_w1(torn, md) < trimmed_w1(model, md) + 6
    beyond = np.where(np.arange(250) < 20, np.inf, model)
    assert np.isfinite(trimmed_w1(beyond, md))
    assert np.isinf(trimmed_w1(np.where(np.arange(250) < 40, np.inf, model), md))
