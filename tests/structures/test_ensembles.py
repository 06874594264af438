"""Statistical weights of an ensemble: what is accepted, what is refused, what they are worth."""

import numpy as np
import pytest

from ebabench.errors import InputError
from ebabench.structures import Atoms, Ensemble

ATOMS = Atoms(np.array(["CA"]), np.array(["ALA"]), np.array([0]))


def weighted(*weights: float) -> Ensemble:
    return Ensemble("t", ATOMS, np.zeros((len(weights), 1, 3), np.float32), weights=np.array(weights))


def test_weights_sum_to_one_whatever_their_scale():
    for scale in (1e-300, 1.0, 7.0, 1e307):
        np.testing.assert_allclose(weighted(*(scale * np.array([1.0, 2, 5]))).weights, [0.125, 0.25, 0.625], rtol=1e-12)


def test_normalised_weights_keep_their_bits():
    once = weighted(*np.random.default_rng(0).random(1000)).weights
    assert (weighted(*once).weights == once).all()


def test_equal_weights_are_none():
    assert weighted(0.3, 0.3, 0.3).weights is None
    assert weighted(1, 1, 0).weights is not None


@pytest.mark.parametrize("wrong", [(1, -1e-9), (1, np.nan), (np.inf, 1), (0, 0)])
def test_weights_that_weigh_nothing_are_refused(wrong):
    with pytest.raises(InputError) as refused:
        weighted(*wrong)
    assert refused.value.code == "ensemble.weights"
    assert refused.value.named == {"target": "t"}


def test_weights_of_another_number_of_conformations_are_refused():
    with pytest.raises(InputError) as refused:
        Ensemble("t", ATOMS, np.zeros((2, 1, 3), np.float32), weights=np.ones(3))
    assert refused.value.code == "ensemble.weights"


def test_effective_samples_of_kish():
    assert weighted(1, 1, 1, 1).effective_samples == 4
    assert weighted(1, 1, 0, 0).effective_samples == pytest.approx(2)
    assert weighted(3, 1).effective_samples == pytest.approx(16 / 10)
    assert weighted(1, 1e-9).effective_samples == pytest.approx(1)
