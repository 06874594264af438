"""The EDM diffusion process (Karras et al., NeurIPS 2022, arXiv:2206.00364) with AlphaFold 3's sampler settings.

Knows tensors only: what a coordinate means is the denoiser's business.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ebabench.alignment.process import Denoise, LogNormal


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
        """Sigma itself."""
        return sigma

    def sigma(self, level: Tensor) -> Tensor:
        """The level itself."""
        return level

    def progress(self, level: Tensor) -> Tensor:
        """Position [0, 1] in the schedule (equation 5), 1 at sigma_max."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        position: Tensor = (level ** (1 / self.rho) - low) / (high - low)
        return position.clamp(0, 1)

    def noised(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Clean coordinates plus sigma times noise."""
        return clean + level * noise

    def weight(self, level: Tensor) -> Tensor:
        """Loss weight that makes the effective weight of every noise level one (section 5)."""
        return (level**2 + self.sigma_data**2) / (level * self.sigma_data) ** 2

    def precondition(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in, c_noise of Table 1."""
        total = (level**2 + self.sigma_data**2).sqrt()
        return (self.sigma_data / total) ** 2, level * self.sigma_data / total, 1 / total, level.log() / 4

    def schedule(self, steps: int) -> Tensor:
        """Noise levels [steps + 1] from sigma_max to 0 (equation 5)."""
        ramp = torch.linspace(0, 1, steps)
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return torch.cat([(high + ramp * (low - high)) ** self.rho, torch.zeros(1)])

    def sample(
        self,
        denoise: Denoise,
        shape: tuple[int, ...],
        generator: torch.Generator,
        *,
        steps: int,
        churn: float = 0.8,
        noise_scale: float = 1.0,
        step_scale: float = 1.0,
        heun: bool = True,
        on_step: Callable[[], None] | None = None,
    ) -> Tensor:
        """Stochastic sampler (Algorithm 2), with AlphaFold 3's noise scale lambda and step scale eta.

        ``denoise(x [S, ...], sigma [S])`` gives the expected clean coordinates. With lambda = eta = 1 the sampled
        density is the model's own; lambda > 1 or eta < 1 broadens it, eta > 1 sharpens it. ``heun`` adds the
        second-order correction.
        """
        device = generator.device
        levels = self.schedule(steps).to(device)
        x = levels[0] * torch.randn(shape, generator=generator, device=device)
        for now, then in itertools.pairwise(levels):
            raised = now * (1 + min(churn, 2**0.5 - 1) if 0.05 < float(now) / self.sigma_data < 50 else 1)
            noise = torch.randn(shape, generator=generator, device=device)
            x = x + noise_scale * (raised**2 - now**2).clamp(min=0).sqrt() * noise
            slope = (x - denoise(x, raised.expand(shape[0]))) / raised
            ahead = x + step_scale * (then - raised) * slope
            if heun and then > 0:
                slope = (slope + (ahead - denoise(ahead, then.expand(shape[0]))) / then) / 2
                ahead = x + step_scale * (then - raised) * slope
            x = ahead
            if on_step:
                on_step()
        return x
