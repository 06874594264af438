"""Bonds, angles and torsions of a molecule, in lanes of double precision, for `ebabench.physics.langevin`.

Lists of interactions are padded with copies of their first one, of strength 0. Torsions of the same four atoms are one
interaction: sum over n of a_n cos(n phi) + b_n sin(n phi).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openmm

from ebabench.physics.lanes import (
    PADDING,
    compiled,
    inlined,
    larger,
    load,
    magnitude,
    root,
    select,
    splat,
    store,
    total,
)

Array = npt.NDArray[Any]
_WIDTH = 8


class BondedTerms(NamedTuple):
    """Interactions: atoms [M, 2, 3 or 4]; parameters, in OpenMM's units.

    bond: length, k [2, M]; angle: theta0, k [2, M]; torsion [2n, M]: a for 1 to the highest periodicity n, then b.
    constant: kJ/mol, what the torsions' energies have beyond their sums.
    """

    bonds: Array
    bond: Array
    angles: Array
    angle: Array
    torsions: Array
    torsion: Array
    constant: float


def read_bonded(system: openmm.System) -> tuple[BondedTerms, list[int]]:
    """Return the harmonic bonds and angles and the periodic torsions of ``system``, and the indices of their forces."""
    bonds: list[tuple[Any, ...]] = []
    angles: list[tuple[Any, ...]] = []
    torsions: dict[tuple[int, ...], list[tuple[int, float, float]]] = {}
    found = []
    for index, force in enumerate(system.getForces()):
        if isinstance(force, openmm.HarmonicBondForce):
            bonds += [force.getBondParameters(k) for k in range(force.getNumBonds())]
        elif isinstance(force, openmm.HarmonicAngleForce):
            angles += [force.getAngleParameters(k) for k in range(force.getNumAngles())]
        elif isinstance(force, openmm.PeriodicTorsionForce):
            for k in range(force.getNumTorsions()):
                *atoms, fold, phase, strength = force.getTorsionParameters(k)
                torsions.setdefault(tuple(atoms), []).append((fold, phase._value, strength._value))
        else:
            continue
        found.append(index)
    highest = max((fold for terms in torsions.values() for fold, _, _ in terms), default=1)
    series = np.zeros((2 * highest, len(torsions)))
    constant = 0.0
    for k, terms in enumerate(torsions.values()):
        for fold, phase, strength in terms:
            series[fold - 1, k] += strength * math.cos(phase)
            series[highest + fold - 1, k] += strength * math.sin(phase)
            constant += strength
    bonded = BondedTerms(
        *_padded([b[:2] for b in bonds], 2, [[numbers(b[2:])[p] for b in bonds] for p in range(2)]),
        *_padded([a[:3] for a in angles], 3, [[numbers(a[3:])[p] for a in angles] for p in range(2)]),
        *_padded(list(torsions), 4, series),
        constant,
    )
    return bonded, found


def numbers(parameters: Any) -> list[float]:
    """Parameters in OpenMM's units, without the units."""
    return [float(getattr(p, "_value", p)) for p in parameters]


def _padded(atoms: list[Any], width: int, parameters: Any) -> tuple[Array, Array]:
    """Members [M, width] and parameters [K, M] up to a multiple of the lanes, with a strength (last row) of 0."""
    members = np.array(atoms, dtype=np.int64).reshape(-1, width)
    columns = np.array(parameters, dtype=float).reshape(len(parameters), -1)
    more = -len(members) % PADDING
    first = members[:1] if len(members) else np.arange(width)[None]
    return np.concatenate([members, np.repeat(first, more, axis=0)]), np.pad(columns, [(0, 0), (0, more)])


@inlined
def arccos(x: Any) -> Any:
    """Arc cosine of lanes in [-1, 1], to 1e-15: the rational approximation of FreeBSD's msun."""
    a = magnitude(x)
    big = a > 0.5
    z = select(big, 0.5 * (1.0 - a), a * a)
    s = select(big, root(z), a)
    p = z * 3.47933107596021167570e-05 + 7.91534994289814532176e-04
    p = p * z + -4.00555345006794114027e-02
    p = p * z + 2.01212532134862925881e-01
    p = p * z + -3.25565818622400915405e-01
    p = p * z + 1.66666666666666657415e-01
    q = z * 7.70381505559019352791e-02 + -6.88283971605453293030e-01
    q = q * z + 2.02094576023350569471e00
    q = q * z + -2.40339491173441421878e00
    q = q * z + 1.0
    arcsine = s + s * (z * p / q)
    angle = select(big, 2.0 * arcsine, 1.5707963267948966 - arcsine)
    return select(x < 0.0, 3.141592653589793 - angle, angle)


@compiled
def _gather(members: Array, column: int, x: Array, y: Array, z: Array, out: Array) -> None:
    """Positions [3, M] of the atoms in one column of ``members``."""
    for k in range(len(members)):
        atom = members[k, column]
        out[0, k], out[1, k], out[2, k] = x[atom], y[atom], z[atom]


@compiled
def _scatter(members: Array, column: int, gradient: Array, force: Array) -> None:
    """Take the gradients [3, M] by the atoms in one column off their forces."""
    for k in range(len(members)):
        atom = members[k, column]
        for c in range(3):
            force[c, atom] -= gradient[c, k]


@compiled
def bonded(terms: BondedTerms, x: Array, y: Array, z: Array, force: Array) -> float:
    """Energy (kJ/mol) at positions [P] in nm; adds to ``force`` [3, P], kJ/mol/nm."""
    energy = terms.constant
    energy += _bonds(terms.bonds, terms.bond, x, y, z, force)
    energy += _angles(terms.angles, terms.angle, x, y, z, force)
    energy += _torsions(terms.torsions, terms.torsion, x, y, z, force)
    return energy


@compiled
def _bonds(members: Array, parameters: Array, x: Array, y: Array, z: Array, force: Array) -> float:
    a, b = np.empty((3, len(members))), np.empty((3, len(members)))
    _gather(members, 0, x, y, z, a)
    _gather(members, 1, x, y, z, b)
    energy = splat(0.0)
    for j in range(0, len(members), _WIDTH):
        dx, dy, dz = load(b[0], j) - load(a[0], j), load(b[1], j) - load(a[1], j), load(b[2], j) - load(a[2], j)
        r = root(dx * dx + dy * dy + dz * dz)
        k, stretch = load(parameters[1], j), r - load(parameters[0], j)
        energy += 0.5 * k * stretch * stretch
        de = k * stretch / r
        dx, dy, dz = de * dx, de * dy, de * dz
        store(b[0], j, dx)
        store(b[1], j, dy)
        store(b[2], j, dz)
        store(a[0], j, -1.0 * dx)
        store(a[1], j, -1.0 * dy)
        store(a[2], j, -1.0 * dz)
    _scatter(members, 0, a, force)
    _scatter(members, 1, b, force)
    return float(total(energy))


@compiled
def _angles(members: Array, parameters: Array, x: Array, y: Array, z: Array, force: Array) -> float:
    m = len(members)
    a, b, c = np.empty((3, m)), np.empty((3, m)), np.empty((3, m))
    _gather(members, 0, x, y, z, a)
    _gather(members, 1, x, y, z, b)
    _gather(members, 2, x, y, z, c)
    energy = splat(0.0)
    for j in range(0, m, _WIDTH):
        bx, by, bz = load(b[0], j), load(b[1], j), load(b[2], j)
        ux, uy, uz = load(a[0], j) - bx, load(a[1], j) - by, load(a[2], j) - bz
        vx, vy, vz = load(c[0], j) - bx, load(c[1], j) - by, load(c[2], j) - bz
        uinv = 1.0 / root(ux * ux + uy * uy + uz * uz)
        vinv = 1.0 / root(vx * vx + vy * vy + vz * vz)
        ux, uy, uz = ux * uinv, uy * uinv, uz * uinv
        vx, vy, vz = vx * vinv, vy * vinv, vz * vinv
        cosine = ux * vx + uy * vy + uz * vz
        cosine = select(cosine > 1.0, splat(1.0), cosine)
        cosine = larger(cosine, -1.0)
        k, bend = load(parameters[1], j), arccos(cosine) - load(parameters[0], j)
        energy += 0.5 * k * bend * bend
        # A straight angle has no direction to bend in.
        de = k * bend / root(larger(1.0 - cosine * cosine, 1e-12))
        du, dv = de * uinv, de * vinv
        ax, ay, az = du * (cosine * ux - vx), du * (cosine * uy - vy), du * (cosine * uz - vz)
        cx, cy, cz = dv * (cosine * vx - ux), dv * (cosine * vy - uy), dv * (cosine * vz - uz)
        store(a[0], j, ax)
        store(a[1], j, ay)
        store(a[2], j, az)
        store(c[0], j, cx)
        store(c[1], j, cy)
        store(c[2], j, cz)
        store(b[0], j, -1.0 * (ax + cx))
        store(b[1], j, -1.0 * (ay + cy))
        store(b[2], j, -1.0 * (az + cz))
    _scatter(members, 0, a, force)
    _scatter(members, 1, b, force)
    _scatter(members, 2, c, force)
    return float(total(energy))


@compiled
def _torsions(members: Array, series: Array, x: Array, y: Array, z: Array, force: Array) -> float:
    """Blondel, Karplus, J. Comput. Chem. 17, 1132 (1996)."""
    m, highest = len(members), len(series) // 2
    a, b, c, d = np.empty((3, m)), np.empty((3, m)), np.empty((3, m)), np.empty((3, m))
    _gather(members, 0, x, y, z, a)
    _gather(members, 1, x, y, z, b)
    _gather(members, 2, x, y, z, c)
    _gather(members, 3, x, y, z, d)
    energy = splat(0.0)
    for j in range(0, m, _WIDTH):
        bx, by, bz = load(b[0], j), load(b[1], j), load(b[2], j)
        cx, cy, cz = load(c[0], j), load(c[1], j), load(c[2], j)
        fx, fy, fz = load(a[0], j) - bx, load(a[1], j) - by, load(a[2], j) - bz
        gx, gy, gz = bx - cx, by - cy, bz - cz
        hx, hy, hz = load(d[0], j) - cx, load(d[1], j) - cy, load(d[2], j) - cz
        ax, ay, az = fy * gz - fz * gy, fz * gx - fx * gz, fx * gy - fy * gx
        bx, by, bz = hy * gz - hz * gy, hz * gx - hx * gz, hx * gy - hy * gx
        a2 = larger(ax * ax + ay * ay + az * az, 1e-18)
        b2 = larger(bx * bx + by * by + bz * bz, 1e-18)
        g = root(gx * gx + gy * gy + gz * gz)
        scale = 1.0 / root(a2 * b2)
        cosine = (ax * bx + ay * by + az * bz) * scale
        # B x A is parallel to G.
        sine = ((by * az - bz * ay) * gx + (bz * ax - bx * az) * gy + (bx * ay - by * ax) * gz) * scale / g
        # cos(n phi), sin(n phi) by their recurrence.
        cn, sn, cp, sp = cosine, sine, splat(1.0), splat(0.0)
        slope = splat(0.0)
        for n in range(highest):
            ka, kb = load(series[n], j), load(series[highest + n], j)
            energy += ka * cn + kb * sn
            slope += float(n + 1) * (kb * cn - ka * sn)
            cn, sn, cp, sp = 2.0 * cosine * cn - cp, 2.0 * cosine * sn - sp, cn, sn
        i, l = slope * g / a2, slope * g / b2
        p = slope * (fx * gx + fy * gy + fz * gz) / (a2 * g)
        q = slope * (hx * gx + hy * gy + hz * gz) / (b2 * g)
        store(a[0], j, -1.0 * i * ax)
        store(a[1], j, -1.0 * i * ay)
        store(a[2], j, -1.0 * i * az)
        store(b[0], j, (i + p) * ax - q * bx)
        store(b[1], j, (i + p) * ay - q * by)
        store(b[2], j, (i + p) * az - q * bz)
        store(c[0], j, (q - l) * bx - p * ax)
        store(c[1], j, (q - l) * by - p * ay)
        store(c[2], j, (q - l) * bz - p * az)
        store(d[0], j, l * bx)
        store(d[1], j, l * by)
        store(d[2], j, l * bz)
    _scatter(members, 0, a, force)
    _scatter(members, 1, b, force)
    _scatter(members, 2, c, force)
    _scatter(members, 3, d, force)
    return float(total(energy))
