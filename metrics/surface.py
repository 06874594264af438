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
_MOST_CELLS = 48
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
    """Atoms in cells of at least ``size``: cell of each atom [N, 3], cells a side [3], first atom, next atom."""
    low, side = np.empty(3), np.empty(3, np.int64)
    for x in range(3):
        low[x] = xyz[:, x].min()
        extent = xyz[:, x].max() - low[x]
        side[x] = min(int(extent / size) + 1, _MOST_CELLS)
    cell = np.empty(xyz.shape, np.int64)
    head = np.full(side[0] * side[1] * side[2], -1)
    follow = np.empty(len(xyz), np.int64)
    for i in range(len(xyz)):
        for x in range(3):
            cell[i, x] = min(int((xyz[i, x] - low[x]) / size), side[x] - 1)
        at = (cell[i, 0] * side[1] + cell[i, 1]) * side[2] + cell[i, 2]
        follow[i] = head[at]
        head[at] = i
    return cell, side, head, follow


@numba.njit(cache=True)
def _neighbours(
    i: int, xyz: _Array, reach: _Array, cell: _Array, side: _Array, head: _Array, follow: _Array, around: _Array
) -> int:  # pragma: no cover
    """Spheres that cut sphere i: rows (direction, distance, height) of ``around``, those that cover most come first.

    A point of direction u lies in the neighbour's sphere if u . direction > height. Returns their number.
    """
    near, count = 0, 0
    for a in range(max(cell[i, 0] - 1, 0), min(cell[i, 0] + 2, side[0])):
        for b in range(max(cell[i, 1] - 1, 0), min(cell[i, 1] + 2, side[1])):
            for c in range(max(cell[i, 2] - 1, 0), min(cell[i, 2] + 2, side[2])):
                j = head[(a * side[1] + b) * side[2] + c]
                while j >= 0:
                    x, y, z = xyz[j, 0] - xyz[i, 0], xyz[j, 1] - xyz[i, 1], xyz[j, 2] - xyz[i, 2]
                    square = x * x + y * y + z * z
                    if j != i and square < (reach[i] + reach[j]) ** 2:
                        distance = np.sqrt(square)
                        height = (reach[i] ** 2 + square - reach[j] ** 2) / (2 * reach[i])
                        row = count
                        if height < _NEAR * distance:
                            around[count] = around[near]
                            row = near
                            near += 1
                        around[row, 0], around[row, 1], around[row, 2] = x, y, z
                        around[row, 3], around[row, 4] = distance, height
                        count += 1
                    j = follow[j]
    return count


@numba.njit(cache=True)
def _covering(u: _Array, chord: float, around: _Array, count: int, guess: int) -> int:  # pragma: no cover
    """A neighbour whose sphere holds every point within ``chord`` of direction u, or -1; ``guess`` is tried first."""
    if guess >= 0:
        n = around[guess]
        if u[0] * n[0] + u[1] * n[1] + u[2] * n[2] - chord * n[3] > n[4]:
            return guess
    for k in range(count):
        n = around[k]
        if u[0] * n[0] + u[1] * n[1] + u[2] * n[2] - chord * n[3] > n[4]:
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
    residues = len(first) - 1
    result = np.zeros((len(positions), residues), np.bool_)
    around = np.empty((len(reach), 5))
    # Where a residue was exposed in the frame before, it is likely to be again.
    hint = np.zeros(residues, np.int64)
    for frame in range(len(positions)):
        xyz = positions[frame].astype(np.float64)
        cell, side, head, follow = _cells(xyz, 2 * reach.max())
        for residue in range(residues):
            atoms = first[residue + 1] - first[residue]
            area = 0.0
            for turn in range(atoms):
                which = (hint[residue] + turn) % atoms
                i = side_atoms[first[residue] + which]
                count = _neighbours(i, xyz, reach, cell, side, head, follow, around)
                guess = -1
                for patch in range(len(centers)):
                    cover = _covering(centers[patch], chords[patch], around, count, guess)
                    if cover >= 0:
                        guess = cover
                        continue
                    for point in range(first_point[patch], first_point[patch + 1]):
                        cover = _covering(points[point], 0.0, around, count, guess)
                        if cover >= 0:
                            guess = cover
                        else:
                            area += share[i]
                            if area > threshold:
                                break
                    if area > threshold:
                        break
                if area > threshold:
                    result[frame, residue] = True
                    hint[residue] = which
                    break
    return result
