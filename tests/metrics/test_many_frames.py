"""What is computed block by block, so that memory stays in bounds, is what the definition says of all frames."""

import numpy as np
import pytest

from ebabench.metrics.divergence import radius_of_gyration
from ebabench.metrics.kernels import distances as kernel
from ebabench.metrics.kernels.contacts import near
from ebabench.metrics.torsion_counts import bins, histogram
from ebabench.structures.torsions import ALPHA, BETA, LEFT, PPII, basins

FRAMES = np.random.default_rng(5).normal(size=(2500, 7, 3)).astype(np.float32) * 5
APART = np.linalg.norm(FRAMES[:, :, None].astype(np.float64) - FRAMES[:, None], axis=-1)


@pytest.mark.parametrize("at_once", [1, 3 * 2500 * 3, 10**8])
def test_distances_do_not_depend_on_how_many_points_are_read_at_a_time(monkeypatch, at_once):
    monkeypatch.setattr(kernel, "_AT_ONCE", at_once)
    found, expected = kernel.pair_distances(FRAMES, 8), APART[:, *np.triu_indices(7, 1)]
    for name, values in (("low", expected.min(0)), ("high", expected.max(0)), ("mean", expected.mean(0))):
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-6)
    np.testing.assert_allclose(found.variance, expected.var(0), rtol=1e-5)
    assert (found.counts.sum(1) == 2500).all()
    assert (found.counts[:, [0, -1]] == 0).all()


def test_contacts_of_many_frames_are_the_share_of_frames():
    np.testing.assert_allclose(near(FRAMES, 8.0), (APART < 8).mean(0), atol=1e-12)
    weights = np.random.default_rng(6).random(2500)
    weights /= weights.sum()
    np.testing.assert_allclose(near(FRAMES, 8.0, weights), np.tensordot(weights, APART < 8, 1), atol=1e-12)


def test_radii_of_gyration_of_many_frames():
    away = FRAMES - FRAMES.mean(1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(radius_of_gyration(FRAMES), np.sqrt((away**2).sum(2).mean(1)), rtol=1e-12)


def test_every_angle_is_in_one_bin_and_one_basin():
    angles = np.random.default_rng(7).uniform(-np.pi, np.pi, (400, 5, 2)).astype(np.float32)
    angles[0] = np.pi
    assert (histogram(bins(angles[..., 0]), 100).sum(1) == 400).all()
    assert (histogram(basins(angles), 4).sum(1) == 400).all()


@pytest.mark.parametrize(
    ("phi", "psi", "basin"), [(60, 0, LEFT), (-60, -45, ALPHA), (-120, 130, BETA), (-70, 140, PPII), (-70, -150, PPII)]
)
def test_basins_are_those_of_the_known_conformations(phi, psi, basin):
    assert basins(np.radians([[[phi, psi]]])).item() == basin
