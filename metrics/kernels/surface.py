"""Which side chains reach the surface: the method of Shrake and Rupley, stopped as soon as the answer is known.

The question is whether the side chain of a residue exposes more than a threshold. A residue is finished after the first
few free points, and a patch of points that one neighbour covers as a whole is finished at once. The atoms that covered
a patch or point in the previous frame are tried first. A point counts as free only after all neighbours were tried. The
answer is exactly that of counting all points (Shrake and Rupley, J. Mol. Biol. 79, 351 (1973)). The points form a
golden-section spiral.

Published numbers come from mdtraj, whose areas of a trajectory differ: mdtraj adds an atom's area in the previous
frame, in nm^2, to the number of its free points. Here every frame is its own predecessor. Areas of ensembles are then
larger by 0.26 %, the mean effect in mdtraj, and do not depend on the order of frames.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures import Atoms
from ebabench.structures.arrays import Positions
from ebabench.system.compilation import cached_njit

POINTS = 960
PROBE = 2.8  # angstrom
THRESHOLD = 2.0  # square angstrom
RADII = {"C": 1.7, "N": 1.55, "O": 1.52, "S": 1.8}  # angstrom, van der Waals
BACKBONE = ("N", "CA", "C", "O", "OXT")

_PATCHES = 64
_BLOCK = 16  # spheres tested at once
_KNOWN = 96  # spheres kept for each atom that covered something of it
_Array = npt.NDArray[Any]


def exposed(atoms: Atoms, positions: Positions, *, single: bool | None = None) -> npt.NDArray[np.bool_]:
    """Return whether the side chain of each residue exposes more than 2 square angstrom to a probe of 2.8 angstrom.

    Args:
        atoms: N heavy atoms.
        positions: [S, N, 3] in angstrom. The points of the spheres are fixed in space, so the orientation of a frame
            matters a little.
        single: Whether these are single structures, which have plain areas, and no frames of an ensemble. By default,
            one frame is.

    Returns:
        [S, residues]. Glycine is never exposed.
    """
    reach = np.array([RADII[str(name)[0]] for name in atoms.name]) + PROBE
    share = 4 * np.pi * reach**2 / POINTS
    if not (len(positions) == 1 if single is None else single):
        share /= 1 - share / 100
    side = ~np.isin(atoms.name, BACKBONE)
    start = np.searchsorted(atoms.residue, np.arange(atoms.residue[-1] + 2))
    frames = np.array(positions, order="C")  # a copy: for arrays that are read-only the kernel would be compiled anew
    found: npt.NDArray[np.bool_] = _exposed(frames, reach, share, side, start, *_sphere(), THRESHOLD)
    return found


def sphere_points(count: int) -> _Array:
    """Return points [count, 3] on the unit sphere along a golden-section spiral about y, from pole to pole.

    The angle is rounded to single precision, as in mdtraj, from which published numbers come. At the end of the spiral
    the rounding is 1e-4 radian, enough to move a residue across the threshold.
    """
    k = np.arange(count)
    y = (2 * k + 1) / count - 1
    angle = (k.astype(np.float32) * np.float32(np.pi * (3 - np.sqrt(5)))).astype(np.float64)
    radius = np.sqrt(1 - y * y)
    return np.stack([np.cos(angle) * radius, y, np.sin(angle) * radius], axis=1)


@cache
def _sphere() -> tuple[_Array, _Array, _Array, _Array]:
    """Return the points patch by patch, the first of each patch, and the patches' centers and radii (as chords)."""
    points = sphere_points(POINTS)
    patch = (points @ sphere_points(_PATCHES).T).argmax(1)
    order = np.argsort(patch, kind="stable")
    points, first = points[order], np.searchsorted(patch[order], np.arange(_PATCHES + 1))
    centers = np.stack([points[a:b].mean(0) for a, b in pairwise(first)])
    centers /= np.linalg.norm(centers, axis=1)[:, None]
    chords = np.linalg.norm(points - np.repeat(centers, np.diff(first), axis=0), axis=1)
    return points, first, centers, np.maximum.reduceat(chords, first[:-1])


@cached_njit(error_model="numpy")
def _bound(spheres: _Array, start: _Array, bounds: _Array) -> None:  # pragma: no cover
    """Write a ball around the centers of each residue's atoms into the rows x, y, z, radius of ``bounds``."""
    for r in range(len(start) - 1):
        x = y = z = most = 0.0
        count = start[r + 1] - start[r]
        for k in range(start[r], start[r + 1]):
            x, y, z = x + spheres[k, 0] / count, y + spheres[k, 1] / count, z + spheres[k, 2] / count
        for k in range(start[r], start[r + 1]):
            most = max(most, (spheres[k, 0] - x) ** 2 + (spheres[k, 1] - y) ** 2 + (spheres[k, 2] - z) ** 2)
        bounds[0, r], bounds[1, r], bounds[2, r], bounds[3, r] = x, y, z, np.sqrt(most)


@cached_njit(error_model="numpy")
def _residues_near(r: int, bounds: _Array, gap: float, near: _Array, balls: _Array) -> int:  # pragma: no cover
    """Write the residues with atoms that may be nearer than ``gap`` to one of residue r; return their number.

    Their balls go into ``balls`` [4, .], side by side.
    """
    count = np.uint64(0)
    x, y, z, reach = bounds[0, r], bounds[1, r], bounds[2, r], bounds[3, r] + gap
    for q in range(bounds.shape[1]):
        square = (bounds[0, q] - x) ** 2 + (bounds[1, q] - y) ** 2 + (bounds[2, q] - z) ** 2
        # Without a branch, that would be mispredicted: what is not picked is overwritten.
        near[count] = q
        balls[0, count], balls[1, count] = bounds[0, q], bounds[1, q]
        balls[2, count], balls[3, count] = bounds[2, q], bounds[3, q]
        count += np.uint64(square < (bounds[3, q] + reach) ** 2)
    return np.int64(count)  # type: ignore[return-value]  # numba's integer


@cached_njit(error_model="numpy")
def _spheres_near(
    i: int,
    x: float,
    y: float,
    z: float,
    margin: float,
    widest: float,
    spheres: _Array,
    start: _Array,
    near: _Array,
    near_count: int,
    balls: _Array,
    nearer: _Array,
    picked: _Array,
    around: _Array,
) -> int:  # pragma: no cover
    """Write the spheres other than i that reach within ``margin`` of a point: all that can cover something there.

    ``near`` are the residues that they may belong to, ``balls`` those around them, and ``widest`` is the largest
    radius. The spheres go into ``around`` [4, .], filled up to whole blocks with spheres of no size, and their numbers
    into ``picked``. Return their number, filled up. ``nearer`` is room for as many residues as ``near``.
    """
    residues = count = np.uint64(0)
    for k in range(near_count):
        square = (balls[0, k] - x) ** 2 + (balls[1, k] - y) ** 2 + (balls[2, k] - z) ** 2
        nearer[residues] = near[k]
        residues += np.uint64(square < (balls[3, k] + margin + widest) ** 2)
    for k in range(np.int64(residues)):
        for j in range(start[nearer[k]], start[nearer[k] + 1]):
            square = (spheres[j, 0] - x) ** 2 + (spheres[j, 1] - y) ** 2 + (spheres[j, 2] - z) ** 2
            picked[count] = j
            count += np.uint64((square < (margin + spheres[j, 3]) ** 2) & (j != i))
    found = np.int64(count)
    _gather(picked, found, spheres, around)  # type: ignore[arg-type]
    filled = (found + _BLOCK - 1) // _BLOCK * _BLOCK
    for k in range(found, filled):
        around[0, k], around[1, k], around[2, k], around[3, k] = 1e9, 0.0, 0.0, 0.0
    return filled  # type: ignore[return-value]


@cached_njit(error_model="numpy")
def _gather(which: _Array, count: int, spheres: _Array, into: _Array) -> bool:  # pragma: no cover
    """Copy spheres, given their numbers, into the columns of ``into`` [4, .]; return True."""
    for k in range(count):
        j = which[k]
        into[0, k], into[1, k], into[2, k], into[3, k] = spheres[j, 0], spheres[j, 1], spheres[j, 2], spheres[j, 3]
    return True


@cached_njit(error_model="numpy")
def _holds(sphere: _Array, x: float, y: float, z: float) -> bool:  # pragma: no cover
    """Return whether a sphere holds a point."""
    square = (sphere[0] - x) ** 2 + (sphere[1] - y) ** 2 + (sphere[2] - z) ** 2
    return square < sphere[3] * sphere[3]  # type: ignore[no-any-return]


@cached_njit(error_model="numpy")
def _unheld(
    i: int, first: int, spheres: _Array, covers: _Array, centers: _Array, chords: _Array, rest: _Array
) -> int:  # pragma: no cover
    """Write the patches of sphere i that their last cover does not hold, ``first`` and those behind it at the front.

    Return their number. There is no branch, as in ``_residues_near``.
    """
    count, radius = np.uint64(0), spheres[i, 3]
    for step in range(_PATCHES):
        patch = (first + step) % _PATCHES
        j = np.uint32(covers[patch])
        x = spheres[i, 0] + radius * centers[patch, 0]
        y = spheres[i, 1] + radius * centers[patch, 1]
        z = spheres[i, 2] + radius * centers[patch, 2]
        inner = spheres[j, 3] - radius * chords[patch]
        square = (spheres[j, 0] - x) ** 2 + (spheres[j, 1] - y) ** 2 + (spheres[j, 2] - z) ** 2
        rest[count] = patch
        count += np.uint64(1) - np.uint64(square < inner * inner)
    return np.int64(count)  # type: ignore[return-value]


@cached_njit(error_model="numpy")
def _holder(x: float, y: float, z: float, margin: float, around: _Array, count: int) -> int:  # pragma: no cover
    """Return the first sphere of ``around`` that holds all within ``margin`` of a point, or -1."""
    for block in range(0, count, _BLOCK):
        hit = np.uint32(0)
        ax, ay = around[0, block : block + _BLOCK], around[1, block : block + _BLOCK]
        az, ar = around[2, block : block + _BLOCK], around[3, block : block + _BLOCK]
        for k in range(_BLOCK):
            inner = max(ar[k] - margin, 0.0)
            hit |= np.uint32((ax[k] - x) ** 2 + (ay[k] - y) ** 2 + (az[k] - z) ** 2 < inner * inner)
        if hit:
            for k in range(_BLOCK):
                inner = max(ar[k] - margin, 0.0)
                if (ax[k] - x) ** 2 + (ay[k] - y) ** 2 + (az[k] - z) ** 2 < inner * inner:
                    return block + k
    return -1


@cached_njit(error_model="numpy")
def _free(
    i: int,
    directions: _Array,
    enough: int,
    spheres: _Array,
    around: _Array,
    count: int,
    picked: _Array,
    covers: _Array,
) -> int:  # pragma: no cover
    """Return how many of some points of sphere i no sphere of ``around`` covers, counted up to ``enough``."""
    free, radius = 0, spheres[i, 3]
    for point in range(len(directions)):
        x = spheres[i, 0] + radius * directions[point, 0]
        y = spheres[i, 1] + radius * directions[point, 1]
        z = spheres[i, 2] + radius * directions[point, 2]
        if covers[point] != i and _holds(spheres[covers[point]], x, y, z):
            continue
        k = _holder(x, y, z, 0.0, around, count)
        if k >= 0:
            covers[point] = picked[k]
            continue
        free += 1
        if free == enough:
            break
    return free


@cached_njit(error_model="numpy", nogil=True)
def _exposed(  # noqa: PLR0912
    positions: _Array,
    reach: _Array,
    share: _Array,
    side: _Array,
    start: _Array,
    points: _Array,
    first_point: _Array,
    centers: _Array,
    chords: _Array,
    threshold: float,
) -> _Array:  # pragma: no cover
    size, residues = len(reach), len(start) - 1
    result = np.zeros((len(positions), residues), np.bool_)
    spheres, bounds, widest = np.empty((size, 4)), np.empty((4, residues)), 0.0
    for i in range(size):
        spheres[i, 3], widest = reach[i], max(widest, reach[i])
    near, near_count = np.empty(residues + 1, np.int64), 0
    balls, nearer = np.empty((4, residues + 1)), np.empty(residues + 1, np.int64)
    around, picked = np.empty((4, size + _BLOCK)), np.empty(size + 1, np.int64)
    # What covered each patch and point last, and, for each atom, whatever did; at first the atom itself, that does not.
    of_patch, of_point = np.empty((size, _PATCHES), np.int32), np.empty((size, len(points)), np.int32)
    known, newest = np.empty((size, _KNOWN), np.int32), np.zeros(size, np.int64)
    for table in (of_patch, of_point, known):
        for i in range(size):
            for k in range(table.shape[1]):
                table[i, k] = i
    these, rest = np.empty((4, _KNOWN)), np.empty(_PATCHES + 1, np.int64)
    # Where a residue was exposed in the frame before, it is likely to be again.
    atom_hint, patch_hint = np.zeros(residues, np.int64), np.zeros(residues, np.int64)
    for frame in range(len(positions)):
        for i in range(size):
            for axis in range(3):
                spheres[i, axis] = positions[frame, i, axis]
        _bound(spheres, start, bounds)
        for residue in range(residues):
            atoms = start[residue + 1] - start[residue]
            area, near_known = 0.0, False
            for turn in range(atoms):
                i = start[residue] + (atom_hint[residue] + turn) % atoms
                if not side[i]:
                    continue
                radius, gathered = reach[i], False
                for step in range(_unheld(i, patch_hint[residue], spheres, of_patch[i], centers, chords, rest)):
                    patch = rest[step]
                    x = spheres[i, 0] + radius * centers[patch, 0]
                    y = spheres[i, 1] + radius * centers[patch, 1]
                    z = spheres[i, 2] + radius * centers[patch, 2]
                    margin = radius * chords[patch]
                    if not gathered:
                        gathered = _gather(known[i], _KNOWN, spheres, these)
                    k = _holder(x, y, z, margin, these, _KNOWN)
                    if k >= 0:
                        of_patch[i, patch] = known[i, k]
                        continue
                    if not near_known:
                        near_count, near_known = _residues_near(residue, bounds, 2 * widest, near, balls), True
                    count = _spheres_near(
                        i, x, y, z, margin, widest, spheres, start, near, near_count, balls, nearer, picked, around
                    )
                    k = _holder(x, y, z, margin, around, count)
                    if k >= 0:
                        of_patch[i, patch] = picked[k]
                        known[i, newest[i]] = picked[k]
                        newest[i] = (newest[i] + 1) % _KNOWN
                        continue
                    here = slice(first_point[patch], first_point[patch + 1])
                    enough = int((threshold - area) / share[i]) + 1
                    area += share[i] * _free(i, points[here], enough, spheres, around, count, picked, of_point[i, here])
                    if area > threshold:
                        result[frame, residue] = True
                        atom_hint[residue], patch_hint[residue] = i - start[residue], patch
                        break
                if result[frame, residue]:
                    break
    return result
