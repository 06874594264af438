"""Which side chains reach the surface: Shrake-Rupley, stopped as soon as the answer is known.

The question is only whether a residue's side chain exposes more than a threshold. So a residue is done at the first few
free points, and a patch of points that one neighbour covers as a whole is done at once. The answer is exactly that of
counting all points (Shrake and Rupley, J. Mol. Biol. 79, 351 (1973); the points are a golden-section spiral).

Published numbers rest on mdtraj, whose areas of a trajectory are not quite that: to the free points of an atom it adds
the atom's area in the frame before, in nm^2, before it multiplies by the area of a point. Here every frame is taken for
its own predecessor: areas of ensembles are larger by 0.26 %, as on average in mdtraj, and independent of the order.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ebabench.structures import Atoms, Positions

POINTS = 960
PROBE = 2.8  # angstrom
THRESHOLD = 2.0  # square angstrom
RADII = {"C": 1.7, "N": 1.55, "O": 1.52, "S": 1.8}  # angstrom, van der Waals
BACKBONE = ("N", "CA", "C", "O", "OXT")

_PATCHES = 64
_NEAR = 0.5
_MOST_CELLS = 64
_Array = npt.NDArray[Any]


def exposed(atoms: Atoms, positions: Positions) -> npt.NDArray[np.bool_]:
    """Whether the side chain of each residue exposes more than 2 square angstrom to a probe of 2.8 angstrom.

    Args:
        atoms: heavy atoms, N of them.
        positions: [S, N, 3] in angstrom: an ensemble, or a single structure, whose areas are the plain ones. The points
            of the spheres are fixed in space, so it matters, a little, how frames are turned.

    Returns:
        [S, residues]. Glycine never is.
    """
    reach = np.array([RADII[str(name)[0]] for name in atoms.name]) + PROBE
    share = 4 * np.pi * reach**2 / POINTS
    if len(positions) > 1:
        share /= 1 - share / 100
    side = np.flatnonzero(~np.isin(atoms.name, BACKBONE))
    side = side[np.argsort(atoms.residue[side], kind="stable")]
    first = np.searchsorted(atoms.residue[side], np.arange(atoms.residue[-1] + 2))
    frames = np.ascontiguousarray(positions)
    found: npt.NDArray[np.bool_] = _exposed(frames, reach, share, side, first, *_sphere(), THRESHOLD)
    return found


def sphere_points(count: int) -> _Array:
    """Points [count, 3] on the unit sphere along a golden-section spiral about y, pole to pole.

    The angle is rounded to single precision as in mdtraj, whose points the published numbers rest on: at the end of the
    spiral that is 1e-4 radian, enough to tip a residue at the threshold.
    """
    k = np.arange(count)
    y = (2 * k + 1) / count - 1
    angle = (k.astype(np.float32) * np.float32(np.pi * (3 - np.sqrt(5)))).astype(np.float64)
    radius = np.sqrt(1 - y * y)
    return np.stack([np.cos(angle) * radius, y, np.sin(angle) * radius], axis=1)


@cache
def _sphere() -> tuple[_Array, _Array, _Array, _Array]:
    """The points patch by patch, the first of each patch, the patches' centers and radii (as chords)."""
    points = sphere_points(POINTS)
    patch = (points @ sphere_points(_PATCHES).T).argmax(1)
    order = np.argsort(patch, kind="stable")
    points, first = points[order], np.searchsorted(patch[order], np.arange(_PATCHES + 1))
    centers = np.stack([points[a:b].mean(0) for a, b in pairwise(first)])
    centers /= np.linalg.norm(centers, axis=1)[:, None]
    chords = np.linalg.norm(points - np.repeat(centers, np.diff(first), axis=0), axis=1)
    return points, first, centers, np.maximum.reduceat(chords, first[:-1])


@numba.njit(cache=True)
def _cells(xyz: _Array, size: float) -> tuple[_Array, _Array, _Array, _Array]:  # pragma: no cover
    """Atoms sorted by the cell, of at least ``size``, that they lie in.

    Returns the cell of each atom [N, 3], cells along each axis [3], the first atom of each cell in the sorted order
    (and one more), and the order [N].
    """
    low, side = np.empty(3), np.empty(3, np.int64)
    for x in range(3):
        low[x] = xyz[:, x].min()
        side[x] = min(int((xyz[:, x].max() - low[x]) / size) + 1, _MOST_CELLS)
    cell = np.empty(xyz.shape, np.int64)
    first = np.zeros(side[0] * side[1] * side[2] + 1, np.int64)
    at = np.empty(len(xyz), np.int64)
    for i in range(len(xyz)):
        for x in range(3):
            cell[i, x] = min(int((xyz[i, x] - low[x]) / size), side[x] - 1)
        at[i] = (cell[i, 0] * side[1] + cell[i, 1]) * side[2] + cell[i, 2]
        first[at[i] + 1] += 1
    first = np.cumsum(first)
    filled = first[:-1].copy()
    order = np.empty(len(xyz), np.int64)
    for i in range(len(xyz)):
        order[filled[at[i]]] = i
        filled[at[i]] += 1
    return cell, side, first, order


@numba.njit(cache=True)
def _neighbours(
    i: int, here: _Array, spheres: _Array, side: _Array, first: _Array, around: _Array, picked: _Array
) -> int:  # pragma: no cover
    """Spheres that cut sphere i: rows (direction, distance, height) of ``around``, those that cover most come first.

    ``spheres`` [4, N]: positions and radii sorted by cell; ``here``: the cell of sphere i. A point of direction u on it
    lies in the neighbour's sphere if u . direction > height. Returns their number.
    """
    count = 0
    x, y, z, radius = spheres[0, i], spheres[1, i], spheres[2, i], spheres[3, i]
    for a in range(max(here[0] - 1, 0), min(here[0] + 2, side[0])):
        for b in range(max(here[1] - 1, 0), min(here[1] + 2, side[1])):
            row = (a * side[1] + b) * side[2]
            start = first[row + max(here[2] - 1, 0)]
            stop = first[row + min(here[2] + 2, side[2])]
            for j in range(start, stop):
                square = (spheres[0, j] - x) ** 2 + (spheres[1, j] - y) ** 2 + (spheres[2, j] - z) ** 2
                # Without a branch, that would be mispredicted: what is not picked is overwritten.
                picked[count] = j
                count += (square < (radius + spheres[3, j]) ** 2) & (j != i)
    ahead = 0
    for k in range(count):
        j = picked[k]
        dx, dy, dz = spheres[0, j] - x, spheres[1, j] - y, spheres[2, j] - z
        square = dx * dx + dy * dy + dz * dz
        distance = np.sqrt(square)
        height = (radius * radius + square - spheres[3, j] ** 2) / (2 * radius)
        row = k
        if height < _NEAR * distance:
            around[k] = around[ahead]
            row = ahead
            ahead += 1
        around[row, 0], around[row, 1], around[row, 2] = dx, dy, dz
        around[row, 3], around[row, 4] = distance, height
    return count


@numba.njit(cache=True)
def _covering(u: _Array, chord: float, around: _Array, count: int, guess: int) -> int:  # pragma: no cover
    """A neighbour whose sphere holds every point within ``chord`` of direction u, or -1; the guess is tried first."""
    x, y, z = u[0], u[1], u[2]
    n = around[guess]
    if x * n[0] + y * n[1] + z * n[2] - chord * n[3] > n[4] and count:
        return guess
    for k in range(count):
        n = around[k]
        if x * n[0] + y * n[1] + z * n[2] - chord * n[3] > n[4]:
            return k
    return -1


@numba.njit(cache=True)
def _exposed(
    positions: _Array,
    reach: _Array,
    share: _Array,
    side_atoms: _Array,
    first: _Array,
    points: _Array,
    first_point: _Array,
    centers: _Array,
    chords: _Array,
    threshold: float,
) -> _Array:  # pragma: no cover
    residues, patches = len(first) - 1, len(centers)
    result = np.zeros((len(positions), residues), np.bool_)
    around = np.empty((len(reach), 5))
    spheres, rank = np.empty((4, len(reach))), np.empty(len(reach), np.int64)
    picked = np.empty(len(reach) + 1, np.int64)
    # Where a residue was exposed in the frame before, it is likely to be again.
    atom_hint, patch_hint = np.zeros(residues, np.int64), np.zeros(residues, np.int64)
    for frame in range(len(positions)):
        xyz = positions[frame].astype(np.float64)
        cell, side, first_in_cell, order = _cells(xyz, 2 * reach.max())
        for k in range(len(order)):
            spheres[:3, k] = xyz[order[k]]
            spheres[3, k] = reach[order[k]]
            rank[order[k]] = k
        for residue in range(residues):
            atoms = first[residue + 1] - first[residue]
            area = 0.0
            for turn in range(atoms):
                which = (atom_hint[residue] + turn) % atoms
                i = side_atoms[first[residue] + which]
                count = _neighbours(rank[i], cell[i], spheres, side, first_in_cell, around, picked)
                guess = 0
                for step in range(patches):
                    patch = (patch_hint[residue] + step) % patches
                    cover = _covering(centers[patch], chords[patch], around, count, guess)
                    if cover >= 0:
                        guess = cover
                        continue
                    for point in range(first_point[patch], first_point[patch + 1]):
                        cover = _covering(points[point], 0.0, around, count, guess)
                        if cover >= 0:
                            guess = cover
                            continue
                        area += share[i]
                        if area > threshold:
                            break
                    if area > threshold:
                        patch_hint[residue] = patch
                        break
                if area > threshold:
                    result[frame, residue] = True
                    atom_hint[residue] = which
                    break
    return result
