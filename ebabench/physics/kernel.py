"""Lennard-Jones, Coulomb and generalised Born of a whole molecule, without cutoff, in one SIMD kernel.

OpenMM's CPU code spends nine tenths of a step in these sums (scalar loops with a library ``log`` and ``exp`` a pair,
or an interpreted expression). Here every inner loop runs over a contiguous row without branches, so that the compiler
emits full vectors. Formulas: Lennard-Jones with Lorentz-Berthelot rules; OBC: Onufriev, Bashford, Case, Proteins 55,
383 (2004), model II, in the form of OpenMM's ``GBSAOBCForce``; GBn2: Nguyen, Roe, Simmerling, JCTC 9, 2020 (2013), in
the form of OpenMM's ``implicit/gbn2.xml``; both with the ACE surface term. Units: nm, kJ/mol, elementary charges.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = npt.NDArray[np.float64]
Pairs = npt.NDArray[np.int64]

COULOMB = 138.93545764438198  # kJ mol^-1 nm e^-2
_NECK_SCALE, _NECK_REACH = 0.826836, 0.68  # Nguyen et al.; nm beyond the two radii
_STORED_SLOPES = 2**25  # 256 MB: above it a row of slopes is made again where it is needed
_SUMS = {"reassoc", "contract", "nsz", "arcp", "nnan", "ninf"}  # lets the row sums be vectorised


class PairTerms(NamedTuple):
    """Lennard-Jones and Coulomb. ``exclusions`` [X, 2] are left out; ``exceptions`` [Y, 2], some of those, come back.

    charge, half_sigma (nm), sqrt_epsilon [N]; exception_parameters [Y, 3]: charge product, sigma, epsilon.
    """

    charge: Array
    half_sigma: Array
    sqrt_epsilon: Array
    exclusions: Pairs
    exceptions: Pairs
    exception_parameters: Array


class BornTerms(NamedTuple):
    """Generalised Born. offset_radius, radius, screened (nm; the scaled offset radius), alpha, beta, gamma [N].

    engulfed: weight of the term for an atom inside another's screened sphere (OBC 2, GBn2 0). prefactor =
    -(1/eps_in - 1/eps_out) times Coulomb's constant; surface: energy of an area of radius^2, kJ/mol/nm^2.
    """

    offset_radius: Array
    radius: Array
    screened: Array
    alpha: Array
    beta: Array
    gamma: Array
    engulfed: float
    prefactor: float
    surface: float


class NeckTerms(NamedTuple):
    """The neck between two atoms (GBn2): kind [N] of each atom; depth and distance (nm) [kinds, N] by the other."""

    kind: npt.NDArray[np.int64]
    depth: Array
    distance: Array


@intrinsic
def _bits(_context: Any, _value: Any) -> Any:
    def build(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), build


@intrinsic
def _double(_context: Any, _value: Any) -> Any:
    def build(_ctx: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), build


# fastmath=False must be said: numba lets a callee inherit its first caller's flags, and reassociation undoes the
# additions of large constants below, which round.
@njit(fastmath=False, error_model="numpy")
def _log(x: float) -> float:
    """Natural logarithm of a positive normal double, to 2 ulp, in straight-line code that vectorises."""
    # Shift so that the mantissa lies in [sqrt(1/2), sqrt(2)).
    shifted = _bits(x) + 0x00095F6200000000  # type: ignore[call-arg]
    exponent = (shifted >> 52) - 1023
    mantissa = _double((shifted & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E00000000)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    s = f * f
    p = 1.0 / 21.0
    p = p * s + 1.0 / 19.0
    p = p * s + 1.0 / 17.0
    p = p * s + 1.0 / 15.0
    p = p * s + 1.0 / 13.0
    p = p * s + 1.0 / 11.0
    p = p * s + 1.0 / 9.0
    p = p * s + 1.0 / 7.0
    p = p * s + 1.0 / 5.0
    p = p * s + 1.0 / 3.0
    # int64 -> double by the 2^52 trick: AVX2 has no such conversion.
    e = _double((exponent + 2048) | 0x4330000000000000) - 4503599627372544.0
    return float(e * 0.6931471805599453 + 2.0 * f * (p * s + 1.0))


@njit(fastmath=False, error_model="numpy")
def _exp(x: float) -> float:
    """Exponential of x <= 0 (0 below -700), to 2 ulp, in straight-line code that vectorises."""
    x = max(x, -700.0)
    t = x * 1.4426950408889634 + 6755399441055744.0
    k = t - 6755399441055744.0
    r = (x - k * 0.693145751953125) - k * 1.4286068203094172321e-06
    p = 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return float(p * _double((_bits(t) + 1023) << 52))  # type: ignore[call-arg]


@njit(fastmath=_SUMS, error_model="numpy", forceinline=True)
def descreening(i: int, x: Array, y: Array, z: Array, born: BornTerms, neck: NeckTerms | None, row: Array) -> float:
    """Twice the integral of atom i over all others; ``row`` [N] takes its derivatives by distance, over distance."""
    offset, xi, yi, zi = born.offset_radius[i], x[i], y[i], z[i]
    inverse = 1.0 / offset
    if neck is not None:
        reach = born.radius[i] + _NECK_REACH
        depth, distance = neck.depth[neck.kind[i]], neck.distance[neck.kind[i]]
    total = 0.0
    for j in range(len(x)):
        dx, dy, dz = x[j] - xi, y[j] - yi, z[j] - zi
        r = np.sqrt(max(dx * dx + dy * dy + dz * dz, 1e-12))
        s = born.screened[j]
        upper = r + s
        lower = max(offset, abs(r - s))
        l, u = 1.0 / lower, 1.0 / upper
        l2, u2 = l * l, u * u
        log = _log(lower * u)
        rinv = 1.0 / r
        ratio = s * s * rinv
        term = l - u + 0.25 * (r - ratio) * (u2 - l2) + 0.5 * log * rinv
        term += born.engulfed * (inverse - l) if offset < s - r else 0.0
        d = -(0.25 * (1.0 + ratio * rinv) * (l2 - u2) + 0.5 * log * rinv * rinv) * rinv
        here = offset < upper and j != i
        term, d = term if here else 0.0, d if here else 0.0
        if neck is not None:
            t = r - distance[j]
            t2 = t * t
            share = 1.0 / (1.0 + t2 * (100.0 + 3e5 * t2 * t2))
            value = 2.0 * _NECK_SCALE * depth[j] * share if r < reach + born.radius[j] and j != i else 0.0
            term += value
            d -= value * share * t * (200.0 + 1.8e6 * t2 * t2) * rinv
        total += term
        row[j] = d
    return float(total)


@njit(error_model="numpy")
def born_radius(i: int, born: BornTerms, integral: float) -> tuple[float, float]:
    """Born radius of atom i (nm) from twice its integral, and the derivative."""
    alpha, beta, gamma, radius = born.alpha[i], born.beta[i], born.gamma[i], born.radius[i]
    half = 0.5 * born.offset_radius[i]
    psi = half * integral
    t = np.tanh(psi * (alpha - psi * (beta - psi * gamma)))
    b = 1.0 / (1.0 / born.offset_radius[i] - t / radius)
    return b, b * b * (1.0 - t * t) / radius * (alpha - psi * (2.0 * beta - 3.0 * gamma * psi)) * half


@njit(error_model="numpy")
def surface_energy(i: int, born: BornTerms, b: float) -> float:
    """ACE energy of atom i, whose Born radius is ``b``."""
    return float(born.surface * (born.radius[i] + 0.14) ** 2 * (born.radius[i] / b) ** 6)


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def energy_and_forces(  # noqa: PLR0915 - one kernel, or the vectors spill
    positions: Array, pairs: PairTerms, born: BornTerms, neck: NeckTerms | None
) -> tuple[float, Array]:
    """Energy (kJ/mol) and forces (kJ/mol/nm) [N, 3] at positions [N, 3] in nm. ``neck``: None for OBC."""
    n = len(positions)
    x, y, z = positions[:, 0].copy(), positions[:, 1].copy(), positions[:, 2].copy()
    fx, fy, fz = np.zeros(n), np.zeros(n), np.zeros(n)
    charge, half_sigma, sqrt_epsilon = pairs.charge, pairs.half_sigma, pairs.sqrt_epsilon
    energy = 0.0

    # Born radii; the slopes are kept for the chain rule, if they fit.
    stored = n * n <= _STORED_SLOPES
    slope = np.empty((n if stored else 1, n))
    radii, chain, dborn = np.empty(n), np.empty(n), np.zeros(n)
    for i in range(n):
        integral = descreening(i, x, y, z, born, neck, slope[i if stored else 0])
        radii[i], chain[i] = born_radius(i, born, integral)
        b = radii[i]
        area = surface_energy(i, born, b)
        own = 0.5 * born.prefactor * charge[i] * charge[i] / b
        energy += area + own
        dborn[i] = -(6.0 * area + own) / b

    # Pair terms, each pair once.
    for i in range(1, n):
        xi, yi, zi, qi, si, ei, bi = x[i], y[i], z[i], charge[i], half_sigma[i], sqrt_epsilon[i], radii[i]
        gx, gy, gz, gb = 0.0, 0.0, 0.0, 0.0
        for j in range(i):
            dx, dy, dz = x[j] - xi, y[j] - yi, z[j] - zi
            r2 = dx * dx + dy * dy + dz * dz
            r2inv = 1.0 / r2
            qq = qi * charge[j]
            sigma = si + half_sigma[j]
            s2 = sigma * sigma * r2inv
            s6 = s2 * s2 * s2
            e6 = 4.0 * ei * sqrt_epsilon[j] * s6
            coulomb = COULOMB * qq * np.sqrt(r2inv)
            bb = bi * radii[j]
            w = 0.25 * r2 / bb
            ex = _exp(-w)
            f2inv = 1.0 / (r2 + bb * ex)
            gbe = born.prefactor * qq * np.sqrt(f2inv)
            energy += coulomb + e6 * (s6 - 1.0) + gbe
            de = -(coulomb + e6 * (12.0 * s6 - 6.0)) * r2inv - gbe * f2inv * (1.0 - 0.25 * ex)
            db = -0.5 * gbe * f2inv * ex * (1.0 + w)
            fx[j] -= de * dx
            fy[j] -= de * dy
            fz[j] -= de * dz
            gx += de * dx
            gy += de * dy
            gz += de * dz
            dborn[j] += db * bi
            gb += db * radii[j]
        fx[i] += gx
        fy[i] += gy
        fz[i] += gz
        dborn[i] += gb

    # Chain rule through the Born radii.
    for i in range(n):
        row = slope[i if stored else 0]
        if not stored:
            descreening(i, x, y, z, born, neck, row)
        xi, yi, zi = x[i], y[i], z[i]
        g = dborn[i] * chain[i]
        gx, gy, gz = 0.0, 0.0, 0.0
        for j in range(n):
            de = g * row[j]
            dx, dy, dz = x[j] - xi, y[j] - yi, z[j] - zi
            fx[j] -= de * dx
            fy[j] -= de * dy
            fz[j] -= de * dz
            gx += de * dx
            gy += de * dy
            gz += de * dz
        fx[i] += gx
        fy[i] += gy
        fz[i] += gz

    # Excluded pairs come out again; exceptions go in with their own parameters.
    excluded = len(pairs.exclusions)
    for k in range(excluded + len(pairs.exceptions)):
        if k < excluded:
            i, j = pairs.exclusions[k]
            qq, sigma = -charge[i] * charge[j], half_sigma[i] + half_sigma[j]
            epsilon = -sqrt_epsilon[i] * sqrt_epsilon[j]
        else:
            i, j = pairs.exceptions[k - excluded]
            qq, sigma, epsilon = pairs.exception_parameters[k - excluded]
        dx, dy, dz = x[j] - x[i], y[j] - y[i], z[j] - z[i]
        r2inv = 1.0 / (dx * dx + dy * dy + dz * dz)
        s6 = (sigma * sigma * r2inv) ** 3
        coulomb = COULOMB * qq * np.sqrt(r2inv)
        energy += coulomb + 4.0 * epsilon * s6 * (s6 - 1.0)
        de = -(coulomb + 4.0 * epsilon * s6 * (12.0 * s6 - 6.0)) * r2inv
        fx[j] -= de * dx
        fy[j] -= de * dy
        fz[j] -= de * dz
        fx[i] += de * dx
        fy[i] += de * dy
        fz[i] += de * dz

    forces = np.empty((n, 3))
    forces[:, 0], forces[:, 1], forces[:, 2] = fx, fy, fz
    return energy, forces
