"""The sampler against data whose ideal denoiser is known in closed form."""

import pytest
import torch
from torch import Tensor

from ebabench.training.diffusion import Edm
from ebabench.training.process import unit_noise

EDM = Edm(sigma_data=0.7)


def _sampled(width: float, **settings: float) -> Tensor:
    """Samples of a Gaussian of mean 2 by its ideal denoiser."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        share = width**2 / (width**2 + sigma[:, None] ** 2)
        return 2.0 + share * (x - 2.0)

    generator = torch.Generator().manual_seed(0)
    return EDM.sample(denoise, unit_noise((20000, 1), generator), steps=100, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [0.1, 0.7, 2.0])
def test_a_gaussian_is_sampled_with_its_mean_and_width(width: float) -> None:
    x = _sampled(width)
    assert float(x.mean()) == pytest.approx(2.0, abs=4 * width / 20000**0.5 + 0.01)
    assert float(x.std()) == pytest.approx(width, rel=0.03)


def test_more_noise_broadens_and_longer_steps_sharpen() -> None:
    plain = float(_sampled(0.7).std())
    assert float(_sampled(0.7, noise_scale=1.3).std()) > 1.05 * plain
    assert float(_sampled(0.7, step_scale=1.1).std()) < 0.97 * plain


def test_the_schedule_falls_from_the_highest_noise_to_none() -> None:
    levels = EDM.schedule(20)
    assert len(levels) == 21
    assert float(levels[0]) == pytest.approx(EDM.sigma_max, rel=1e-5)
    assert float(levels[-2]) == pytest.approx(EDM.sigma_min, rel=1e-4)
    assert float(levels[-1]) == 0
    assert bool((levels.diff() < 0).all())


def test_preconditioning_gives_unit_input_and_keeps_clean_data() -> None:
    sigma = torch.tensor([1e-4, 0.7, 50.0])
    skip, out, scale, _ = EDM.precondition(sigma)
    torch.testing.assert_close(scale**2 * (sigma**2 + 0.7**2), torch.ones(3))
    assert float(skip[0]) == pytest.approx(1, abs=1e-5)
    assert float(out[0]) == pytest.approx(0, abs=1e-3)
    # EDM section 5: the weight cancels the output scale, so that every noise level counts alike.
    torch.testing.assert_close(EDM.weight(sigma) * out**2, torch.ones(3))
