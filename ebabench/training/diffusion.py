"""The EDM diffusion process (Karras et al., NeurIPS 2022, arXiv:2206.00364).

Knows tensors only: what a coordinate means is the denoiser's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ebabench.training.process import Denoise, LogNormal, Noise
from ebabench.training.sampler import sample


@dataclass(frozen=True)
class Edm:
    """Preconditioning, training noise and schedule. Levels are sigmas, in units of the coordinates."""

    name: ClassVar[str] = "edm"

    sigma_data: float = 0.7
    sigma_min: float = 0.01
    sigma_max: float = 20.0
    rho: float = 7.0
    log_mean: float = -1.0
    log_std: float = 1.5

    @property
    def noise(self) -> LogNormal:
        """Log-normal training noise (section 5)."""
        return LogNormal(self.sigma_data, self.log_mean, self.log_std)

    def level(self, sigma: Tensor) -> Tensor:
        """Return sigma."""
        return sigma

    def sigma(self, level: Tensor) -> Tensor:
        """Return the level."""
        return level

    def progress(self, level: Tensor) -> Tensor:
        """Return the position [0, 1] in the schedule (equation 5), 1 at sigma_max."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        position: Tensor = (level ** (1 / self.rho) - low) / (high - low)
        return position.clamp(0, 1)

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Return clean coordinates plus sigma times noise."""
        return clean + level * noise

    def weight(self, level: Tensor) -> Tensor:
        """Return the loss weight that makes the effective weight of every noise level one (section 5)."""
        return (level**2 + self.sigma_data**2) / (level * self.sigma_data) ** 2

    def precondition(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return c_skip, c_out, c_in and c_noise of Table 1."""
        total = (level**2 + self.sigma_data**2).sqrt()
        return (self.sigma_data / total) ** 2, level * self.sigma_data / total, 1 / total, level.log() / 4

    def schedule(self, steps: int) -> Tensor:
        """Return noise levels [steps + 1] from sigma_max to 0 (equation 5)."""
        ramp = torch.linspace(0, 1, steps)
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return torch.cat([(high + ramp * (low - high)) ** self.rho, torch.zeros(1)])

    def sample(self, denoise: Denoise, noise: Noise, *, steps: int, **settings: Any) -> Tensor:
        """Return samples with the shape of the noise. ``settings`` are those of ``sampler.sample``."""
        return sample(denoise, self.schedule(steps), noise, sigma_data=self.sigma_data, **settings)
