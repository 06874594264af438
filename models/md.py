"""A short molecular dynamics simulation from the native structure: what a few CPU minutes of physics earn.

Force field, solvent, integrator and time step are those of the suite's references (`ebabench.datasets.simulation`), its
start is the native structure alone. On the CPU it runs on OpenMM's Reference platform with ebabench's kernel, on a GPU
on OpenMM's CUDA platform; the two differ in rounding, and so in trajectory.
"""

from __future__ import annotations

import numpy as np

from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target

_SEEDS = 2**31 - 1  # OpenMM takes 32 bits, and takes 0 to mean any


class MolecularDynamics:
    """Evenly spaced frames of ``nanoseconds``, after ``equilibration_ps`` that are not kept."""

    def __init__(self, nanoseconds: float, equilibration_ps: float, temperature_k: float, platform: str) -> None:
        self.nanoseconds = nanoseconds
        self.equilibration_ps = equilibration_ps
        self.temperature_k = temperature_k
        self.platform = platform

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """``samples`` frames. Raises InputError if the force field lacks an atom or residue, or there are too many."""
        import openmm

        from ebabench.datasets.simulation import Simulation, langevin_context, positions_of
        from ebabench.physics.molecules import Molecule
        from ebabench.physics.preparation import CannotPrepare, build_template, disulfides
        from ebabench.physics.protocols import get_protocol

        simulation = Simulation(
            name=target.name,
            sequence=target.sequence,
            replica=1,
            nanoseconds=self.nanoseconds,
            frame_ps=1000 * self.nanoseconds / samples,
            temperature_k=self.temperature_k,
            seed=1 + seed % _SEEDS,
            equilibration_ps=self.equilibration_ps,
        )
        (bonded,) = disulfides(target.atoms, target.native[None])
        try:
            (gap,) = Molecule.of(target.atoms).gaps(target.native[None])
            if gap:
                raise CannotPrepare(gap)
            molecule = build_template(target.atoms, get_protocol("amber99sbildn-obc"), bonded)
        except CannotPrepare as error:
            raise InputError(f"{target.name}: cannot be simulated: {error}") from error
        simulator = langevin_context(simulation, molecule.topology, self.platform)
        simulator.setPositions(molecule.complete(target.native[None])[0])
        simulator.applyConstraints(1e-6)
        openmm.LocalEnergyMinimizer.minimize(simulator, 10, 500)
        simulator.setVelocitiesToTemperature(simulation.temperature_k, simulation.seed)
        integrator = simulator.getIntegrator()
        integrator.step(round(1000 * simulation.equilibration_ps / simulation.timestep_fs))
        steps = round(1000 * simulation.frame_ps / simulation.timestep_fs)
        if not steps:
            raise InputError(f"{target.name}: {samples} samples of {self.nanoseconds} ns: more than it has time steps")
        frames = np.empty((samples, *target.native.shape), np.float32)
        for frame in frames:
            integrator.step(steps)
            frame[:] = 10 * positions_of(simulator)[molecule.given]
        return Ensemble(target.name, target.atoms, frames)


def build(card: Card, resources: Resources) -> Generator:
    """The generator of the card ``md``."""
    settings = card.sampling
    return MolecularDynamics(
        float(settings["nanoseconds"]),
        float(settings["equilibration_ps"]),
        float(settings["temperature_k"]),
        "Reference" if resources.device == "cpu" else "CUDA",
    )
