"""The interface of a generative process. ``diffusion.Edm`` and ``flow.Flow`` implement it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Returns the expected clean coordinates of noisy coordinates [S, ...] at levels [S]."""

Noise = Callable[[], Tensor]
"""Returns new unit noise [S, ...] at every call. Sampling runs on the device of the noise."""

_EDGE = 1e-5  # quantiles closer to 0 and 1 are not drawn: their noise is none or all


@dataclass(frozen=True)
class LogNormal:
    """Training noise with normal ln(sigma / sigma_data). Sigma is noise over signal, in units of the coordinates.

    For flow matching, with sigma = sigma_data t / (1 - t), the times t are logit-normal.
    """

    sigma_data: float = 0.7
    log_mean: float = -1.0
    log_std: float = 1.5

    def sigma_at(self, quantile: Tensor) -> Tensor:
        """Return sigma at quantiles in [0, 1] of the distribution (Karras et al., arXiv:2206.00364, section 5)."""
        u = quantile.clamp(_EDGE, 1 - _EDGE)
        return self.sigma_data * torch.exp(self.log_mean + self.log_std * 2**0.5 * torch.erfinv(2 * u - 1))


@dataclass(frozen=True)
class LogUniform:
    """Noise for likelihoods: ln(sigma) is uniform, so that no draw dominates."""

    lowest: float = 0.01
    highest: float = 30.0

    def sigma_at(self, quantile: Tensor) -> Tensor:
        """Return sigma at quantiles in [0, 1]."""
        return self.lowest * (self.highest / self.lowest) ** quantile

    def weight(self, sigma: Tensor) -> Tensor:
        """Return the weight with which the summed squared error, averaged over draws, is -log p plus a constant.

        -log p(x) = integral over ln(sigma) of E[(x - D)^2] / sigma^2 + constant, exact for an ideal denoiser D (Kong et
        al., arXiv:2302.03792, equation 8). The weight is 1 / sigma^2 over the density of ln(sigma).
        """
        return math.log(self.highest / self.lowest) / sigma**2


class Process(Protocol):
    """Noise levels and the path of coordinates from data to noise and back. A level is sigma for EDM, t for a flow."""

    @property
    def noise(self) -> LogNormal:
        """The distribution of training noise."""
        ...

    def level(self, sigma: Tensor) -> Tensor:
        """Return the level at which noise over signal is sigma."""
        ...

    def sigma(self, level: Tensor) -> Tensor:
        """Return noise over signal at a level."""
        ...

    def progress(self, level: Tensor) -> Tensor:
        """Return the fraction of the process that a level has passed: 0 for data, 1 for pure noise."""
        ...

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Return noisy coordinates at levels that broadcast with them."""
        ...

    def precondition(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return c_skip, c_out, c_in and c_noise: D(x) = c_skip x + c_out network(c_in x, c_noise)."""
        ...

    def weight(self, level: Tensor) -> Tensor:
        """Return the weight of the squared error of D with which all training draws count alike."""
        ...

    def sample(self, denoise: Denoise, noise: Noise, *, steps: int, **settings: Any) -> Tensor:
        """Return samples with the shape of the noise. ``settings`` are those of ``sampler.sample``."""
        ...


def unit_noise(shape: tuple[int, ...], generator: torch.Generator) -> Noise:
    """Return a source of normal noise of that shape on the device of the generator."""
    return lambda: torch.randn(shape, generator=generator, device=generator.device)


def stratified(targets: int, draws: int, generator: torch.Generator, parts: int = 1) -> Tensor:
    """Return quantiles [targets, draws] of training noise, stratified within each of ``parts`` consecutive parts.

    Each part has one quantile in each of ``draws / parts`` equal strata.

    Args:
        targets: Number of targets.
        draws: Number of draws per target, a multiple of ``parts``.
        generator: Source of random numbers.
        parts: Number of parts; two for crossed draws.

    Example:
        >>> halves = stratified(1, 4, torch.Generator().manual_seed(0), parts=2).view(2, 2)
        >>> (halves * 2).long().tolist()
        [[0, 1], [0, 1]]
    """
    uniform = torch.rand(targets, draws, generator=generator, device=generator.device)
    strata = draws // parts
    return (torch.arange(draws, device=generator.device) % strata + uniform) / strata
