"""The native structure with thermal jitter: what knowing nothing of motion earns."""

import numpy as np

from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target


class Static:
    """Every atom is moved on its own, by a Gaussian of ``amplitude`` angstrom along each axis."""

    def __init__(self, amplitude: float) -> None:
        self.amplitude = amplitude

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """``samples`` copies of the native structure, jittered."""
        noise = np.random.default_rng(seed).standard_normal((samples, *target.native.shape), dtype=np.float32)
        return Ensemble(target.name, target.atoms, target.native + np.float32(self.amplitude) * noise)


def build(card: Card, resources: Resources) -> Generator:
    """The generator of the card ``static``."""
    del resources
    return Static(float(card.sampling["amplitude"]))
