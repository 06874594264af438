"""Flow matching: the same contracts as diffusion, on data whose ideal denoiser is known in closed form."""

import math

import pytest
import torch
from torch import Tensor

from ebabench.training.diffusion import Edm
from ebabench.training.flow import Flow
from ebabench.training.process import Denoise, LogNormal, LogUniform, Process, stratified, unit_noise

FLOW = Flow(sigma_data=0.7)
PROCESSES: list[Process] = [Edm(sigma_data=0.7), FLOW]
WIDTHS = [0.1, 0.7, 2.0]


def _ideal(process: Process, mean: float, width: float) -> Denoise:
    """The expected clean coordinate of a Gaussian, from noisy ones at a level, in terms of `noised` alone."""

    def denoise(x: Tensor, level: Tensor) -> Tensor:
        level = level.reshape(-1, *[1] * (x.ndim - 1))
        signal = process.noised(torch.ones_like(level), torch.zeros_like(level), level)
        noise = process.noised(torch.zeros_like(level), torch.ones_like(level), level)
        gain = signal * width**2 / (signal**2 * width**2 + noise**2)
        return mean + gain * (x - signal * mean)

    return denoise


@pytest.mark.parametrize("width", WIDTHS)
def test_a_gaussian_is_sampled_with_its_mean_and_width(width: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = FLOW.sample(_ideal(FLOW, 2.0, width), unit_noise((20000, 1), generator), steps=100)
    assert float(x.mean()) == pytest.approx(2.0, abs=4 * width / 20000**0.5 + 0.01)
    assert float(x.std()) == pytest.approx(width, rel=0.03)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_flow_itself_gives_the_same_without_noise(width: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = FLOW.sample(_ideal(FLOW, 2.0, width), unit_noise((20000, 1), generator), steps=100, churn=0.0)
    assert float(x.mean()) == pytest.approx(2.0, abs=4 * width / 20000**0.5 + 0.01)
    assert float(x.std()) == pytest.approx(width, rel=0.03)


@pytest.mark.parametrize("process", PROCESSES)
def test_levels_are_noise_over_signal_in_other_words(process: Process) -> None:
    sigma = torch.logspace(-2, 1, 7)
    level = process.level(sigma)
    torch.testing.assert_close(process.sigma(level), sigma)
    one = torch.ones(7)
    signal, noise = process.noised(one, 0 * one, level), process.noised(0 * one, one, level)
    torch.testing.assert_close(noise / signal, sigma)
    progress = process.progress(level)
    assert bool((progress.diff() > 0).all())
    assert 0 <= float(progress.min()) <= float(progress.max()) <= 1


@pytest.mark.parametrize("process", PROCESSES)
def test_the_network_sees_and_gives_numbers_of_order_one(process: Process) -> None:
    """Input scaled to unit spread; target (clean - skip noisy) / out of unit order at any level; weights even."""
    generator = torch.Generator().manual_seed(1)
    clean, noise = 0.7 * torch.randn(100_000, generator=generator), torch.randn(100_000, generator=generator)
    for sigma in (1e-2, 0.3, 2.0, 30.0):
        level = process.level(torch.tensor(sigma))
        noisy = process.noised(clean, noise, level)
        skip, out, scale, told = process.precondition(level)
        assert float((scale * noisy).std()) == pytest.approx(1, rel=0.02)
        assert 0.7 < float(((clean - skip * noisy) / out).std()) < 1.5
        assert float(process.weight(level) * out**2) == pytest.approx(1, rel=1e-4)
        assert bool(torch.isfinite(told))


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_weighted_error_of_an_ideal_denoiser_is_the_negative_log_likelihood(process: Process, width: float) -> None:
    """The I-MMSE relation in closed form: differences of -log p of a Gaussian, from errors under training noise."""
    x = torch.tensor([[2.0], [2.0 + width], [2.0 + 2 * width]], dtype=torch.float64)
    draws = LogUniform(1e-3, 1e3)
    sigma = draws.sigma_at((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    level = process.level(sigma)
    # The mean over the noise in closed form: a plus and a minus unit draw have a Gaussian's first two moments.
    errors = torch.zeros(3, len(sigma), dtype=torch.float64)
    denoise = _ideal(process, 2.0, width)
    for sign in (-1.0, 1.0):
        noisy = process.noised(x, torch.full_like(sigma, sign), level)
        clean = denoise(noisy.T, level).T
        errors += (clean - x) ** 2 / 2
    energies = (draws.weight(sigma) * errors).mean(-1)
    torch.testing.assert_close(energies - energies[0], torch.tensor([0.0, 0.5, 2.0]).double(), rtol=1e-3, atol=1e-3)


def test_training_noise_is_log_normal_and_strata_cover_it() -> None:
    noise = LogNormal(0.7, -1.0, 1.5)
    quantile = stratified(500, 16, torch.Generator().manual_seed(0))
    assert bool(((quantile * 16).floor() == torch.arange(16)).all())
    logs = (noise.sigma_at(quantile) / 0.7).log()
    assert float(logs.mean()) == pytest.approx(-1.0, abs=0.02)
    assert float(logs.std()) == pytest.approx(1.5, rel=0.02)
    assert bool(torch.isfinite(noise.sigma_at(torch.tensor([0.0, 1.0])).log()).all())


def test_strata_lower_the_variance_of_a_mean_over_levels() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = LogNormal()
    even = noise.sigma_at(stratified(4000, 8, generator)).log().mean(-1).var()
    plain = noise.sigma_at(torch.rand(4000, 8, generator=generator)).log().mean(-1).var()
    assert float(even) < float(plain) / 10


def test_a_flow_and_a_diffusion_see_one_problem() -> None:
    """At equal noise over signal their noisy coordinates are the same up to a known factor."""
    generator = torch.Generator().manual_seed(2)
    clean, noise = torch.randn(5, generator=generator), torch.randn(5, generator=generator)
    sigma = torch.tensor(0.4)
    time = FLOW.level(sigma)
    torch.testing.assert_close(FLOW.noised(clean, noise, time) / (1 - time), Edm().noised(clean, noise, sigma))
    assert math.isclose(float(time), 0.4 / 1.1, rel_tol=1e-6)
