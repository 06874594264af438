"""Flow matching along straight lines (Lipman et al., ICLR 2023, arXiv:2210.02747; Liu et al., arXiv:2209.03003).

Coordinates go from data x to Gaussian noise n as x_t = (1 - t) x + t sigma_data n, and back along the velocity that a
network predicts. The clean coordinates it expects are x_t - t v, so that a flow is a denoiser like any other, and its
loss an energy in the same units as diffusion's: at equal noise over signal the two see the same problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ebabench.training.process import Denoise, LogNormal, Noise
from ebabench.training.sampler import sample


@dataclass(frozen=True)
class Flow:
    """Straight-line flow. Levels are times t, 0 for data and 1 for noise; training draws them logit-normally."""

    name: ClassVar[str] = "flow"

    sigma_data: float = 0.7
    latest: float = 0.999
    log_mean: float = 0.0
    log_std: float = 1.5

    @property
    def noise(self) -> LogNormal:
        """Logit-normal times, as a distribution of noise over signal (Esser et al., arXiv:2403.03206, section 3.1)."""
        return LogNormal(self.sigma_data, self.log_mean, self.log_std)

    def level(self, sigma: Tensor) -> Tensor:
        """Return the time sigma / (sigma + sigma_data)."""
        return sigma / (sigma + self.sigma_data)

    def sigma(self, level: Tensor) -> Tensor:
        """Return sigma_data t / (1 - t)."""
        return self.sigma_data * level / (1 - level)

    def progress(self, level: Tensor) -> Tensor:
        """Return the time."""
        return level

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Return (1 - t) x + t sigma_data n."""
        return (1 - level) * clean + level * self.sigma_data * noise

    def weight(self, level: Tensor) -> Tensor:
        """Return the weight that turns the squared error of clean coordinates into that of velocity / sigma_data."""
        return 1 / (level * self.sigma_data) ** 2

    def precondition(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the factors with which the network reads scaled coordinates and returns velocity / sigma_data."""
        spread = self.sigma_data * ((1 - level) ** 2 + level**2).sqrt()
        return torch.ones_like(level), -level * self.sigma_data, 1 / spread, torch.logit(level) / 4

    def schedule(self, steps: int) -> Tensor:
        """Return noise over signal [steps + 1], falling to 0 in equal steps of t."""
        return self.sigma(torch.linspace(self.latest, 0, steps + 1))

    def sample(self, denoise: Denoise, noise: Noise, *, steps: int, **settings: Any) -> Tensor:
        """Return samples with the shape of the noise. ``settings`` are those of ``sampler.sample``.

        ``churn=0`` follows the flow. A flow divided by its signal 1 - t is sampled as a diffusion with noise sigma.
        """

        def seen(x: Tensor, sigma: Tensor) -> Tensor:
            level = self.level(sigma)
            return denoise(x * (1 - level).view(-1, *[1] * (x.ndim - 1)), level)

        return sample(seen, self.schedule(steps), noise, sigma_data=self.sigma_data, **settings)
