"""Normal modes of an elastic network as a model.

The anisotropic network model (Atilgan et al., Biophys. J. 80, 505 (2001), doi:10.1016/S0006-3495(01)76033-X) over all
heavy atoms, with rigid residues (Tama et al., Proteins 41, 1 (2000)), by ProDy. Over C-alphas only, the network of a
short peptide is nearly flat and its softest mode has almost no stiffness.

ProDy's matrices are dense: of 700 residues they take more than 4 GB. Beyond 2,000 atoms the same eigenproblem is made
from sparse ones. Its modes are the same; their signs, and so the conformations of a seed, need not be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target
from ebabench.structures.arrays import FloatArray, IndexArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_STILL = 1e-6  # below, an eigenvalue is that of a motion that no spring opposes
_RIGID_BODY = 6
_DENSE = 2000  # atoms of which ProDy's matrices take 0.6 GB
_FLAT = 1e-6  # below, relative to the largest, a singular value is that of a rotation that moves no atom


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
        basis, widths = self._widths(target)
        draws = np.random.default_rng(seed).standard_normal((samples, widths.shape[1])) @ widths.T
        away = draws if basis is None else draws @ basis.T
        moved = target.native + self.amplitude * away.reshape(samples, -1, 3)
        for residue in range(len(target.sequence)):
            rows = np.flatnonzero(target.atoms.residue == residue)
            moved[:, rows] = _placed(target.native[rows].astype(np.float64), moved[:, rows])
        return Ensemble(target.name, target.atoms, moved.astype(np.float32))

    def rmsf(self, target: Target) -> FloatArray:
        """Return the root mean square fluctuation [N] of every atom at an amplitude of 1, to first order."""
        return np.asarray(np.sqrt((self.widths(target) ** 2).sum((0, 2))))

    def widths(self, target: Target) -> FloatArray:
        """Return the displacements [K, N, 3] of one standard deviation along every mode at an amplitude of 1."""
        basis, widths = self._widths(target)
        whole = widths if basis is None else basis @ widths
        return np.asarray(whole.T.reshape(-1, len(target.atoms), 3))

    def _widths(self, target: Target) -> tuple[csr_array | None, FloatArray]:
        """The same [M, K] in a basis [3 N, M]; without one, M is 3 N."""
        if len(target.atoms) <= _DENSE:
            stiffness, modes, basis = *dense_modes(target, self.cutoff), None
        else:
            stiffness, modes, basis = sparse_modes(target, self.cutoff)
        moving = stiffness > _STILL
        free = int(len(stiffness) - moving.sum() - _RIGID_BODY)
        if free > 0:
            raise InputError(
                f"{target.name}: springs of {self.cutoff} angstrom do not hold its residues together: "
                f"{free} motions have a stiffness below {_STILL:g}",
                code="nma.disconnected",
                target=target.name,
            )
        return basis, np.asarray(modes[:, moving] / np.sqrt(stiffness[moving]))


def dense_modes(target: Target, cutoff: float) -> tuple[FloatArray, FloatArray]:
    """Return the eigenvalues [K] and modes [3 N, K] of a network with springs of a cutoff (angstrom), by ProDy."""
    import prody

    prody.LOGGER.verbosity = "none"
    network = prody.RTB(target.name)
    network.buildHessian(target.native.astype(np.float64), target.atoms.residue.tolist(), cutoff=cutoff)
    network.calcModes(None, zeros=True)
    return network.getEigvals(), network.getEigvecs()


def sparse_modes(target: Target, cutoff: float) -> tuple[FloatArray, FloatArray, csr_array]:
    """Return the eigenvalues [K], the modes [M, K] in the rigid motions of residues, and these motions [3 N, M].

    Stretches of all springs are linear in the motions of residues, and the Hessian is their Gram matrix.
    """
    from scipy.linalg import eigh
    from scipy.sparse import csr_array
    from scipy.spatial import cKDTree

    native = target.native.astype(np.float64)
    pairs = cKDTree(native).query_pairs(cutoff, output_type="ndarray")
    along = native[pairs[:, 1]] - native[pairs[:, 0]]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(pairs)), 6)
    columns = (3 * pairs[:, :, None] + np.arange(3)).ravel()
    stretches = csr_array((np.hstack([-along, along]).ravel(), (rows, columns)), shape=(len(pairs), native.size))
    motions = _rigid_motions(native, target.atoms.residue)
    reduced = stretches @ motions
    stiffness, vectors = eigh((reduced.T @ reduced).toarray(), driver="evd", overwrite_a=True, check_finite=False)
    return stiffness, vectors, motions


def _rigid_motions(native: FloatArray, residue: IndexArray) -> csr_array:
    """Return an orthonormal basis [3 N, K] of the translations and rotations of every residue, to first order."""
    from scipy.sparse import block_diag, csr_array

    blocks = []
    for piece in np.split(native, np.flatnonzero(np.diff(residue)) + 1):
        turns = np.cross(np.eye(3)[:, None], piece - piece.mean(0)).reshape(3, -1)
        basis, size, _ = np.linalg.svd(np.vstack([np.tile(np.eye(3), len(piece)), turns]).T, full_matrices=False)
        blocks.append(basis[:, size > _FLAT * size[0]])
    return csr_array(block_diag(blocks, format="csr"))


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
