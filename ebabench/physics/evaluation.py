"""Energies and minimisations of structures with OpenMM: one System and Context per molecule, for all its frames."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import openmm
from scipy.spatial import cKDTree

from ebabench.physics.accelerate import accelerate, stoppable
from ebabench.physics.molecules import Molecule
from ebabench.physics.preparation import CannotPrepare, Incomplete, Pairs, Template, disulfides, shared_template
from ebabench.physics.protocols import Minimisation, Protocol
from ebabench.physics.repair import add_missing_atoms
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, Positions

_BROKEN = 400.0  # kJ/mol per heavy atom: one covalent bond each
_FUSED = 0.08  # nm: shorter than any bond
_WORTH_A_GPU = 1000  # atoms; below, starting the kernels of a GPU costs more than the sums
_CALCULATORS = 8  # that stay in memory per thread
_AT_ONCE = 50_000  # atoms of the input whose frames are completed together


@lru_cache(maxsize=1)
def gpu_platform() -> str | None:
    """Return the first of OpenMM's GPU platforms that works here, or None."""
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


def _context(system: openmm.System, protocol: Protocol) -> openmm.Context:
    """A Context that owns ``system``: on a GPU that is worth it, else with our kernel, which has no cutoff."""
    gpu = gpu_platform() if system.getNumParticles() >= _WORTH_A_GPU else None
    integrator = openmm.VerletIntegrator(0.001)
    if gpu:
        precise = {"Precision": "mixed"}
        return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(gpu), precise)
    system = system if protocol.cutoff_nm is not None else accelerate(system)
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))


def constrain_hydrogens(template: Template) -> openmm.System:
    """Return a copy of the template's system in which constraints replace all springs to hydrogens."""
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


class _Interruptible(openmm.MinimizationReporter):  # type: ignore[misc]
    """Lets Python look, after every iteration, whether it was interrupted: without, a minimisation runs to its end."""

    def report(self, *_: object) -> bool:
        """Go on."""
        return False


class _Minimiser:
    """Minimisation of one molecule, with springs to hydrogens whatever the protocol.

    With constraints in their place L-BFGS takes three to four times as many evaluations.
    """

    def __init__(self, template: Template, protocol: Protocol) -> None:
        how: Minimisation = protocol.minimisation
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
        self._context = _context(system, protocol)
        in_python = any(isinstance(force, openmm.PythonForce) for force in self._context.getSystem().getForces())
        self._interruptible = None if in_python else _Interruptible()

    def __call__(self, positions: FloatArray) -> FloatArray:
        """Return the minimised positions [A, 3] of positions [A, 3], nanometre."""
        self._context.setPositions(positions)
        if self._how.restraint:
            for row, atom in enumerate(self._heavy):
                self._restraint.setParticleParameters(row, atom, positions[atom].tolist())
            self._restraint.updateParametersInContext(self._context)
        openmm.LocalEnergyMinimizer.minimize(
            self._context, self._how.tolerance, self._how.iterations, self._interruptible
        )
        return np.asarray(self._context.getState(getPositions=True).getPositions(asNumpy=True)._value)


class Calculator:
    """Energies of one molecule with one pattern of disulfides, under one protocol.

    Attributes:
        template: the molecule with all atoms.
        system: the terms of the energy.
    """

    def __init__(self, template: Template, protocol: Protocol, minimise: bool) -> None:
        self.template = template
        self.system = constrain_hydrogens(template) if protocol.constrain_hydrogens else template.system
        self._minimise = _Minimiser(template, protocol) if minimise else None
        self._context = _context(copy.deepcopy(self.system), protocol)
        self._heavy = len(template.heavy)

    def evaluate(self, positions: FloatArray) -> tuple[float, FloatArray]:
        """Return the energy of one frame, and the positions that it belongs to.

        Args:
            positions: [A, 3] in nanometre, all atoms, as `Template.complete` returns them.

        Returns:
            The energy in kJ/mol, and [A, 3] in nanometre.

        Raises:
            CannotPrepare: there is no energy, or minimisation could not mend the structure.
        """
        try:
            with stoppable():
                if self._minimise:
                    positions = self._minimise(positions)
                self._context.setPositions(positions)
                if self._minimise and self.system.getNumConstraints():
                    self._context.applyConstraints(1e-6)
                    positions = self._context.getState(getPositions=True).getPositions(asNumpy=True)._value
                energy = float(self._context.getState(getEnergy=True).getPotentialEnergy()._value)
        except openmm.OpenMMException as error:
            raise CannotPrepare(f"OpenMM: {error}") from error
        if not np.isfinite(energy):
            raise CannotPrepare("the energy is not finite: atoms lie upon each other")
        if self._minimise:
            self._check(energy, positions)
        return energy, positions

    def _check(self, energy: float, positions: FloatArray) -> None:
        if energy > _BROKEN * self._heavy:
            raise CannotPrepare(f"clashes or broken bonds beyond repair: {energy:.3g} kJ/mol after minimisation")
        # A hydrogen without Lennard-Jones term that starts inside another atom falls into its charge: energy -> -inf.
        fused = sorted(cKDTree(positions).query_pairs(_FUSED))
        if fused:
            atoms = list(self.template.topology.atoms())
            names = " and ".join(
                f"{atoms[k].residue.name}{atoms[k].residue.index + 1} {atoms[k].name}" for k in fused[0]
            )
            raise CannotPrepare(f"clash beyond repair: {names} are fused")


_of_thread = threading.local()  # a Context serves one thread at a time


def _calculator(molecule: Molecule, bonded: Pairs, protocol: Protocol, minimise: bool) -> Calculator:
    """The calculator of a molecule, shared by all that ask for the same one in this thread."""
    calculators: OrderedDict[tuple[str, Pairs, str], Calculator] = vars(_of_thread).setdefault("kept", OrderedDict())
    key = molecule.digest(), bonded, protocol.key(minimise)
    if key not in calculators:
        calculators[key] = Calculator(shared_template(molecule, protocol, bonded), protocol, minimise)
        if len(calculators) > _CALCULATORS:
            calculators.popitem(last=False)
    calculators.move_to_end(key)
    return calculators[key]


class Evaluator:
    """Energies of the frames of one molecule; each pattern of disulfides has a calculator of its own.

    Args:
        molecule: the molecule; Atoms are one chain.
        protocol: the energy protocol.
        minimise: True to minimise every frame first.
    """

    def __init__(self, molecule: Molecule | Atoms, protocol: Protocol, minimise: bool) -> None:
        self._given = Molecule.of(molecule)
        self._protocol = protocol
        self._minimise = minimise
        self._failed: dict[tuple[str, Pairs], tuple[type[CannotPrepare], str]] = {}

    def evaluate(self, positions: Positions) -> Iterator[tuple[Calculator, float, FloatArray] | CannotPrepare]:
        """Yield the calculator, the energy and the positions of all atoms of each frame, or why there is no energy.

        Args:
            positions: [S, N, 3] in angstrom.

        Yields:
            Calculator, kJ/mol, [A, 3] in nanometre; or the reason.
        """
        size = max(1, _AT_ONCE // len(self._given.atoms))
        for start in range(0, len(positions), size):
            yield from self._evaluate(positions[start : start + size])

    def _evaluate(self, frames: Positions) -> Iterator[tuple[Calculator, float, FloatArray] | CannotPrepare]:
        patterns = disulfides(self._given.atoms, frames)
        finite = np.asarray(np.isfinite(frames).all((1, 2)))
        complete: dict[int, tuple[Calculator, FloatArray] | CannotPrepare] = {
            int(k): CannotPrepare("coordinates are not finite") for k in np.flatnonzero(~finite)
        }
        for bonded in dict.fromkeys(patterns):
            rows = [k for k, pattern in enumerate(patterns) if pattern == bonded and finite[k]]
            complete |= zip(rows, self._complete(frames[rows], bonded), strict=True)
        for k in range(len(frames)):
            found = complete[k]
            try:
                if isinstance(found, CannotPrepare):
                    raise found
                yield found[0], *found[0].evaluate(found[1])
            except CannotPrepare as reason:
                yield reason

    def _complete(self, frames: Positions, bonded: Pairs) -> Sequence[tuple[Calculator, FloatArray] | CannotPrepare]:
        """The calculator and the positions of all atoms of each frame, or why there are none."""
        try:
            calculator = self._prepared(self._given, bonded)
        except Incomplete:
            return [self._repaired(frame) for frame in frames]
        except CannotPrepare as reason:
            return [CannotPrepare(str(reason)) for _ in frames]
        return [(calculator, positions) for positions in calculator.template.complete(frames)]

    def _repaired(self, frame: Positions) -> tuple[Calculator, FloatArray] | CannotPrepare:
        try:
            molecule, frame = add_missing_atoms(self._given, frame)
            calculator = self._prepared(molecule, disulfides(molecule.atoms, frame[None])[0])
        except CannotPrepare as reason:
            return reason
        return calculator, calculator.template.complete(frame[None])[0]

    def _prepared(self, molecule: Molecule, bonded: Pairs) -> Calculator:
        key = molecule.digest(), bonded
        if key in self._failed:
            kind, reason = self._failed[key]
            raise kind(reason)
        try:
            return _calculator(molecule, bonded, self._protocol, self._minimise)
        except CannotPrepare as failed:
            self._failed[key] = type(failed), str(failed)
            raise

    def __call__(self, positions: Positions) -> tuple[FloatArray, dict[int, str]]:
        """Return the energies of frames, and by frame the reason where there is none.

        Args:
            positions: [S, N, 3] in angstrom.

        Returns:
            [S] in kJ/mol, NaN where there is a reason.
        """
        energies, reasons = np.full(len(positions), np.nan), {}
        for k, found in enumerate(self.evaluate(positions)):
            if isinstance(found, CannotPrepare):
                reasons[k] = str(found)
            else:
                energies[k] = found[1]
        return energies, reasons
