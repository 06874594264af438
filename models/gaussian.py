"""Atoms that move each on its own, the more the fewer neighbours they have: what packing alone knows of motion.

The mean square fluctuation of an atom is inversely proportional to the number of atoms around it (Halle, PNAS 99, 1274
(2002), doi:10.1073/pnas.032522499), which is most of what crystallographic B-factors say.
"""

from __future__ import annotations

import numpy as np

from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target
from ebabench.structures.arrays import FloatArray


class Packed:
    """Gaussian displacements, alike along each axis. ``radius``: angstrom, within which another atom is a neighbour.

    ``amplitude``: angstrom, the root mean square displacement of an atom with a single neighbour.
    """

    def __init__(self, amplitude: float, radius: float) -> None:
        self.amplitude = amplitude
        self.radius = radius

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """``samples`` displacements of the native structure."""
        noise = np.random.default_rng(seed).standard_normal((samples, *target.native.shape))
        widths = self.amplitude * self.rmsf(target) / np.sqrt(3)
        return Ensemble(target.name, target.atoms, (target.native + widths[:, None] * noise).astype(np.float32))

    def rmsf(self, target: Target) -> FloatArray:
        """Root mean square fluctuation of every atom [N] at an amplitude of 1."""
        from scipy.spatial import cKDTree

        neighbours = cKDTree(target.native).query_ball_point(target.native, self.radius, return_length=True) - 1
        return np.asarray(1 / np.sqrt(np.maximum(neighbours, 1)))


def build(card: Card, resources: Resources) -> Generator:
    """The generator of the card ``gaussian``."""
    del resources
    return Packed(float(card.sampling["amplitude"]), float(card.sampling["radius"]))
