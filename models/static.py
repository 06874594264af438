"""The native structure with independent Gaussian jitter as a model."""

import numpy as np

from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target


class Static:
    """Displaces every atom by a Gaussian of standard deviation ``amplitude`` (angstrom) along each axis."""

    def __init__(self, amplitude: float) -> None:
        self.amplitude = amplitude

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return displaced copies of the native structure."""
        noise = np.random.default_rng(seed).standard_normal((samples, *target.native.shape), dtype=np.float32)
        return Ensemble(target.name, target.atoms, target.native + np.float32(self.amplitude) * noise)


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of the card ``static``."""
    del resources
    return Static(float(card.sampling["amplitude"]))
