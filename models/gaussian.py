"""A baseline of independent atoms: an atom with fewer neighbours moves more.

The mean square fluctuation of an atom is inversely proportional to the number of atoms around it (Halle, PNAS 99, 1274
(2002), doi:10.1073/pnas.032522499), which explains most of crystallographic B-factors.
"""

from __future__ import annotations

import numpy as np

from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target
from ebabench.structures.arrays import FloatArray


class Packed:
    """Isotropic Gaussian displacements of the native structure.

    Args:
        amplitude: Root mean square displacement of an atom with one neighbour, in angstrom.
        radius: Radius within which another atom is a neighbour, in angstrom.
    """

    def __init__(self, amplitude: float, radius: float) -> None:
        self.amplitude = amplitude
        self.radius = radius

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return displaced copies of the native structure."""
        noise = np.random.default_rng(seed).standard_normal((samples, *target.native.shape))
        widths = self.amplitude * self.rmsf(target) / np.sqrt(3)
        return Ensemble(target.name, target.atoms, (target.native + widths[:, None] * noise).astype(np.float32))

    def rmsf(self, target: Target) -> FloatArray:
        """Return the root mean square fluctuation [N] of every atom at an amplitude of 1."""
        from scipy.spatial import cKDTree

        neighbours = cKDTree(target.native).query_ball_point(target.native, self.radius, return_length=True) - 1
        return np.asarray(1 / np.sqrt(np.maximum(neighbours, 1)))


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of the card ``gaussian``."""
    del resources
    return Packed(float(card.sampling["amplitude"]), float(card.sampling["radius"]))
