"""Evaluates and minimises structures with OpenMM: a System and a Context a topology, for all its frames."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import openmm
from scipy.spatial import cKDTree

from ebabench.physics.accelerate import accelerate
from ebabench.physics.preparation import CannotPrepare, Incomplete, Pairs, Template, build_template, disulfides
from ebabench.physics.protocols import Minimisation, Protocol
from ebabench.physics.repair import add_missing_atoms
from ebabench.structures import Atoms
from ebabench.structures.arrays import Positions

Array = npt.NDArray[np.float64]

_BROKEN = 400.0  # kJ/mol a heavy atom: a covalent bond each
_FUSED = 0.08  # nm: shorter than any bond
_WORTH_A_GPU = 1000  # atoms; below, starting its kernels costs more than the sums


@lru_cache(maxsize=1)
def gpu_platform() -> str | None:
    """The first of OpenMM's GPU platforms that is present and works here."""
    present = {openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())}
    for name in ("CUDA", "HIP", "OpenCL"):
        if name in present:
            system = openmm.System()
            system.addParticle(1.0)
            try:
                openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(name))
            except openmm.OpenMMException:
                continue
            return name
    return None


def _context(system: openmm.System) -> openmm.Context:
    """A Context for ``system``, of which it takes possession: on a GPU that is worth it, else with our kernel."""
    gpu = gpu_platform() if system.getNumParticles() >= _WORTH_A_GPU else None
    integrator = openmm.VerletIntegrator(0.001)
    if gpu:
        precise = {"Precision": "mixed"}
        return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(gpu), precise)
    return openmm.Context(accelerate(system), integrator, openmm.Platform.getPlatformByName("Reference"))


def constrain_hydrogens(template: Template) -> openmm.System:
    """A copy of the template's system in which constraints take the place of all springs to hydrogens."""
    system = copy.deepcopy(template.system)
    bonded = {
        frozenset((a.index, b.index))
        for a, b in template.topology.bonds()
        if "H" in (a.element.symbol, b.element.symbol)
    }
    (springs,) = (force for force in system.getForces() if isinstance(force, openmm.HarmonicBondForce))
    for k in range(springs.getNumBonds()):
        # Urey-Bradley terms are springs, too, but between atoms that are not bonded.
        i, j, length, _ = springs.getBondParameters(k)
        if frozenset((i, j)) in bonded:
            system.addConstraint(i, j, length)
            springs.setBondParameters(k, i, j, length, 0.0)
    return system


class _Minimiser:
    """Relaxes one molecule, with springs to hydrogens whatever the protocol: constraints take L-BFGS thrice as long."""

    def __init__(self, template: Template, how: Minimisation) -> None:
        self._how = how
        self._heavy = template.heavy
        system = copy.deepcopy(template.system)
        self._restraint = openmm.CustomExternalForce(f"{how.restraint / 2}*((x-x0)^2+(y-y0)^2+(z-z0)^2)")
        if how.restraint:
            for axis in "xyz":
                self._restraint.addPerParticleParameter(f"{axis}0")
            for atom in self._heavy:
                self._restraint.addParticle(atom, (0.0, 0.0, 0.0))
            system.addForce(self._restraint)
        self._context = _context(system)

    def __call__(self, positions: Array) -> Array:
        self._context.setPositions(positions)
        if self._how.restraint:
            for row, atom in enumerate(self._heavy):
                self._restraint.setParticleParameters(row, atom, positions[atom].tolist())
            self._restraint.updateParametersInContext(self._context)
        openmm.LocalEnergyMinimizer.minimize(self._context, self._how.tolerance, self._how.iterations)
        return np.asarray(self._context.getState(getPositions=True).getPositions(asNumpy=True)._value)


class Molecule:
    """A prepared molecule under a protocol. ``system`` is what its energy is the energy of."""

    def __init__(self, template: Template, protocol: Protocol, minimise: bool) -> None:
        self.template = template
        self.system = constrain_hydrogens(template) if protocol.constrain_hydrogens else template.system
        self._minimise = _Minimiser(template, protocol.minimisation) if minimise else None
        self._context = _context(copy.deepcopy(self.system))

    def evaluate(self, frame: Positions) -> tuple[float, Array]:
        """Energy (kJ/mol) of the input's atoms [N, 3] in angstrom, and the places [A, 3] in nm of all atoms at it.

        Raises CannotPrepare where there is no energy, or where minimisation could not mend the structure.
        """
        positions = self.template.complete(frame[None])[0]
        try:
            if self._minimise:
                positions = self._minimise(positions)
            self._context.setPositions(positions)
            if self._minimise and self.system.getNumConstraints():
                self._context.applyConstraints(1e-6)
            state = self._context.getState(getEnergy=True, getPositions=True)
        except openmm.OpenMMException as error:
            raise CannotPrepare(f"OpenMM: {error}") from error
        energy, positions = float(state.getPotentialEnergy()._value), state.getPositions(asNumpy=True)._value
        if not np.isfinite(energy):
            raise CannotPrepare("the energy is not finite: atoms lie upon each other")
        if self._minimise:
            self._check(energy, positions)
        return energy, positions

    def _check(self, energy: float, positions: Array) -> None:
        if energy > _BROKEN * len(self.template.heavy):
            raise CannotPrepare(f"clashes or broken bonds beyond repair: {energy:.3g} kJ/mol after minimisation")
        # A hydrogen without Lennard-Jones term that starts inside another atom falls into its charge: energy -> -inf.
        fused = sorted(cKDTree(positions).query_pairs(_FUSED))
        if fused:
            atoms = list(self.template.topology.atoms())
            names = " and ".join(
                f"{atoms[k].residue.name}{atoms[k].residue.index + 1} {atoms[k].name}" for k in fused[0]
            )
            raise CannotPrepare(f"clash beyond repair: {names} are fused")


class Evaluator:
    """Energies of the frames of one table of atoms; each pattern of disulfides gets a topology of its own."""

    def __init__(self, atoms: Atoms, protocol: Protocol, minimise: bool) -> None:
        self._atoms = atoms
        self._protocol = protocol
        self._minimise = minimise
        self._molecules: dict[Pairs, Molecule | CannotPrepare] = {}
        self._repaired: Evaluator | None = None

    def _molecule(self, bonded: Pairs) -> Molecule:
        if bonded not in self._molecules:
            try:
                template = build_template(self._atoms, self._protocol, bonded)
                self._molecules[bonded] = Molecule(template, self._protocol, self._minimise)
            except CannotPrepare as reason:
                self._molecules[bonded] = reason
        found = self._molecules[bonded]
        if isinstance(found, CannotPrepare):
            raise found
        return found

    def evaluate(self, positions: Positions) -> Iterator[tuple[Molecule, float, Array] | CannotPrepare]:
        """For each frame of positions [S, N, 3] in angstrom: the molecule, its energy and where that is; or why not."""
        for frame, bonded in zip(positions, disulfides(self._atoms, positions), strict=True):
            try:
                if not np.isfinite(frame).all():
                    raise CannotPrepare("coordinates are not finite")
                yield self._evaluate(frame, bonded)
            except CannotPrepare as reason:
                yield reason

    def _evaluate(self, frame: Positions, bonded: Pairs) -> tuple[Molecule, float, Array]:
        try:
            molecule = self._molecule(bonded)
        except Incomplete:
            whole, frame = add_missing_atoms(self._atoms, frame)
            if self._repaired is None:
                self._repaired = Evaluator(whole, self._protocol, self._minimise)
            molecule = self._repaired._molecule(disulfides(whole, frame[None])[0])
        return molecule, *molecule.evaluate(frame)

    def __call__(self, positions: Positions) -> tuple[Array, dict[int, str]]:
        """Energies [S] (kJ/mol) of positions [S, N, 3] in angstrom; where NaN, the reason by frame."""
        energies, reasons = np.full(len(positions), np.nan), {}
        for k, found in enumerate(self.evaluate(positions)):
            if isinstance(found, CannotPrepare):
                reasons[k] = str(found)
            else:
                energies[k] = found[1]
        return energies, reasons
