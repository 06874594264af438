"""The stochastic sampler of Karras et al. (arXiv:2206.00364, algorithm 2) for any process."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor

from ebabench.training.process import Denoise, Noise

CHURN = 0.8  # noise that is added at each level, as a fraction of the noise there


def sample(
    denoise: Denoise,
    sigmas: Tensor,
    noise: Noise,
    *,
    sigma_data: float,
    churn: float = CHURN,
    noise_scale: float = 1.0,
    step_scale: float = 1.0,
    heun: bool = True,
    on_step: Callable[[], None] | None = None,
) -> Tensor:
    """Return samples with the shape of the noise.

    With noise scale (lambda) and step scale (eta) at 1 the sampled density is the model's own. lambda > 1 or eta < 1
    broadens it, eta > 1 sharpens it.

    Args:
        denoise: Returns the expected clean coordinates of x = clean + sigma noise, for x [S, ...] and sigma [S].
        sigmas: Falling noise levels, the last one 0.
        noise: Called once for the start, then once per level.
        sigma_data: Standard deviation of the data.
        churn: Noise that is added at each level; 0 follows the deterministic flow.
        noise_scale: AlphaFold 3's lambda.
        step_scale: AlphaFold 3's eta.
        heun: Whether to apply the second-order correction.
        on_step: Called after each step.
    """
    x = noise()
    levels = sigmas.to(x.device)
    x = levels[0] * x
    for now, then in itertools.pairwise(levels):
        raised = now * (1 + min(churn, 2**0.5 - 1) if 0.05 < float(now) / sigma_data < 50 else 1)
        x = x + noise_scale * (raised**2 - now**2).clamp(min=0).sqrt() * noise()
        slope = (x - denoise(x, raised.expand(len(x)))) / raised
        ahead = x + step_scale * (then - raised) * slope
        if heun and then > 0:
            slope = (slope + (ahead - denoise(ahead, then.expand(len(x)))) / then) / 2
            ahead = x + step_scale * (then - raised) * slope
        x = ahead
        if on_step:
            on_step()
    return x
