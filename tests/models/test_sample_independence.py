"""A conformation depends on the seed, the target and its own index alone."""

import numpy as np
import pytest
import torch
from test_compact_model import _geometry

from ebabench.models.eba.denoiser import Config, InternalDenoiser
from ebabench.models.eba.internal import Layout
from ebabench.models.eba.zmatrix import atoms_of
from ebabench.structures import Target
from ebabench.structures.arrays import Positions
from ebabench.training.diffusion import Edm

TOLERANCE = 1e-3  # angstrom: sums of other batches are rounded otherwise on some machines


@pytest.fixture(scope="module")
def sample():
    """Positions of a small network, as a function of how many conformations, how many at a time, and the seed."""
    model = InternalDenoiser(Config(width=16, depth=1, heads=2, pair=4, native_from=99), Edm(), _geometry())
    assert model.geometry is not None
    atoms = atoms_of("GAVK")
    layout = Layout.of(atoms)
    native = layout.unpad(model.geometry.chain(torch.zeros(1, 4, 7), layout))[0].numpy()
    target = Target("GAVK", "GAVK", atoms, native)

    def draw(samples: int, at_once: int, seed: int = 3) -> Positions:
        return model.sample(target, samples, seed, steps=3, batch_residues=4 * at_once)

    return draw


@pytest.mark.parametrize("at_once", [1, 7, 50])
def test_however_many_are_computed_at_a_time(sample, at_once):
    np.testing.assert_allclose(sample(23, at_once), sample(23, 1000), atol=TOLERANCE)


@pytest.mark.parametrize("more", [24, 250, 251, 600])
def test_however_many_others_there_are(sample, more):
    np.testing.assert_allclose(sample(more, 100)[:23], sample(23, 100), atol=TOLERANCE)


def test_another_seed_or_index_is_another_conformation(sample):
    found = sample(520, 1000)
    assert len({frame.tobytes() for frame in found}) == 520
    assert np.abs(sample(5, 5, seed=4) - found[:5]).max() > 0.1
