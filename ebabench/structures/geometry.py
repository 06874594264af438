"""Geometry of ensembles: superposition, distances, dihedrals, chirality. Arrays in, arrays out, any unit of length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ebabench.structures.ensembles import Atoms

Real = npt.NDArray[np.floating]

_BLOCK = 1024


def superpose(positions: Real, onto: Real, using: npt.NDArray[np.int64] | None = None) -> Real:
    """Moves every frame rigidly for the least RMSD to one structure (Kabsch, Acta Cryst. A32, 922 (1976)).

    Args:
        positions: [S, N, 3].
        onto: [N, 3].
        using: the atoms whose RMSD counts; all by default.

    Returns:
        [S, N, 3], in the precision of ``positions``, relative to the centroid of ``onto[using]``.
    """
    chosen = positions if using is None else positions[:, using]
    target = onto if using is None else onto[using]
    center = chosen.mean(1, keepdims=True, dtype=np.float64).astype(positions.dtype)
    target = (target - target.mean(0, dtype=np.float64)).astype(positions.dtype)
    covariance = np.matmul((chosen - center).transpose(0, 2, 1), target).astype(np.float64)
    left, _, right = np.linalg.svd(covariance)
    # A rotation, never a reflection.
    left[:, :, -1] *= np.sign(np.linalg.det(left) * np.linalg.det(right))[:, None]
    moved: Real = np.matmul(positions - center, np.matmul(left, right).astype(positions.dtype))
    return moved


def principal_components(
    frames: Real, components: int, weights: npt.NDArray[np.float64] | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean [3N] and the leading principal axes [components or fewer, 3N] of frames [F, N, 3], flattened.

    The axes are the leading eigenvectors of the covariance of coordinates or of frames, whichever is smaller. The
    covariance of many frames is summed block by block in double precision.

    Args:
        frames: [F, N, 3].
        components: How many axes.
        weights: [F], statistical weights of sum 1; None for equal weights.
    """
    from scipy.linalg import eigh

    rows = frames.reshape(len(frames), -1)
    mean = rows.mean(0, dtype=np.float64) if weights is None else weights @ rows
    count, size = rows.shape
    components = min(components, count, size)
    scale = None if weights is None else np.sqrt(weights)[:, None]
    if count < size:
        away = rows - mean if scale is None else scale * (rows - mean)
        axes = away.T @ eigh(away @ away.T, subset_by_index=(count - components, count - 1))[1]
        length = np.linalg.norm(axes, axis=0)
        axes /= np.where(length > 0, length, 1)
    else:
        covariance = np.zeros((size, size))
        for start in range(0, count, _BLOCK):
            block = (rows[start : start + _BLOCK] - mean).astype(rows.dtype)
            if scale is not None:
                block = scale[start : start + _BLOCK] * block
            covariance += block.T @ block
        axes = eigh(covariance, subset_by_index=(size - components, size - 1))[1]
    return mean, axes.T[::-1]


def squared_distances(a: Real, b: Real) -> npt.NDArray[np.float64]:
    """Squared Euclidean distances [n, m] between the rows of a [n, d] and b [m, d]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
    nonnegative: npt.NDArray[np.float64] = np.maximum(squares, 0)
    return nonnegative


def distances(positions: Real, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> Real:
    """Distances [S, K] between atoms first[k] and second[k] of positions [S, N, 3]."""
    axes = by_axis(positions)
    squares = sum((axis[:, first] - axis[:, second]) ** 2 for axis in axes)
    length: Real = np.sqrt(squares)
    return length


def by_axis(positions: Real) -> Real:
    """Positions [S, N, 3] as [3, S, N]: sums over x, y and z then run along memory, several times as fast."""
    return np.ascontiguousarray(positions.transpose(2, 0, 1))


def squares_from(axes: Real, atom: int, far: int) -> Real:
    """Squared distances [S, N - far] of an atom from all that come from ``far`` on; axes [3, S, N] as ``by_axis``."""
    x, y, z = (axis[:, far:] - axis[:, atom : atom + 1] for axis in axes)
    squares: Real = x * x + y * y + z * z
    return squares


def dihedral(positions: Real, quartets: npt.NDArray[np.int64]) -> Real:
    """Dihedral angles [S, K] in radians, IUPAC sign, of the atoms quartets [K, 4] of positions [S, N, 3]."""
    a, b, c, d = (positions[:, quartets[:, k]] for k in range(4))
    first, axis, last = b - a, c - b, d - c
    n1, n2 = np.cross(first, axis), np.cross(axis, last)
    sine = (first * n2).sum(-1) * np.linalg.norm(axis, axis=-1)
    angle: Real = np.arctan2(sine, (n1 * n2).sum(-1))
    return angle


def torsions(
    atoms: Atoms, place: npt.NDArray[np.int64], positions: Real
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Residues with both neighbours [K], and their phi and psi [S, K, 2] in radians.

    ``place``: for every residue of ``atoms`` its index in the sequence, by which neighbours are known.
    """
    rows = {(int(place[r]), str(n)): k for k, (r, n) in enumerate(zip(atoms.residue, atoms.name, strict=True))}
    residues, quartets = [], []
    for k in place.tolist():
        names = ((k - 1, "C"), (k, "N"), (k, "CA"), (k, "C"), (k + 1, "N"))
        if all(name in rows for name in names):
            chain = [rows[name] for name in names]
            residues.append(k)
            quartets += [chain[:4], chain[1:]]
    angles = dihedral(positions, np.array(quartets, np.int64).reshape(-1, 4))
    return np.array(residues, np.int64), angles.reshape(len(positions), -1, 2).astype(np.float64)


def signed_volume(positions: Real, centers: npt.NDArray[np.int64]) -> Real:
    """Triple products [S, K] of the bonds from centers[k, 0] to centers[k, 1:4]: the sign is the handedness."""
    bonds = positions[:, centers[:, 1:]] - positions[:, centers[:, :1]]
    volume: Real = np.einsum("skx,skx->sk", bonds[:, :, 0], np.cross(bonds[:, :, 1], bonds[:, :, 2]))
    return volume


# Center and three neighbours, ordered so that signed_volume is positive in L-amino acids.
_CHIRAL_BACKBONE = ("CA", "N", "C", "CB")
_CHIRAL_SIDE_CHAINS = {"THR": ("CB", "CA", "OG1", "CG2"), "ILE": ("CB", "CA", "CG1", "CG2")}


def chiral_centers(atoms: Atoms) -> npt.NDArray[np.int64]:
    """Indices [K, 4] of the stereocenters of L-amino acids: C-alpha but in glycine, C-beta of Thr and Ile.

    Ordered so that ``signed_volume`` is positive in nature. Centers with missing neighbours are left out.
    """
    row = {(int(r), str(n)): k for k, (r, n) in enumerate(zip(atoms.residue, atoms.name, strict=True))}
    kind = dict(zip(atoms.residue.tolist(), atoms.residue_name.tolist(), strict=True))
    centers = []
    for residue, name in kind.items():
        quartets = [_CHIRAL_BACKBONE] if name != "GLY" else []
        if name in _CHIRAL_SIDE_CHAINS:
            quartets.append(_CHIRAL_SIDE_CHAINS[name])
        for quartet in quartets:
            if all((residue, atom) in row for atom in quartet):
                centers.append([row[residue, atom] for atom in quartet])
    return np.array(centers, np.int64).reshape(-1, 4)
