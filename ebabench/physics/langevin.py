"""Langevin dynamics of small molecules in one compiled loop, with the same trajectory on every processor.

OpenMM's Reference platform spends more time on a tetrapeptide's bonds, constraints and calls than the kernel on its
pairs. Here a System of OpenMM is read once, and all of a step is compiled: the middle scheme of Zhang et al., J. Phys.
Chem. A 123, 6056 (2019), as OpenMM's ``LangevinMiddleIntegrator`` has it, with bonds to hydrogen solved to machine
precision (`ebabench.physics.bond_constraints`). Pair and solvent forces are of single, all else of double precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openmm

from ebabench.physics.accelerate import read_terms
from ebabench.physics.bond_constraints import (
    BondConstraints,
    bond_constraints,
    collect,
    constrain_positions,
    constrain_velocities,
)
from ebabench.physics.bonded import BondedTerms, bonded
from ebabench.physics.kernel import BornTerms, NeckTerms, PairTerms, nonbonded
from ebabench.physics.lanes import PADDING, cached, load, log, root, store

Array = npt.NDArray[Any]

_GAS = 0.00831446261815324  # kJ/mol/K
_WIDTH = 8
_RELAXATION = 1000  # steps


class Dynamics(NamedTuple):
    """What a step needs to know, besides forces.

    inverse_mass [P] (0 where padded); timestep in ps; damping of velocities and noise [P] (nm/ps) of a step.
    """

    inverse_mass: Array
    constraints: BondConstraints
    timestep: float
    damping: float
    noise: Array


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
        self._dynamics = Dynamics(inverse, bond_constraints(self.system, inverse), timestep, damping, noise)
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
        _constrain_start(self.state, self._dynamics.constraints)
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


@cached
def _constrain_start(state: Array, constraints: BondConstraints) -> None:
    """Bring the bonds of a first ``state`` [2, 3, P] to their lengths, and take the velocities along them out."""
    along, moved = np.empty((2, 4, 3, len(constraints.clusters)))
    collect(constraints, state[0], along)
    constrain_positions(constraints, along, state[0], moved)
    collect(constraints, state[0], along)
    constrain_velocities(constraints, along, state[1], moved)


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
    constraints = dynamics.constraints
    along, moved = np.empty((2, 4, 3, len(constraints.clusters)))
    collect(constraints, x, along)
    constrain_positions(constraints, along, x, moved)
    energy = _forces(n, x, terms, pairs, born, neck, force)
    step = 0.01
    for _ in range(_RELAXATION):
        collect(constraints, x, along)
        constrain_velocities(constraints, along, force, moved)
        largest = 0.0
        for c in range(3):
            for k in range(n):
                largest = max(largest, abs(force[c, k]))
        if largest < 100.0 or step < 1e-7:
            break
        for c in range(3):
            for k in range(padded):
                trial[c, k] = x[c, k] + step / largest * force[c, k]
        constrain_positions(constraints, along, trial, moved)
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
    constraints = dynamics.constraints
    along, moved = np.empty((2, 4, 3, len(constraints.clusters)))
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
        collect(constraints, x, along)
        constrain_velocities(constraints, along, v, moved)
        for c in range(3):
            for j in range(0, padded, _WIDTH):
                place, speed = load(x[c], j), load(v[c], j)
                place += half * speed
                speed = dynamics.damping * speed + load(dynamics.noise, j) * load(noise[c], j)
                place += half * speed
                store(x[c], j, place)
                store(before[c], j, place)
                store(v[c], j, speed)
        constrain_positions(constraints, along, x, moved)
        for c in range(3):
            for j in range(0, padded, _WIDTH):
                store(v[c], j, load(v[c], j) + (load(x[c], j) - load(before[c], j)) / dt)
    return float(_forces(n, x, terms, pairs, born, neck, force))
