"""Evaluates and minimises structures with OpenMM: one System and one Context a topology."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import openmm
from scipy.spatial import cKDTree

from ebabench.physics.accelerate import accelerate
from ebabench.physics.preparation import CannotPrepare, Pairs, Template, build_template, disulfides
from ebabench.physics.protocols import Minimisation, Protocol
from ebabench.structures import Atoms, Positions

Array = npt.NDArray[np.float64]

_RESTRAINT_GROUP = 1
_BROKEN = 400.0  # kJ/mol a heavy atom: a covalent bond each
_FUSED = 0.08  # nm: shorter than any bond


class Molecule:
    """A prepared molecule in a Context, and the restraint that minimisation moves from frame to frame."""

    def __init__(self, template: Template, minimisation: Minimisation | None) -> None:
        self.template = template
        self._minimisation = minimisation
        self._restraint: openmm.CustomExternalForce | None = None
        system = accelerate(template.system)
        self._heavy = [atom.index for atom in template.topology.atoms() if atom.element.symbol != "H"]
        if minimisation and minimisation.restraint:
            self._restraint = openmm.CustomExternalForce(f"{minimisation.restraint / 2}*((x-x0)^2+(y-y0)^2+(z-z0)^2)")
            for axis in "xyz":
                self._restraint.addPerParticleParameter(f"{axis}0")
            for atom in self._heavy:
                self._restraint.addParticle(atom, (0.0, 0.0, 0.0))
            self._restraint.setForceGroup(_RESTRAINT_GROUP)
            system.addForce(self._restraint)
        reference = openmm.Platform.getPlatformByName("Reference")
        self._context = openmm.Context(system, openmm.VerletIntegrator(0.001), reference)

    def energy(self, positions: Array) -> float:
        """Energy (kJ/mol, without the restraint's) of all atoms [A, 3] in nm, minimised if that was asked for.

        Raises CannotPrepare where minimisation could not mend the structure.
        """
        self._context.setPositions(positions)
        if self._restraint is not None:
            for row, atom in enumerate(self._heavy):
                self._restraint.setParticleParameters(row, atom, positions[atom].tolist())
            self._restraint.updateParametersInContext(self._context)
        if self._minimisation:
            openmm.LocalEnergyMinimizer.minimize(
                self._context, self._minimisation.tolerance, self._minimisation.iterations
            )
        state = self._context.getState(getEnergy=True, getPositions=True, groups={0})
        energy = float(state.getPotentialEnergy()._value)
        if self._minimisation:
            self._check(energy, state.getPositions(asNumpy=True)._value)
        return energy

    def _check(self, energy: float, positions: Array) -> None:
        if not np.isfinite(positions).all() or energy > _BROKEN * len(self._heavy):
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
    """Energies of the frames of one molecule; those of another disulfide pattern get a topology of their own."""

    def __init__(self, atoms: Atoms, protocol: Protocol, minimise: bool) -> None:
        self._atoms = atoms
        self._protocol = protocol
        self._minimisation = protocol.minimisation if minimise else None
        self._molecules: dict[Pairs, Molecule | CannotPrepare] = {}

    def _molecule(self, bonded: Pairs) -> Molecule:
        if bonded not in self._molecules:
            try:
                template = build_template(self._atoms, self._protocol, bonded)
                self._molecules[bonded] = Molecule(template, self._minimisation)
            except CannotPrepare as reason:
                self._molecules[bonded] = reason
        found = self._molecules[bonded]
        if isinstance(found, CannotPrepare):
            raise found
        return found

    def _energy(self, frame: Positions, bonded: Pairs) -> float:
        if not np.isfinite(frame).all():
            raise CannotPrepare("coordinates are not finite")
        molecule = self._molecule(bonded)
        try:
            energy = molecule.energy(molecule.template.complete(frame[None])[0])
        except openmm.OpenMMException as error:
            raise CannotPrepare(f"OpenMM: {error}") from error
        if not np.isfinite(energy):
            raise CannotPrepare("the energy is not finite: atoms lie upon each other")
        return energy

    def __call__(self, positions: Positions) -> tuple[Array, dict[int, str]]:
        """Energies [S] (kJ/mol) of positions [S, N, 3] in angstrom; where NaN, the reason by frame."""
        energies, reasons = np.full(len(positions), np.nan), {}
        for k, (frame, bonded) in enumerate(zip(positions, disulfides(self._atoms, positions), strict=True)):
            try:
                energies[k] = self._energy(frame, bonded)
            except CannotPrepare as reason:
                reasons[k] = str(reason)
        return energies, reasons
