"""Normal modes of an elastic network: the directions in which a structure can move, by its shape alone.

The anisotropic network model (Atilgan et al., Biophys. J. 80, 505 (2001), doi:10.1016/S0006-3495(01)76033-X) over all
heavy atoms, with every residue a rigid block (Tama et al., Proteins 41, 1 (2000)), as ProDy has it. Over C-alphas alone
the network of a short peptide is near to flat, and its softest mode has no bound.
"""

from __future__ import annotations

import numpy as np

from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target
from ebabench.structures.arrays import FloatArray

_STILL = 1e-6  # below, an eigenvalue is that of a motion that no spring opposes
_RIGID_BODY = 6


class NormalModes:
    """Independent Gaussian amplitudes along all modes, by equipartition: as 1 / sqrt(eigenvalue).

    ``cutoff``: angstrom, of the springs. ``amplitude``: angstrom, the width along a mode of eigenvalue 1.
    """

    def __init__(self, amplitude: float, cutoff: float) -> None:
        self.amplitude = amplitude
        self.cutoff = cutoff

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """``samples`` conformations. Raises InputError if the network falls apart."""
        widths = self.widths(target)
        draws = np.random.default_rng(seed).standard_normal((samples, len(widths)))
        moved = target.native + self.amplitude * np.tensordot(draws, widths, axes=1)
        for residue in range(len(target.sequence)):
            rows = np.flatnonzero(target.atoms.residue == residue)
            moved[:, rows] = _placed(target.native[rows].astype(np.float64), moved[:, rows])
        return Ensemble(target.name, target.atoms, moved.astype(np.float32))

    def rmsf(self, target: Target) -> FloatArray:
        """Root mean square fluctuation of every atom [N] at an amplitude of 1, to first order."""
        return np.asarray(np.sqrt((self.widths(target) ** 2).sum((0, 2))))

    def widths(self, target: Target) -> FloatArray:
        """One standard deviation along every mode, at an amplitude of 1: displacements [K, N, 3]."""
        import prody

        prody.LOGGER.verbosity = "none"
        network = prody.RTB(target.name)
        network.buildHessian(target.native.astype(np.float64), target.atoms.residue.tolist(), cutoff=self.cutoff)
        network.calcModes(None, zeros=True)
        stiffness, modes = network.getEigvals(), network.getEigvecs()
        moving = stiffness > _STILL
        if len(stiffness) - moving.sum() > _RIGID_BODY:
            raise InputError(f"{target.name}: springs of {self.cutoff} angstrom do not hold its residues together")
        return np.asarray((modes[:, moving] / np.sqrt(stiffness[moving])).T.reshape(-1, len(target.atoms), 3))


def _placed(piece: FloatArray, moved: FloatArray) -> FloatArray:
    """A rigid piece [N, 3], turned and moved onto each of its straight-line displacements ``moved`` [S, N, 3]."""
    center = moved.mean(1, keepdims=True)
    own = piece - piece.mean(0)
    left, _, right = np.linalg.svd(own.T @ (moved - center))
    left[:, :, -1] *= np.sign(np.linalg.det(left) * np.linalg.det(right))[:, None]
    return np.asarray(own @ (left @ right) + center)


def build(card: Card, resources: Resources) -> Generator:
    """The generator of the card ``nma``. Raises InputError if ProDy is not installed."""
    del resources
    try:
        import prody  # noqa: F401 - asked for here, where its absence fails the run and not each target
    except ImportError as error:
        raise InputError(f"{card.name} needs ProDy, which is not installed: pip install 'ebabench[nma]'") from error
    return NormalModes(float(card.sampling["amplitude"]), float(card.sampling["cutoff"]))
