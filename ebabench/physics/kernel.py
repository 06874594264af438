"""Lennard-Jones, Coulomb and generalised Born of a whole molecule, without cutoff, in one SIMD kernel.

OpenMM's CPU code spends nine tenths of a step in these sums (scalar loops with a library ``log`` and ``exp`` per pair,
or an interpreted expression). Here every inner loop runs over a contiguous row without branches, so that the compiler
emits full vectors. Formulas: Lennard-Jones with Lorentz-Berthelot rules; OBC: Onufriev, Bashford, Case, Proteins 55,
383 (2004), model II, in the form of OpenMM's ``GBSAOBCForce``; GBn2: Nguyen, Roe, Simmerling, JCTC 9, 2020 (2013), in
the form of OpenMM's ``implicit/gbn2.xml``; both with the ACE surface term. Units: nm, kJ/mol, elementary charges.

No operation may be reordered or fused by the compiler, and no library function is called: energies and forces have the
same bits on every processor, whatever its vectors (`ebabench.physics.lanes`). The same code runs in double and, for
molecular dynamics, in single precision: the type of ``charge`` decides.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebabench.physics.lanes import (
    PADDING,
    cached,
    compiled,
    exp,
    inlined,
    larger,
    load,
    log,
    magnitude,
    root,
    select,
    splat,
    store,
    total,
)

Array = npt.NDArray[Any]
Pairs = npt.NDArray[np.int64]

COULOMB = 138.93545764438198  # kJ mol^-1 nm e^-2
_NECK_SCALE, _NECK_REACH = 0.826836, 0.68  # Nguyen et al.; nm beyond the two radii
TABLE = 2**20  # pairs whose parameters are tabulated (34 MB); of more, they are made row by row
_SLOPES = 2**25  # pairs whose slopes are kept (268 MB): of more, they are made again where they are needed
_NEAREST = 1e-6  # nm^2; a floor of squared distances that no two atoms reach


class PairTerms(NamedTuple):
    """Lennard-Jones and Coulomb of N atoms, in arrays padded to P, a multiple of PADDING.

    charge, half_sigma (nm), sqrt_epsilon [P], 0 where padded. The pairs of atom i that have parameters of their own (0
    if excluded) are ``first[i]`` to ``first[i + 1]`` of ``other`` [X], all below i, and of ``own`` [X, 3]: Coulomb's
    constant times the product of charges, 4 epsilon sigma^12, 4 epsilon sigma^6. table [N, 4, P]: the rows of
    `pair_row`, or [0, 4, P] if they are too many to keep.
    """

    charge: Array
    half_sigma: Array
    sqrt_epsilon: Array
    first: Pairs
    other: Pairs
    own: Array
    table: Array


class BornTerms(NamedTuple):
    """Generalised Born, in arrays padded to P. offset_radius, radius, screened (nm; the scaled offset radius) [P].

    alpha, beta, gamma [P]. engulfed: weight of the term for an atom inside another's screened sphere (OBC 2, GBn2 0).
    prefactor = -(1/eps_in - 1/eps_out) times Coulomb's constant; surface: energy of an area of radius^2, kJ/mol/nm^2.
    """

    offset_radius: Array
    radius: Array
    screened: Array
    alpha: Array
    beta: Array
    gamma: Array
    engulfed: Any
    prefactor: Any
    surface: Any


class NeckTerms(NamedTuple):
    """The neck between two atoms (GBn2): kind [N]; depth and distance (nm) [kinds, P] for each atom next to a kind."""

    kind: Pairs
    depth: Array
    distance: Array


@inlined
def _width(array: Array) -> int:
    """Lanes in a vector of the array's type."""
    return 64 // array.itemsize


@inlined
def descreen(
    i: int, x: Array, y: Array, z: Array, born: BornTerms, neck: NeckTerms | None, integral: Array, slope: Array
) -> None:
    """Add atom i's share to twice the Born integrals [P] of all others; set ``slope`` [P], derivative over distance."""
    xi, yi, zi, s = x[i], y[i], z[i], splat(born.screened[i])
    kept = integral[i]
    if neck is not None:
        reach = splat(born.radius[i]) + _NECK_REACH
        depth, distance = neck.depth[neck.kind[i]], neck.distance[neck.kind[i]]
    for j in range(0, len(x), _width(x)):
        dx, dy, dz = load(x, j) - xi, load(y, j) - yi, load(z, j) - zi
        r = root(larger(dx * dx + dy * dy + dz * dz, _NEAREST))
        offset = load(born.offset_radius, j)
        upper = r + s
        lower = larger(magnitude(r - s), offset)
        both = lower * upper
        scale = r * both
        if neck is not None:
            t = r - load(distance, j)
            t2 = t * t
            bell = 1.0 + t2 * (100.0 + 3e5 * t2 * t2)
            inverse = 1.0 / (scale * bell)
            share = inverse * scale
            inverse = inverse * bell
        else:
            inverse = 1.0 / scale
        rinv = inverse * both
        l, u = inverse * (r * upper), inverse * (r * lower)
        l2, u2 = l * l, u * u
        logarithm = 0.5 * log(lower * u) * rinv
        ratio = s * s * rinv
        term = l - u + 0.25 * (r - ratio) * (u2 - l2) + logarithm
        if born.engulfed > 0.0:
            term = select(offset < s - r, term + born.engulfed * (1.0 / offset - l), term)
        d = (0.25 * (1.0 + ratio * rinv) * (u2 - l2) - logarithm * rinv) * rinv
        here = offset < upper
        term, d = select(here, term, 0.0), select(here, d, 0.0)
        if neck is not None:
            value = (2.0 * _NECK_SCALE) * load(depth, j) * share
            value = select(r < reach + load(born.radius, j), value, 0.0)
            term += value
            d -= value * share * t * (200.0 + 1.8e6 * t2 * t2) * rinv
        store(integral, j, load(integral, j) + term)
        store(slope, j, d)
    integral[i] = kept
    slope[i] = 0.0


@compiled
def born_integrals(
    n: int, x: Array, y: Array, z: Array, born: BornTerms, neck: NeckTerms | None, slope: Array
) -> Array:
    """Return twice the Born integrals [P]; set the slopes [N, P] by each atom (those of the last one if [1, P])."""
    integral = np.zeros(len(x), x.dtype)
    for i in range(n):
        descreen(i, x, y, z, born, neck, integral, slope[i if len(slope) == n else 0])
    return integral


@compiled
def born_radii(born: BornTerms, integral: Array, radii: Array, chain: Array) -> None:
    """Set the Born radii [P] (nm) and their derivatives from twice the integrals."""
    for j in range(0, len(integral), _width(integral)):
        alpha, beta, gamma = load(born.alpha, j), load(born.beta, j), load(born.gamma, j)
        radius, offset = load(born.radius, j), load(born.offset_radius, j)
        half = 0.5 * offset
        psi = half * load(integral, j)
        argument = psi * (alpha - psi * (beta - psi * gamma))
        e = exp(-2.0 * magnitude(argument))
        t = (1.0 - e) / (1.0 + e)
        t = select(argument < 0.0, -1.0 * t, t)
        b = 1.0 / (1.0 / offset - t / radius)
        store(radii, j, b)
        store(chain, j, b * b * (1.0 - t * t) / radius * (alpha - psi * (2.0 * beta - 3.0 * gamma * psi)) * half)


@compiled
def self_energies(charge: Array, born: BornTerms, radii: Array, polar: Array, surface: Array) -> None:
    """Set the polar and the ACE surface energy of each atom [P] from its Born radius."""
    for j in range(0, len(radii), _width(radii)):
        inverse, radius, q = 1.0 / load(radii, j), load(born.radius, j), load(charge, j)
        ratio = radius * inverse
        r3 = ratio * ratio * ratio
        store(polar, j, 0.5 * born.prefactor * q * q * inverse)
        store(surface, j, born.surface * (radius + 0.14) * (radius + 0.14) * r3 * r3)


@inlined
def pair_row(i: int, pairs: PairTerms, prefactor: Any, row: Array) -> None:
    """Set the parameters [4, P] of atom i with all atoms below it, 0 elsewhere: as in ``own``, and the factor of GB."""
    qi, ei = pairs.charge[i], 4.0 * splat(pairs.sqrt_epsilon[i])
    for j in range(0, (i + PADDING - 1) // PADDING * PADDING, _width(row)):
        sigma = pairs.half_sigma[i] + load(pairs.half_sigma, j)
        s2 = sigma * sigma
        s6 = s2 * s2 * s2
        c6 = ei * load(pairs.sqrt_epsilon, j) * s6
        qq = qi * load(pairs.charge, j)
        store(row[0], j, COULOMB * qq)
        store(row[1], j, c6 * s6)
        store(row[2], j, c6)
        store(row[3], j, prefactor * qq)
    for c in range(4):
        for j in range(i, row.shape[1]):
            row[c, j] = 0.0
    for k in range(pairs.first[i], pairs.first[i + 1]):
        for c in range(3):
            row[c, pairs.other[k]] = pairs.own[k, c]


@compiled
def _pair_forces(
    n: int, x: Array, y: Array, z: Array, radii: Array, pairs: PairTerms, prefactor: Any, force: Array
) -> float:
    """Energy of all pairs; add their forces, and in the last row the slopes by the Born radii, to ``force`` [4, P]."""
    fx, fy, fz, fb = force[0], force[1], force[2], force[3]
    inverse = np.empty_like(x)
    for j in range(0, len(x), _width(x)):
        store(inverse, j, 1.0 / load(radii, j))
    own = np.empty((4, len(x)), x.dtype)
    energy = 0.0
    for i in range(1, n):
        xi, yi, zi, bi, vi = x[i], y[i], z[i], radii[i], 0.25 * splat(inverse[i])
        row = own
        if len(pairs.table) == n:
            row = pairs.table[i]
        else:
            pair_row(i, pairs, prefactor, row)
        qq, c12, c6, gb = row[0], row[1], row[2], row[3]
        zero = splat(xi) * 0.0
        ax, ay, az, ab, ae = zero, zero, zero, zero, zero
        for j in range(0, (i + PADDING - 1) // PADDING * PADDING, _width(x)):
            dx, dy, dz = load(x, j) - xi, load(y, j) - yi, load(z, j) - zi
            r2 = larger(dx * dx + dy * dy + dz * dz, _NEAREST)
            b = load(radii, j)
            w = r2 * (vi * load(inverse, j))
            ex = exp(-1.0 * w)
            f2 = r2 + bi * b * ex
            both = 1.0 / (r2 * f2)
            r2inv, f2inv = both * f2, both * r2
            r6inv = r2inv * r2inv * r2inv
            attraction = load(c6, j) * r6inv
            repulsion = load(c12, j) * r6inv * r6inv
            coulomb = load(qq, j) * root(r2inv)
            gbe = load(gb, j) * root(f2inv)
            ae += coulomb + (repulsion - attraction) + gbe
            gbe = gbe * f2inv
            de = (coulomb + (12.0 * repulsion - 6.0 * attraction)) * r2inv + gbe * (1.0 - 0.25 * ex)
            gx, gy, gz = de * dx, de * dy, de * dz
            ax += gx
            ay += gy
            az += gz
            store(fx, j, load(fx, j) + gx)
            store(fy, j, load(fy, j) + gy)
            store(fz, j, load(fz, j) + gz)
            db = -0.5 * gbe * ex * (1.0 + w)
            ab += db * b
            store(fb, j, load(fb, j) + db * bi)
        fx[i] -= total(ax)
        fy[i] -= total(ay)
        fz[i] -= total(az)
        fb[i] += total(ab)
        energy += float(total(ae))
    return energy


@compiled
def _chain_forces(
    n: int, x: Array, y: Array, z: Array, born: BornTerms, neck: NeckTerms | None, slope: Array, force: Array
) -> None:
    """Add the forces through the Born integrals to ``force`` [4, P], whose last row has the energy's slopes by them."""
    fx, fy, fz, g = force[0], force[1], force[2], force[3]
    unused = np.empty_like(x)
    for i in range(n):
        row = slope[i if len(slope) == n else 0]
        if len(slope) != n:
            descreen(i, x, y, z, born, neck, unused, row)
        xi, yi, zi = x[i], y[i], z[i]
        zero = splat(xi) * 0.0
        ax, ay, az = zero, zero, zero
        for j in range(0, len(x), _width(x)):
            de = load(g, j) * load(row, j)
            gx, gy, gz = de * (load(x, j) - xi), de * (load(y, j) - yi), de * (load(z, j) - zi)
            ax += gx
            ay += gy
            az += gz
            store(fx, j, load(fx, j) - gx)
            store(fy, j, load(fy, j) - gy)
            store(fz, j, load(fz, j) - gz)
        fx[i] += total(ax)
        fy[i] += total(ay)
        fz[i] += total(az)


@compiled
def nonbonded(
    n: int, x: Array, y: Array, z: Array, pairs: PairTerms, born: BornTerms, neck: NeckTerms | None, force: Array
) -> float:
    """Energy at padded positions [P] of the terms' precision; sets the first three rows of ``force`` [4, P]."""
    padded, dtype = len(x), x.dtype
    # The slopes of the Born integrals are kept for the chain rule, if they fit.
    slope = np.empty((n if n * padded <= _SLOPES else 1, padded), dtype)
    integral = born_integrals(n, x, y, z, born, neck, slope)
    radii, chain = np.empty(padded, dtype), np.empty(padded, dtype)
    born_radii(born, integral, radii, chain)
    polar, surface = np.empty(padded, dtype), np.empty(padded, dtype)
    self_energies(pairs.charge, born, radii, polar, surface)
    for c in range(4):
        for j in range(padded):
            force[c, j] = 0.0
    energy = _pair_forces(n, x, y, z, radii, pairs, born.prefactor, force)
    g = force[3]
    for j in range(0, padded, _width(x)):
        own = (6.0 * load(surface, j) + load(polar, j)) / load(radii, j)
        store(g, j, (load(g, j) - own) * load(chain, j))
    for j in range(n, padded):
        g[j] = 0.0
    _chain_forces(n, x, y, z, born, neck, slope, force)
    for i in range(n):
        energy += float(polar[i]) + float(surface[i])
    return energy


@cached
def pair_table(pairs: PairTerms, prefactor: Any) -> Array:
    """The rows of all atoms [N, 4, P]."""
    n, padded = len(pairs.first) - 1, len(pairs.charge)
    table = np.empty((n, 4, padded), pairs.charge.dtype)
    for i in range(n):
        pair_row(i, pairs, prefactor, table[i])
    return table
