"""Lennard-Jones, Coulomb and OBC generalised Born of a whole molecule, without cutoff, in one SIMD kernel.

OpenMM's CPU code spends nine tenths of a small peptide's step in these sums (scalar loops with a library ``log`` and
``exp`` a pair). Here every inner loop runs over a contiguous row without branches, so that the compiler emits full
vectors. Formulas: Lennard-Jones with Lorentz-Berthelot rules; Onufriev, Bashford, Case, Proteins 55, 383 (2004),
model II, in the form of OpenMM's ``GBSAOBCForce``, with its ACE surface term. Units: nm, kJ/mol, elementary charges.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = npt.NDArray[np.float64]

COULOMB = 138.93545764438198  # kJ mol^-1 nm e^-2
_OBC_ALPHA, _OBC_BETA, _OBC_GAMMA = 1.0, 0.8, 4.85
_SUMS = {"reassoc", "contract", "nsz", "arcp", "nnan", "ninf"}  # lets the row sums be vectorised


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


@njit(cache=True, fastmath=_SUMS, error_model="numpy")
def energy_and_forces(  # noqa: PLR0915 - one kernel, or the vectors spill
    positions: Array,
    charge: Array,
    half_sigma: Array,
    sqrt_epsilon: Array,
    exclusions: npt.NDArray[np.int64],
    exceptions: npt.NDArray[np.int64],
    exception_parameters: Array,
    radius: Array,
    screened: Array,
    gb_prefactor: float,
    surface: float,
) -> tuple[float, Array]:
    """Energy (kJ/mol) and forces (kJ/mol/nm, shape [N, 3]) of one conformation.

    positions [N, 3] nm; exclusions [X, 2] pairs to leave out of Lennard-Jones and Coulomb; exceptions [Y, 2] pairs
    (also in exclusions) with their own ``charge product, sigma, epsilon`` [Y, 3]; radius [N] the Born radius without
    offset and screened [N] the scaled offset radius; gb_prefactor = -(1/eps_in - 1/eps_out) * COULOMB; surface in
    kJ/mol/nm^2, 0 for none.
    """
    n = len(positions)
    x, y, z = positions[:, 0].copy(), positions[:, 1].copy(), positions[:, 2].copy()
    fx, fy, fz = np.zeros(n), np.zeros(n), np.zeros(n)
    energy = 0.0

    # Born radii, and the derivative of each row's integral by distance, kept for the chain rule.
    slope = np.empty((n, n))
    born, chain, dborn = np.empty(n), np.empty(n), np.zeros(n)
    for i in range(n):
        offset = radius[i] - 0.009
        inverse = 1.0 / offset
        xi, yi, zi = x[i], y[i], z[i]
        row = slope[i]
        total = 0.0
        for j in range(n):
            dx, dy, dz = x[j] - xi, y[j] - yi, z[j] - zi
            r2 = max(dx * dx + dy * dy + dz * dz, 1e-12)
            r = np.sqrt(r2)
            s = screened[j]
            upper = r + s
            lower = max(offset, abs(r - s))
            l, u = 1.0 / lower, 1.0 / upper
            l2, u2 = l * l, u * u
            log = _log(lower * u)
            rinv = 1.0 / r
            ratio = s * s * rinv
            term = l - u + 0.25 * (r - ratio) * (u2 - l2) + 0.5 * log * rinv
            term += 2.0 * (inverse - l) if offset < s - r else 0.0
            d = -(0.25 * (1.0 + ratio * rinv) * (l2 - u2) + 0.5 * log * rinv * rinv) * rinv
            here = offset < upper and j != i
            total += term if here else 0.0
            row[j] = d if here else 0.0
        psi = 0.5 * offset * total
        t = np.tanh(psi * (_OBC_ALPHA - psi * (_OBC_BETA - psi * _OBC_GAMMA)))
        born[i] = 1.0 / (inverse - t / radius[i])
        slope_psi = _OBC_ALPHA - psi * (2.0 * _OBC_BETA - 3.0 * _OBC_GAMMA * psi)
        chain[i] = born[i] * born[i] * (1.0 - t * t) / radius[i] * slope_psi * 0.5 * offset
        probe = radius[i] + 0.14
        area = 4.0 * np.pi * surface * probe * probe * (radius[i] / born[i]) ** 6
        energy += area
        dborn[i] += -6.0 * area / born[i]
        self_energy = 0.5 * gb_prefactor * charge[i] * charge[i] / born[i]
        energy += self_energy
        dborn[i] += -self_energy / born[i]

    # Pair terms, each pair once.
    for i in range(1, n):
        xi, yi, zi, qi, si, ei, bi = x[i], y[i], z[i], charge[i], half_sigma[i], sqrt_epsilon[i], born[i]
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
            bb = bi * born[j]
            bbinv = 1.0 / bb
            w = 0.25 * r2 * bbinv
            ex = _exp(-w)
            f2inv = 1.0 / (r2 + bb * ex)
            gbe = gb_prefactor * qq * np.sqrt(f2inv)
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
            gb += db * born[j]
        fx[i] += gx
        fy[i] += gy
        fz[i] += gz
        dborn[i] += gb

    # Chain rule through the Born radii.
    for i in range(n):
        xi, yi, zi = x[i], y[i], z[i]
        g = dborn[i] * chain[i]
        row = slope[i]
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
    for k in range(len(exclusions) + len(exceptions)):
        if k < len(exclusions):
            i, j = exclusions[k]
            qq, sigma = -charge[i] * charge[j], half_sigma[i] + half_sigma[j]
            epsilon = -sqrt_epsilon[i] * sqrt_epsilon[j]
        else:
            i, j = exceptions[k - len(exclusions)]
            qq, sigma, epsilon = exception_parameters[k - len(exclusions)]
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
