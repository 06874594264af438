"""Replaces a system's Lennard-Jones, Coulomb and generalised Born forces by `ebabench.physics.kernel`.

For molecules without cutoff this makes an evaluation several times cheaper than OpenMM's Reference and CPU platforms;
the other forces stay OpenMM's.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openmm

from ebabench.physics.kernel import COULOMB, BornTerms, NeckTerms, PairTerms, energy_and_forces

Array = npt.NDArray[np.float64]

# SHA-256 of the expressions of `implicit/gbn2.xml` (ACE surface, no salt, dielectrics left out) that the kernel has.
_GBN2 = "c259f3d1a841f063a8a4ec7ce6409245658b5a931ec0f577c68ed8dbcd4670e3"
_GBN2_OFFSET, _GBN2_COULOMB = 0.0195141, 138.935485
_ACE = 28.3919551  # kJ/mol/nm^2, 4 pi times 5.4 cal/mol/A^2


@dataclass(frozen=True)
class Terms:
    """What the kernel needs to know of a molecule. Called with positions [N, 3] in nm: energy and forces."""

    pairs: PairTerms
    born: BornTerms
    neck: NeckTerms | None

    def __call__(self, positions: Array) -> tuple[float, Array]:
        """Energy (kJ/mol) and forces (kJ/mol/nm) [N, 3]."""
        energy, forces = energy_and_forces(positions, self.pairs, self.born, self.neck)
        return energy, forces


def numbers(parameters: Any) -> list[float]:
    """Parameters in OpenMM's units, without the units."""
    return [float(getattr(p, "_value", p)) for p in parameters]


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
    kept = (values[:, 0] != 0) | (values[:, 2] != 0)
    return PairTerms(particles[:, 0].copy(), half_sigma, sqrt_epsilon, excluded, excluded[kept], values[kept])


def _obc_terms(force: openmm.GBSAOBCForce) -> BornTerms:
    radius, scale = _particles(force)[:, 1:].T.copy()
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
    neck = NeckTerms(index, tables["getm0"][:, index].copy(), tables["getd0"][:, index].copy())
    prefactor = -_GBN2_COULOMB * (1 / solute - 1 / solvent)
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
    return Terms(pairs, born, neck), [index for index, _ in found.values()]


def accelerate(system: openmm.System) -> openmm.System:
    """Swaps the slow forces of ``system``, in place, for the kernel; returns the system.

    Raises ValueError where the system lacks them or has forms that the kernel does not know.
    """
    terms, replaced = read_terms(system)
    for index in sorted(replaced, reverse=True):
        system.removeForce(index)

    def compute(state: openmm.State) -> tuple[float, Array]:
        return terms(state.getPositions(asNumpy=True)._value)

    system.addForce(openmm.PythonForce(compute))
    return system
