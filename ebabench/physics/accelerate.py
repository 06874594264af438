"""Replaces the forces of a system by those of `ebabench.physics.kernel` and `ebabench.physics.bonded`.

For molecules without cutoff this makes an evaluation several times cheaper than OpenMM's Reference and CPU platforms;
the other forces stay OpenMM's.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openmm

from ebabench.physics.bonded import BondedTerms, bonded, numbers, read_bonded
from ebabench.physics.kernel import (
    COULOMB,
    TABLE,
    BornTerms,
    NeckTerms,
    PairTerms,
    nonbonded,
    pair_table,
)
from ebabench.physics.lanes import PADDING, cached
from ebabench.system.batching import is_out_of_memory

Array = npt.NDArray[np.float64]

# SHA-256 of the expressions of `implicit/gbn2.xml` (ACE surface, no salt, dielectrics left out) that the kernel has.
_GBN2 = "c259f3d1a841f063a8a4ec7ce6409245658b5a931ec0f577c68ed8dbcd4670e3"
_GBN2_OFFSET, _GBN2_COULOMB = 0.0195141, 138.935485
_ACE = 28.3919551  # kJ/mol/nm^2, 4 pi times 5.4 cal/mol/A^2


_of_thread = threading.local()


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise an interruption and a want of memory in the body as what they are.

    OpenMM turns whatever a callback raises into an OpenMMException with its text, which is empty for an interruption:
    a molecule would have no energy because somebody pressed Ctrl-C.
    """
    _of_thread.raised = None
    try:
        yield
    except openmm.OpenMMException as error:
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from None
        raised = _of_thread.raised
        if isinstance(raised, SystemError):  # a compiled function that was interrupted
            raised = raised.__cause__ or raised
        if raised is not None:
            raise raised from None
        if str(error) in ("", "<NULL>"):  # interrupted before the callback's first line
            raise KeyboardInterrupt from None
        raise
    finally:
        _of_thread.raised = None


@dataclass(frozen=True)
class Terms:
    """What the kernel needs to know of a molecule. Called with positions [N, 3] in nm: energy and forces."""

    pairs: PairTerms
    born: BornTerms
    neck: NeckTerms | None
    bonded: BondedTerms

    def __call__(self, positions: Array) -> tuple[float, Array]:
        """Energy (kJ/mol) and forces (kJ/mol/nm) [N, 3]."""
        energy, forces = energy_and_forces(positions, self.pairs, self.born, self.neck, self.bonded)
        return energy, forces

    def single(self) -> Terms:
        """The same with pairs and solvent in single precision, for molecular dynamics."""

        def convert(value: Any) -> Any:
            floats = isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype == np.float64)
            return np.float32(value) if floats else value

        return Terms(
            PairTerms(*map(convert, self.pairs)),
            BornTerms(*map(convert, self.born)),
            self.neck and NeckTerms(*map(convert, self.neck)),
            self.bonded,
        )


@cached
def energy_and_forces(
    positions: Array, pairs: PairTerms, born: BornTerms, neck: NeckTerms | None, terms: BondedTerms
) -> tuple[float, Array]:
    """Energy (kJ/mol) and forces (kJ/mol/nm) [N, 3] at positions [N, 3] in nm. ``neck``: None for OBC."""
    n, padded, dtype = len(positions), len(pairs.charge), pairs.charge.dtype
    x, x_real, force = np.zeros((3, padded), dtype), np.zeros((3, padded)), np.zeros((3, padded))
    for c in range(3):
        for i in range(n):
            x[c, i] = x_real[c, i] = positions[i, c]
    pair_force = np.empty((4, padded), dtype)
    energy = nonbonded(n, x[0], x[1], x[2], pairs, born, neck, pair_force)
    energy += bonded(terms, x_real[0], x_real[1], x_real[2], force)
    forces = np.empty((n, 3))
    for c in range(3):
        for i in range(n):
            forces[i, c] = force[c, i] + pair_force[c, i]
    return energy, forces


def _particles(force: Any) -> Array:
    return np.array([numbers(force.getParticleParameters(i)) for i in range(force.getNumParticles())])


def _lennard_jones(force: openmm.CustomNonbondedForce) -> tuple[Array, Array]:
    """Half sigma and the root of epsilon [N] from CHARMM's tables of pairs of types.

    Raises ValueError where a pair has parameters of its own (NBFIX): the kernel combines those of atoms.
    """
    if force.getEnergyFunction() != "acoef(type1, type2)/r^12 - bcoef(type1, type2)/r^6;":
        raise ValueError("a custom nonbonded force that is not Lennard-Jones by type")
    tables = {}
    for k in range(force.getNumTabulatedFunctions()):
        width, _, values = force.getTabulatedFunction(k).getFunctionParameters()
        tables[force.getTabulatedFunctionName(k)] = np.array(values).reshape(width, width)
    a, b = tables["acoef"], tables["bcoef"]
    own_a, own_b = np.diag(a), np.diag(b)
    present = own_b > 0
    sigma, epsilon = np.full(len(a), 0.1), np.zeros(len(a))
    sigma[present] = (own_a[present] / own_b[present]) ** (1 / 6)
    epsilon[present] = own_b[present] ** 2 / (4 * own_a[present])
    sigma6 = ((sigma[:, None] + sigma) / 2) ** 6
    combined = 4 * np.sqrt(epsilon[:, None] * epsilon) * sigma6
    kind = _particles(force)[:, 0].astype(int)
    used = np.ix_(np.unique(kind), np.unique(kind))
    if not (np.allclose(b[used], combined[used]) and np.allclose(a[used], (combined * sigma6)[used])):
        raise ValueError("the molecule has NBFIX pairs, which the kernel does not know")
    return sigma[kind] / 2, np.sqrt(epsilon[kind])


def _pair_terms(nonbonded: openmm.NonbondedForce, by_type: openmm.CustomNonbondedForce | None) -> PairTerms:
    if nonbonded.getNonbondedMethod() != openmm.NonbondedForce.NoCutoff:
        raise ValueError("the nonbonded force uses a cutoff: the kernel sums over all pairs")
    if nonbonded.getNumParticleParameterOffsets() or nonbonded.getNumExceptionParameterOffsets():
        raise ValueError("the nonbonded force has parameter offsets: the kernel does not read them")
    particles = _particles(nonbonded)
    half_sigma, sqrt_epsilon = particles[:, 1] / 2, np.sqrt(particles[:, 2])
    exceptions = [nonbonded.getExceptionParameters(i) for i in range(nonbonded.getNumExceptions())]
    excluded = np.array([e[:2] for e in exceptions], dtype=np.int64).reshape(-1, 2)
    values = np.array([numbers(e[2:]) for e in exceptions]).reshape(-1, 3)
    if by_type is not None:
        if by_type.getNonbondedMethod() != openmm.CustomNonbondedForce.NoCutoff or sqrt_epsilon.any():
            raise ValueError("Lennard-Jones by type with a cutoff, or beside another Lennard-Jones")
        theirs = [by_type.getExclusionParticles(i) for i in range(by_type.getNumExclusions())]
        if {frozenset(pair) for pair in theirs} != {frozenset(pair) for pair in excluded.tolist()}:
            raise ValueError("Lennard-Jones and Coulomb exclude different pairs")
        half_sigma, sqrt_epsilon = _lennard_jones(by_type)
    s3 = values[:, 1] * values[:, 1] * values[:, 1]  # a library's power may differ between processors
    c6 = 4 * values[:, 2] * (s3 * s3)
    own = np.stack([COULOMB * values[:, 0], c6 * (s3 * s3), c6], 1)
    first, other, order = _by_upper_atom(excluded, len(particles))
    charge, half_sigma, sqrt_epsilon = _padded(particles[:, 0], half_sigma, sqrt_epsilon)
    nothing = np.empty((0, 4, len(charge)))
    return PairTerms(charge, half_sigma, sqrt_epsilon, first, other, own[order], nothing)


def _by_upper_atom(pairs: npt.NDArray[np.int64], atoms: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Sort pairs [X, 2] by their higher atom: where each one's begin [atoms + 1], the lower atoms, the order [X]."""
    upper, lower = pairs.max(1), pairs.min(1)
    order = np.lexsort((lower, upper))
    return np.searchsorted(upper[order], np.arange(atoms + 1)), lower[order], order


def _padded(*columns: Array, value: float = 0.0) -> list[Array]:
    """Columns [..., N] with ``value`` up to a multiple of the kernel's lanes."""
    widths = [[(0, 0)] * (c.ndim - 1) + [(0, -c.shape[-1] % PADDING)] for c in columns]
    padded = [np.pad(c, width, constant_values=value) for c, width in zip(columns, widths, strict=True)]
    return [np.ascontiguousarray(c) for c in padded]


def _obc_terms(force: openmm.GBSAOBCForce) -> BornTerms:
    radius, scale = _particles(force)[:, 1:].T.copy()
    radius, scale = _padded(radius, scale, value=1.0)
    ones = np.ones(len(radius))
    return BornTerms(
        offset_radius=radius - 0.009,
        radius=radius,
        screened=(radius - 0.009) * scale,
        alpha=ones,
        beta=0.8 * ones,
        gamma=4.85 * ones,
        engulfed=2.0,
        prefactor=-COULOMB * (1 / force.getSoluteDielectric() - 1 / force.getSolventDielectric()),
        surface=4 * np.pi * float(force.getSurfaceAreaEnergy()._value),
    )


def _gbn2_terms(force: openmm.CustomGBForce) -> tuple[BornTerms, NeckTerms]:
    values = [force.getComputedValueParameters(i)[1] for i in range(force.getNumComputedValues())]
    energies = [force.getEnergyTermParameters(i)[0] for i in range(force.getNumEnergyTerms())]
    text = "\n".join(values + energies)
    solvent, solute = (
        float(re.search(rf"{name}=([\d.]+)", text)[1]) if name in text else 1.0  # type: ignore[index]
        for name in ("solventDielectric", "soluteDielectric")
    )
    found = hashlib.sha256(re.sub(r"Dielectric=[\d.]+", "", text).encode()).hexdigest()
    if found != _GBN2 or force.getNonbondedMethod() != openmm.CustomGBForce.NoCutoff:
        raise ValueError("the custom GB force is not GBn2 with ACE surface, without salt or cutoff")
    _, offset_radius, screened, alpha, beta, gamma, kind = _particles(force).T.copy()
    tables = {}
    for k in range(force.getNumTabulatedFunctions()):
        width, height, table = force.getTabulatedFunction(k).getFunctionParameters()
        tables[force.getTabulatedFunctionName(k)] = np.array(table).reshape(height, width).T
    index = kind.astype(np.int64)
    neck = NeckTerms(index, *_padded(tables["getm0"][index].T, tables["getd0"][index].T))
    prefactor = -_GBN2_COULOMB * (1 / solute - 1 / solvent)
    offset_radius, screened, alpha, beta, gamma = _padded(offset_radius, screened, alpha, beta, gamma, value=1.0)
    radius = offset_radius + _GBN2_OFFSET
    return BornTerms(offset_radius, radius, screened, alpha, beta, gamma, 0.0, prefactor, _ACE), neck


def read_terms(system: openmm.System) -> tuple[Terms, list[int]]:
    """The terms of ``system`` that the kernel can take over, and the indices of the forces that hold them.

    Raises ValueError where the system lacks them or has forms that the kernel does not know.
    """
    found: dict[type, tuple[int, Any]] = {}
    for index, force in enumerate(system.getForces()):
        kinds = openmm.NonbondedForce | openmm.CustomNonbondedForce | openmm.GBSAOBCForce | openmm.CustomGBForce
        if isinstance(force, kinds):
            if type(force) in found:
                raise ValueError(f"the system has two forces {type(force).__name__}")
            found[type(force)] = index, force
    obc, gbn2 = found.get(openmm.GBSAOBCForce), found.get(openmm.CustomGBForce)
    if openmm.NonbondedForce not in found or (obc is None) == (gbn2 is None):
        raise ValueError("the system needs one NonbondedForce and one of OBC and GBn2")
    pairs = _pair_terms(found[openmm.NonbondedForce][1], found.get(openmm.CustomNonbondedForce, (0, None))[1])
    born, neck = (_obc_terms(obc[1]), None) if obc else _gbn2_terms(gbn2[1])  # type: ignore[index]
    if system.getNumParticles() * len(pairs.charge) <= TABLE:
        pairs = pairs._replace(table=pair_table(pairs, born.prefactor))
    interactions, harmonic = read_bonded(system)
    return Terms(pairs, born, neck, interactions), sorted([*harmonic, *(index for index, _ in found.values())])


def accelerate(system: openmm.System) -> openmm.System:
    """Swaps the slow forces of ``system``, in place, for the kernel; returns the system.

    Raises ValueError where the system lacks them or has forms that the kernel does not know.
    """
    terms, replaced = read_terms(system)
    for index in reversed(replaced):
        system.removeForce(index)

    def compute(state: openmm.State) -> tuple[float, Array]:
        try:
            return terms(state.getPositions(asNumpy=True)._value)
        except BaseException as error:
            _of_thread.raised = error
            raise

    system.addForce(openmm.PythonForce(compute))
    return system
