"""What a generative process is to training and sampling: `diffusion.Edm` and `flow.Flow` are the two."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""From noisy coordinates [S, ...] and their levels [S] to the expected clean coordinates."""

Noise = Callable[[], Tensor]
"""Fresh unit noise [S, ...] of S samples at every call. Where it lies, sampling runs."""

_EDGE = 1e-5  # quantiles closer to 0 and 1 are not drawn: their noise is none or all


@dataclass(frozen=True)
class LogNormal:
    """How training draws noise: ln(sigma / sigma_data) is normal. Sigma is noise over signal, in units of coordinates.

    For flow matching, where sigma = sigma_data t / (1 - t), this makes t logit-normal.
    """

    sigma_data: float = 0.7
    log_mean: float = -1.0
    log_std: float = 1.5

    def sigma_at(self, quantile: Tensor) -> Tensor:
        """Sigma at quantiles in [0, 1] of the training distribution (Karras et al., arXiv:2206.00364, section 5)."""
        u = quantile.clamp(_EDGE, 1 - _EDGE)
        return self.sigma_data * torch.exp(self.log_mean + self.log_std * 2**0.5 * torch.erfinv(2 * u - 1))


@dataclass(frozen=True)
class LogUniform:
    """Noise drawn for likelihoods: ln(sigma) is uniform, so that no draw counts much more than another."""

    lowest: float = 0.01
    highest: float = 30.0

    def sigma_at(self, quantile: Tensor) -> Tensor:
        """Sigma at quantiles in [0, 1]."""
        return self.lowest * (self.highest / self.lowest) ** quantile

    def weight(self, sigma: Tensor) -> Tensor:
        """What makes the squared error summed over coordinates, averaged over draws, -log p plus a constant.

        -log p(x) = 1/2 integral of |x - D|^2 d(1/sigma^2) + constant, exact for an ideal denoiser (Kong et al.,
        arXiv:2302.03792, equation 8), so that the weight is 1 / sigma^2 over the density of ln(sigma).
        """
        return math.log(self.highest / self.lowest) / sigma**2


class Process(Protocol):
    """Noise levels, and how coordinates go from data to noise and back. A level is sigma for EDM and t for a flow."""

    @property
    def noise(self) -> LogNormal:
        """How training draws noise."""
        ...

    def level(self, sigma: Tensor) -> Tensor:
        """The level at which noise over signal is sigma."""
        ...

    def sigma(self, level: Tensor) -> Tensor:
        """Noise over signal at a level."""
        ...

    def progress(self, level: Tensor) -> Tensor:
        """How much of the process a level has gone through, from 0 for data to 1 for noise alone."""
        ...

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Coordinates at levels that broadcast with them, under unit noise."""
        ...

    def precondition(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in and c_noise: D(x) = c_skip x + c_out network(c_in x, c_noise)."""
        ...

    def weight(self, level: Tensor) -> Tensor:
        """Weight of the squared error of D that makes every training draw count alike."""
        ...

    def sample(self, denoise: Denoise, noise: Noise, *, steps: int, **settings: Any) -> Tensor:
        """Samples of the noise's shape, the first axis counting them; ``settings`` are `sampler.sample`'s."""
        ...


def unit_noise(shape: tuple[int, ...], generator: torch.Generator) -> Noise:
    """Return a source of normal noise of that shape, where the generator lies."""
    return lambda: torch.randn(shape, generator=generator, device=generator.device)


def stratified(targets: int, draws: int, generator: torch.Generator) -> Tensor:
    """Quantiles [targets, draws] of training noise, one in each of ``draws`` equal strata, so that they cover it."""
    uniform = torch.rand(targets, draws, generator=generator, device=generator.device)
    return (torch.arange(draws, device=generator.device) + uniform) / draws
