"""Bonds to hydrogen of fixed length: all bonds of a heavy atom are solved at once, in lanes of such atoms."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openmm

from ebabench.physics.lanes import PADDING, compiled, inlined, load, select, splat, store

Array = npt.NDArray[Any]

_WIDTH = 8
_NEWTON = 3  # iterations: the error, 1e-3 of a length after a step, is squared by each


class BondConstraints(NamedTuple):
    """Heavy atoms with their hydrogens. clusters [C, 4]: a heavy atom and three hydrogens.

    lengths [3, C] of their bonds in nm, and 0 where there is no second or third (which then is the first again);
    inverse_masses [2, C]: of the heavy atom and of a hydrogen.
    """

    clusters: Array
    lengths: Array
    inverse_masses: Array


def bond_constraints(system: openmm.System, inverse: Array) -> BondConstraints:
    """Return the constraints of a System; ``inverse`` [P]: masses. Raises ValueError where they are not known here."""
    bonds: dict[int, list[tuple[int, float]]] = {}
    for k in range(system.getNumConstraints()):
        i, j, length = system.getConstraintParameters(k)
        heavy, hydrogen = (i, j) if inverse[i] < inverse[j] else (j, i)
        bonds.setdefault(heavy, []).append((hydrogen, length._value))
    hydrogens = [h for listed in bonds.values() for h, _ in listed]
    if len(set(hydrogens)) < len(hydrogens) or set(hydrogens) & set(bonds):
        raise ValueError("constraints other than those of bonds to hydrogen are not known here")
    if any(len(listed) > 3 or len({inverse[h] for h, _ in listed}) > 1 for listed in bonds.values()):
        raise ValueError("an atom with four hydrogens, or with hydrogens of different masses, is not known here")
    count = len(bonds) + -len(bonds) % PADDING
    clusters, lengths, masses = np.zeros((count, 4), np.int64), np.zeros((3, count)), np.zeros((2, count))
    for k, (heavy, listed) in enumerate(bonds.items()):
        clusters[k] = [heavy, *(h for h, _ in listed), *[listed[0][0]] * (3 - len(listed))]
        lengths[: len(listed), k] = [length for _, length in listed]
        masses[:, k] = inverse[heavy], inverse[listed[0][0]]
    return BondConstraints(clusters, lengths, masses)


@inlined
def _solve(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, i: Any, x: Any, y: Any, z: Any) -> Any:
    """Solution of the linear system ((a, b, c), (d, e, f), (g, h, i)) for the right-hand side (x, y, z), in lanes."""
    p, q, r = e * i - f * h, f * g - d * i, d * h - e * g
    inverse = 1.0 / (a * p + b * q + c * r)
    u = (p * x + (c * h - b * i) * y + (b * f - c * e) * z) * inverse
    v = (q * x + (a * i - c * g) * y + (c * d - a * f) * z) * inverse
    w = (r * x + (b * g - a * h) * y + (a * e - b * d) * z) * inverse
    return u, v, w


@compiled
def collect(constraints: BondConstraints, values: Array, out: Array) -> None:
    """The vectors [3, P] of the atoms of all clusters: out [4, 3, C]."""
    for k in range(len(constraints.clusters)):
        for s in range(4):
            atom = constraints.clusters[k, s]
            for c in range(3):
                out[s, c, k] = values[c, atom]


@compiled
def _put_back(constraints: BondConstraints, values: Array, out: Array) -> None:
    """The vectors [4, 3, C] of the clusters back to their atoms in ``out`` [3, P]."""
    for k in range(len(constraints.clusters)):
        for s in range(4):
            # A place without a hydrogen is a copy of the first one.
            if constraints.lengths[max(s - 1, 0), k] > 0:
                atom = constraints.clusters[k, s]
                for c in range(3):
                    out[c, atom] = values[s, c, k]


@inlined
def _between(values: Array, s: int, j: int) -> Any:
    """Heavy atom minus hydrogen s (from 1), of the clusters from j on."""
    heavy, hydrogen = values[0], values[s]
    return (
        load(heavy[0], j) - load(hydrogen[0], j),
        load(heavy[1], j) - load(hydrogen[1], j),
        load(heavy[2], j) - load(hydrogen[2], j),
    )


@inlined
def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def _push(constraints: BondConstraints, values: Array, along: Array, rows: Any, right: Any, j: int) -> None:
    """Move the clusters' ``values`` along the bonds ``along`` so that each bond's ``rows`` . change is ``right``."""
    d1, d2, d3 = _between(along, 1, j), _between(along, 2, j), _between(along, 3, j)
    heavy, light = load(constraints.inverse_masses[0], j), load(constraints.inverse_masses[1], j)
    one = splat(1.0)
    h1 = select(load(constraints.lengths[0], j) > 0.0, one, 0.0)
    h2 = select(load(constraints.lengths[1], j) > 0.0, one, 0.0)
    h3 = select(load(constraints.lengths[2], j) > 0.0, one, 0.0)
    both = heavy + light
    p, q, r = _solve(
        select(h1 > 0.0, both * _dot(rows[0], d1), 1.0),
        heavy * _dot(rows[0], d2) * h2,
        heavy * _dot(rows[0], d3) * h3,
        heavy * _dot(rows[1], d1) * h2,
        select(h2 > 0.0, both * _dot(rows[1], d2), 1.0),
        heavy * _dot(rows[1], d3) * h3 * h2,
        heavy * _dot(rows[2], d1) * h3,
        heavy * _dot(rows[2], d2) * h3 * h2,
        select(h3 > 0.0, both * _dot(rows[2], d3), 1.0),
        right[0] * h1,
        right[1] * h2,
        right[2] * h3,
    )
    for c in range(3):
        e1, e2, e3 = p * d1[c], q * d2[c], r * d3[c]
        store(values[0, c], j, load(values[0, c], j) + heavy * (e1 + e2 + e3))
        store(values[1, c], j, load(values[1, c], j) - light * e1)
        store(values[2, c], j, load(values[2, c], j) - light * e2)
        store(values[3, c], j, load(values[3, c], j) - light * e3)


@compiled
def constrain_velocities(constraints: BondConstraints, along: Array, v: Array, moved: Array) -> None:
    """Take the velocities along the bonds out of ``v`` [3, P]; ``along`` [4, 3, C]: positions."""
    collect(constraints, v, moved)
    for j in range(0, len(constraints.clusters), _WIDTH):
        d1, d2, d3 = _between(along, 1, j), _between(along, 2, j), _between(along, 3, j)
        right = (
            -1.0 * _dot(d1, _between(moved, 1, j)),
            -1.0 * _dot(d2, _between(moved, 2, j)),
            -1.0 * _dot(d3, _between(moved, 3, j)),
        )
        _push(constraints, moved, along, (d1, d2, d3), right, j)
    _put_back(constraints, moved, v)


@compiled
def constrain_positions(constraints: BondConstraints, along: Array, x: Array, moved: Array) -> None:
    """Bring bonds of ``x`` [3, P] to their lengths along the bonds of ``along`` [4, 3, C]."""
    collect(constraints, x, moved)
    for j in range(0, len(constraints.clusters), _WIDTH):
        l1, l2, l3 = load(constraints.lengths[0], j), load(constraints.lengths[1], j), load(constraints.lengths[2], j)
        for _ in range(_NEWTON):
            d1, d2, d3 = _between(moved, 1, j), _between(moved, 2, j), _between(moved, 3, j)
            right = (0.5 * (l1 * l1 - _dot(d1, d1)), 0.5 * (l2 * l2 - _dot(d2, d2)), 0.5 * (l3 * l3 - _dot(d3, d3)))
            _push(constraints, moved, along, (d1, d2, d3), right, j)
    _put_back(constraints, moved, x)
