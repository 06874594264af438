"""Langevin dynamics of small molecules in one compiled loop, with the same trajectory on every processor.

OpenMM's Reference platform spends more time on a tetrapeptide's bonds, constraints and calls than the kernel on its
pairs. Here a System of OpenMM is read once, and all of a step is compiled: the middle scheme of Zhang et al., J. Phys.
Chem. A 123, 6056 (2019), as OpenMM's ``LangevinMiddleIntegrator`` has it, with bonds to hydrogen solved to machine
precision. Pair and solvent forces are of single, all else of double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openmm

from ebabench.physics.accelerate import read_terms
from ebabench.physics.bonded import BondedTerms, bonded
from ebabench.physics.kernel import BornTerms, NeckTerms, PairTerms, nonbonded
from ebabench.physics.lanes import PADDING, cached, compiled, inlined, load, log, root, select, splat, store

Array = npt.NDArray[Any]

_GAS = 0.00831446261815324  # kJ/mol/K
_WIDTH = 8
_RELAXATION = 1000  # steps
_NEWTON = 3  # iterations: the error, 1e-3 of a length after a step, is squared by each


class Dynamics(NamedTuple):
    """What a step needs to know. inverse_mass [P] (0 where padded); clusters [C, 4]: a heavy atom and its hydrogens.

    lengths [3, C] of their bonds in nm, and 0 where there is no second or third (which then is the first again);
    cluster_masses [2, C]: inverse, of the heavy atom and of a hydrogen. timestep in ps; damping of velocities and noise
    [P] (nm/ps) of a step.
    """

    inverse_mass: Array
    clusters: Array
    lengths: Array
    cluster_masses: Array
    timestep: float
    damping: float
    noise: Array


def _clusters(system: openmm.System, inverse: Array) -> tuple[Array, Array, Array]:
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
    return clusters[:], lengths, masses


@dataclass
class Trajectory:
    """A molecule in motion: ``state`` [2, 3, P] (nm, nm/ps) and the count of its random numbers, moved by `advance`."""

    system: openmm.System
    temperature_k: float
    friction_per_ps: float
    timestep_fs: float
    seed: int

    def __post_init__(self) -> None:
        """Read the system. Raises ValueError where it has forces or constraints that are not known here."""
        self.atoms = self.system.getNumParticles()
        padded = self.atoms + -self.atoms % PADDING
        mass = np.array([self.system.getParticleMass(k)._value for k in range(self.atoms)])
        inverse = np.pad(1 / mass, (0, padded - self.atoms))
        timestep = self.timestep_fs / 1000
        # Rounded, so that the last bit of a library's exponential does not decide a trajectory.
        damping = round(float(np.exp(-timestep * self.friction_per_ps)), 14)
        noise = np.sqrt((1 - damping * damping) * _GAS * self.temperature_k * inverse)
        clusters, lengths, masses = _clusters(self.system, inverse)
        bonds = int((lengths[0] > 0).sum())
        self._dynamics = Dynamics(
            inverse, clusters[: len(clusters) if bonds else 0], lengths, masses, timestep, damping, noise
        )
        terms, taken = read_terms(self.system)
        left = [f for k, f in enumerate(self.system.getForces()) if k not in taken]
        if strange := [f.getName() for f in left if not isinstance(f, openmm.CMMotionRemover)]:
            raise ValueError(f"molecular dynamics here does not know {', '.join(strange)}")
        self._terms = terms.single()
        self.state = np.zeros((2, 3, padded))
        self.count = np.array([np.random.default_rng(self.seed).integers(2**63)], np.uint64)

    @property
    def positions(self) -> Array:
        """Positions [N, 3] in nm."""
        return np.ascontiguousarray(self.state[0, :, : self.atoms].T)

    def start(self, positions: Array) -> float:
        """Place the atoms [N, 3] (nm), relax them and draw their velocities; returns the potential energy (kJ/mol)."""
        t = self._terms
        self.state[:] = 0
        self.state[0, :, : self.atoms] = positions.T
        energy = _relax(self.atoms, self.state[0], self._dynamics, t.bonded, t.pairs, t.born, t.neck)
        gauss = np.empty((3, self.state.shape[2]))
        gaussians(self.count, gauss)
        scale = np.sqrt(_GAS * self.temperature_k * self._dynamics.inverse_mass)
        self.state[1] = gauss * scale
        _constrain_start(self.state, self._dynamics)
        return float(energy)

    def advance(self, steps: int) -> float:
        """Go on by ``steps``; returns the potential energy (kJ/mol) of where that leads. Raises FloatingPointError."""
        t = self._terms
        energy = _advance(self.atoms, steps, self.state, self.count, self._dynamics, t.bonded, t.pairs, t.born, t.neck)
        if not np.isfinite(self.state).all():
            raise FloatingPointError("the simulation diverged: positions are not finite")
        return float(energy)

    def energy_and_forces(self) -> tuple[float, Array]:
        """Potential energy (kJ/mol) and forces [N, 3] (kJ/mol/nm) of where the atoms are."""
        t = self._terms
        force = np.zeros((3, self.state.shape[2]))
        energy = _forces(self.atoms, self.state[0], t.bonded, t.pairs, t.born, t.neck, force)
        return float(energy), np.ascontiguousarray(force[:, : self.atoms].T)


@cached
def gaussians(count: Array, out: Array) -> None:
    """Fill ``out`` [3, P] with standard normal numbers: Box and Muller's, of the counter-based generator splitmix64."""
    size = out.shape[1]
    uniform = np.empty((2, size + size // 2))
    counter = count[0]
    for c in range(2):
        for k in range(uniform.shape[1]):
            counter += np.uint64(0x9E3779B97F4A7C15)
            w = counter
            w = (w ^ (w >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            w = (w ^ (w >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            w ^= w >> np.uint64(31)
            uniform[c, k] = float(np.int64(w >> np.uint64(11)) + 1) * 1.1102230246251565e-16
    count[0] = counter
    flat = out.reshape(3 * size)
    half = uniform.shape[1]
    for j in range(0, half, _WIDTH):
        r = root(-2.0 * log(load(uniform[0], j)))
        # sin and cos of 2 a, a in [-pi/2, pi/2].
        a = (load(uniform[1], j) - 0.5) * 3.141592653589793
        s2 = a * a
        s = s2 * (1.0 / 355687428096000.0) + (-1.0 / 1307674368000.0)
        s = s * s2 + (1.0 / 6227020800.0)
        s = s * s2 + (-1.0 / 39916800.0)
        s = s * s2 + (1.0 / 362880.0)
        s = s * s2 + (-1.0 / 5040.0)
        s = s * s2 + (1.0 / 120.0)
        s = s * s2 + (-1.0 / 6.0)
        s = a * (s * s2 + 1.0)
        c2 = s2 * (1.0 / 6402373705728000.0) * -1.0 + (1.0 / 20922789888000.0)
        c2 = c2 * s2 + (-1.0 / 87178291200.0)
        c2 = c2 * s2 + (1.0 / 479001600.0)
        c2 = c2 * s2 + (-1.0 / 3628800.0)
        c2 = c2 * s2 + (1.0 / 40320.0)
        c2 = c2 * s2 + (-1.0 / 720.0)
        c2 = c2 * s2 + (1.0 / 24.0)
        c2 = c2 * s2 + (-0.5)
        c2 = c2 * s2 + 1.0
        store(flat, j, r * 2.0 * s * c2)
        store(flat, half + j, r * (1.0 - 2.0 * s * s))


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
def _collect(dynamics: Dynamics, values: Array, out: Array) -> None:
    """The vectors [3, P] of the atoms of all clusters: out [4, 3, C]."""
    for k in range(len(dynamics.clusters)):
        for s in range(4):
            atom = dynamics.clusters[k, s]
            for c in range(3):
                out[s, c, k] = values[c, atom]


@compiled
def _put_back(dynamics: Dynamics, values: Array, out: Array) -> None:
    """The vectors [4, 3, C] of the clusters back to their atoms in ``out`` [3, P]."""
    for k in range(len(dynamics.clusters)):
        for s in range(4):
            # A place without a hydrogen is a copy of the first one.
            if dynamics.lengths[max(s - 1, 0), k] > 0:
                atom = dynamics.clusters[k, s]
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
def _push(dynamics: Dynamics, values: Array, along: Array, rows: Any, right: Any, j: int) -> None:
    """Move the clusters' ``values`` along the bonds ``along`` so that each bond's ``rows`` . change is ``right``."""
    d1, d2, d3 = _between(along, 1, j), _between(along, 2, j), _between(along, 3, j)
    heavy, light = load(dynamics.cluster_masses[0], j), load(dynamics.cluster_masses[1], j)
    one = splat(1.0)
    h1 = select(load(dynamics.lengths[0], j) > 0.0, one, 0.0)
    h2 = select(load(dynamics.lengths[1], j) > 0.0, one, 0.0)
    h3 = select(load(dynamics.lengths[2], j) > 0.0, one, 0.0)
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
def _constrain_velocities(dynamics: Dynamics, along: Array, v: Array, moved: Array) -> None:
    """Take the velocities along the bonds out of ``v`` [3, P]; ``along`` [4, 3, C]: positions."""
    _collect(dynamics, v, moved)
    for j in range(0, len(dynamics.clusters), _WIDTH):
        d1, d2, d3 = _between(along, 1, j), _between(along, 2, j), _between(along, 3, j)
        right = (
            -1.0 * _dot(d1, _between(moved, 1, j)),
            -1.0 * _dot(d2, _between(moved, 2, j)),
            -1.0 * _dot(d3, _between(moved, 3, j)),
        )
        _push(dynamics, moved, along, (d1, d2, d3), right, j)
    _put_back(dynamics, moved, v)


@compiled
def _constrain_positions(dynamics: Dynamics, along: Array, x: Array, moved: Array) -> None:
    """Bring bonds of ``x`` [3, P] to their lengths along the bonds of ``along`` [4, 3, C]."""
    _collect(dynamics, x, moved)
    for j in range(0, len(dynamics.clusters), _WIDTH):
        l1, l2, l3 = load(dynamics.lengths[0], j), load(dynamics.lengths[1], j), load(dynamics.lengths[2], j)
        for _ in range(_NEWTON):
            d1, d2, d3 = _between(moved, 1, j), _between(moved, 2, j), _between(moved, 3, j)
            right = (0.5 * (l1 * l1 - _dot(d1, d1)), 0.5 * (l2 * l2 - _dot(d2, d2)), 0.5 * (l3 * l3 - _dot(d3, d3)))
            _push(dynamics, moved, along, (d1, d2, d3), right, j)
    _put_back(dynamics, moved, x)


@cached
def _constrain_start(state: Array, dynamics: Dynamics) -> None:
    """Bring the bonds of a first ``state`` [2, 3, P] to their lengths, and take the velocities along them out."""
    along, moved = np.empty((2, 4, 3, len(dynamics.clusters)))
    _collect(dynamics, state[0], along)
    _constrain_positions(dynamics, along, state[0], moved)
    _collect(dynamics, state[0], along)
    _constrain_velocities(dynamics, along, state[1], moved)


@cached
def _forces(
    n: int, x: Array, terms: BondedTerms, pairs: PairTerms, born: BornTerms, neck: NeckTerms | None, force: Array
) -> float:
    """Energy at positions [3, P]; sets ``force`` [3, P]."""
    single = np.zeros(x.shape, np.float32)
    pair_force = np.empty((4, x.shape[1]), np.float32)
    # Single precision resolves what is near to the origin best.
    for c in range(3):
        centre = 0.0
        for k in range(n):
            centre += x[c, k]
        for k in range(n):
            single[c, k] = x[c, k] - centre / n
    energy = nonbonded(n, single[0], single[1], single[2], pairs, born, neck, pair_force)
    for c in range(3):
        for k in range(x.shape[1]):
            force[c, k] = pair_force[c, k]
    return energy + bonded(terms, x[0], x[1], x[2], force)


@cached
def _relax(
    n: int,
    x: Array,
    dynamics: Dynamics,
    terms: BondedTerms,
    pairs: PairTerms,
    born: BornTerms,
    neck: NeckTerms | None,
) -> float:
    """Move positions [3, P] downhill, with an adaptive step, to a largest force of 100 kJ/mol/nm; return the energy."""
    padded = x.shape[1]
    force, trial_force, trial = np.empty((3, padded)), np.empty((3, padded)), np.empty((3, padded))
    along, moved = np.empty((2, 4, 3, len(dynamics.clusters)))
    _collect(dynamics, x, along)
    _constrain_positions(dynamics, along, x, moved)
    energy = _forces(n, x, terms, pairs, born, neck, force)
    step = 0.01
    for _ in range(_RELAXATION):
        _collect(dynamics, x, along)
        _constrain_velocities(dynamics, along, force, moved)
        largest = 0.0
        for c in range(3):
            for k in range(n):
                largest = max(largest, abs(force[c, k]))
        if largest < 100.0 or step < 1e-7:
            break
        for c in range(3):
            for k in range(padded):
                trial[c, k] = x[c, k] + step / largest * force[c, k]
        _constrain_positions(dynamics, along, trial, moved)
        trial_energy = _forces(n, trial, terms, pairs, born, neck, trial_force)
        if trial_energy < energy:
            energy = trial_energy
            for c in range(3):
                for k in range(padded):
                    x[c, k], force[c, k] = trial[c, k], trial_force[c, k]
            step *= 1.2
        else:
            step *= 0.5
    return energy


@cached
def _advance(
    n: int,
    steps: int,
    state: Array,
    count: Array,
    dynamics: Dynamics,
    terms: BondedTerms,
    pairs: PairTerms,
    born: BornTerms,
    neck: NeckTerms | None,
) -> float:
    """Moves ``state`` [2, 3, P] by ``steps``; returns the energy at its end."""
    x, v = state[0], state[1]
    padded = x.shape[1]
    force, noise, before = np.empty((3, padded)), np.empty((3, padded)), np.empty((3, padded))
    along, moved = np.empty((2, 4, 3, len(dynamics.clusters)))
    dt, half = dynamics.timestep, 0.5 * dynamics.timestep
    total_mass = 0.0
    for k in range(n):
        total_mass += 1.0 / dynamics.inverse_mass[k]
    for _ in range(steps):
        for c in range(3):
            momentum = 0.0
            for k in range(n):
                momentum += v[c, k] / dynamics.inverse_mass[k]
            for k in range(n):
                v[c, k] -= momentum / total_mass
        _forces(n, x, terms, pairs, born, neck, force)
        gaussians(count, noise)
        for c in range(3):
            for j in range(0, padded, _WIDTH):
                kick = dt * load(dynamics.inverse_mass, j) * load(force[c], j)
                store(v[c], j, load(v[c], j) + kick)
        _collect(dynamics, x, along)
        _constrain_velocities(dynamics, along, v, moved)
        for c in range(3):
            for j in range(0, padded, _WIDTH):
                place, speed = load(x[c], j), load(v[c], j)
                place += half * speed
                speed = dynamics.damping * speed + load(dynamics.noise, j) * load(noise[c], j)
                place += half * speed
                store(x[c], j, place)
                store(before[c], j, place)
                store(v[c], j, speed)
        _constrain_positions(dynamics, along, x, moved)
        for c in range(3):
            for j in range(0, padded, _WIDTH):
                store(v[c], j, load(v[c], j) + (load(x[c], j) - load(before[c], j)) / dt)
    return float(_forces(n, x, terms, pairs, born, neck, force))
