"""Normal modes of an elastic network as a model.

The anisotropic network model (Atilgan et al., Biophys. J. 80, 505 (2001), doi:10.1016/S0006-3495(01)76033-X) over all
heavy atoms, with rigid residues (Tama et al., Proteins 41, 1 (2000)), by ProDy. Over C-alphas only, the network of a
short peptide is nearly flat and its softest mode has almost no stiffness.
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
    """Independent Gaussian amplitudes along all modes, proportional to 1 / sqrt(eigenvalue) (equipartition).

    Args:
        amplitude: Standard deviation along a mode of eigenvalue 1, in angstrom.
        cutoff: Cutoff distance of the springs, in angstrom.
    """

    def __init__(self, amplitude: float, cutoff: float) -> None:
        self.amplitude = amplitude
        self.cutoff = cutoff

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return displaced conformations. Raises InputError (``nma.disconnected``) if the network falls apart."""
        widths = self.widths(target)
        draws = np.random.default_rng(seed).standard_normal((samples, len(widths)))
        moved = target.native + self.amplitude * np.tensordot(draws, widths, axes=1)
        for residue in range(len(target.sequence)):
            rows = np.flatnonzero(target.atoms.residue == residue)
            moved[:, rows] = _placed(target.native[rows].astype(np.float64), moved[:, rows])
        return Ensemble(target.name, target.atoms, moved.astype(np.float32))

    def rmsf(self, target: Target) -> FloatArray:
        """Return the root mean square fluctuation [N] of every atom at an amplitude of 1, to first order."""
        return np.asarray(np.sqrt((self.widths(target) ** 2).sum((0, 2))))

    def widths(self, target: Target) -> FloatArray:
        """Return the displacements [K, N, 3] of one standard deviation along every mode at an amplitude of 1."""
        import prody

        prody.LOGGER.verbosity = "none"
        network = prody.RTB(target.name)
        network.buildHessian(target.native.astype(np.float64), target.atoms.residue.tolist(), cutoff=self.cutoff)
        network.calcModes(None, zeros=True)
        stiffness, modes = network.getEigvals(), network.getEigvecs()
        moving = stiffness > _STILL
        if len(stiffness) - moving.sum() > _RIGID_BODY:
            raise InputError(
                f"{target.name}: springs of {self.cutoff} angstrom do not hold its residues together",
                code="nma.disconnected",
                target=target.name,
            )
        return np.asarray((modes[:, moving] / np.sqrt(stiffness[moving])).T.reshape(-1, len(target.atoms), 3))


def _placed(piece: FloatArray, moved: FloatArray) -> FloatArray:
    """Return a rigid piece [N, 3] superposed onto each of its displacements ``moved`` [S, N, 3]."""
    center = moved.mean(1, keepdims=True)
    own = piece - piece.mean(0)
    left, _, right = np.linalg.svd(own.T @ (moved - center))
    left[:, :, -1] *= np.sign(np.linalg.det(left) * np.linalg.det(right))[:, None]
    return np.asarray(own @ (left @ right) + center)


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of the card ``nma``. Raises InputError (``package.missing``) without ProDy."""
    del resources
    try:
        import prody  # noqa: F401 - imported here so that its absence fails the run and not each target
    except ImportError as error:
        raise InputError(
            f"{card.name} needs ProDy, which is not installed: pip install 'ebabench[nma]'",
            code="package.missing",
            package="prody",
        ) from error
    return NormalModes(float(card.sampling["amplitude"]), float(card.sampling["cutoff"]))
