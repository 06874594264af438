"""A short MD simulation from the native structure as a model.

Integrator and time step are those of the embedded suites' references (``ebabench.datasets.simulation``). The card says
the temperature, the friction, and by the name of an energy protocol the force field and the solvent. On the CPU it runs
as the references do (``ebabench.physics.langevin``), on a GPU on OpenMM's CUDA platform. The two differ in rounding and
random numbers, and therefore in trajectory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Target

if TYPE_CHECKING:
    from ebabench.physics.langevin import Trajectory

_SEEDS = 2**31 - 1  # OpenMM takes 32 bits, and takes 0 to mean any


class MolecularDynamics:
    """Simulates ``nanoseconds`` after ``equilibration_ps``, which are discarded."""

    def __init__(
        self,
        nanoseconds: float,
        equilibration_ps: float,
        temperature_k: float,
        on_gpu: bool,
        protocol: str,
        friction_per_ps: float,
    ) -> None:
        self.nanoseconds = nanoseconds
        self.equilibration_ps = equilibration_ps
        self.temperature_k = temperature_k
        self.on_gpu = on_gpu
        self.protocol = protocol
        self.friction_per_ps = friction_per_ps

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return evenly spaced frames.

        Args:
            target: The molecule.
            samples: Number of frames.
            seed: Seed of the velocities and of the thermostat.

        Raises:
            InputError: The force field lacks an atom or residue (``md.prepare``), or there are more frames than time
                steps (``md.too_many``).
        """
        from ebabench.datasets.simulation import Simulation, dynamics
        from ebabench.physics.molecules import Molecule
        from ebabench.physics.preparation import CannotPrepare, build_template, disulfides
        from ebabench.physics.protocols import get_protocol

        protocol = get_protocol(self.protocol)
        simulation = Simulation(
            name=target.name,
            sequence=target.sequence,
            replica=1,
            nanoseconds=self.nanoseconds,
            frame_ps=1000 * self.nanoseconds / samples,
            temperature_k=self.temperature_k,
            seed=1 + seed % _SEEDS,
            equilibration_ps=self.equilibration_ps,
            friction_per_ps=self.friction_per_ps,
            forcefield=protocol.forcefield,
        )
        (bonded,) = disulfides(target.atoms, target.native[None])
        try:
            (gap,) = Molecule.of(target.atoms).gaps(target.native[None])
            if gap:
                raise CannotPrepare(gap)
            molecule = build_template(target.atoms, protocol, bonded)
        except CannotPrepare as error:
            raise InputError(
                f"{target.name}: cannot be simulated: {error}", code="md.prepare", target=target.name
            ) from error
        if not simulation.steps:
            raise InputError(
                f"{target.name}: {samples} samples of {self.nanoseconds} ns: more than it has time steps",
                code="md.too_many",
                target=target.name,
            )
        settings = dynamics(simulation, molecule.topology)
        moving = OnGpu(settings) if self.on_gpu else settings
        moving.start(molecule.complete(target.native[None])[0])
        moving.advance(round(1000 * simulation.equilibration_ps / simulation.timestep_fs))
        frames = np.empty((samples, *target.native.shape), np.float32)
        for frame in frames:
            moving.advance(simulation.steps)
            frame[:] = 10 * moving.positions[molecule.given]
        return Ensemble(target.name, target.atoms, frames)


class OnGpu:
    """The same dynamics by OpenMM's CUDA platform. Raises InputError if OpenMM lacks it."""

    def __init__(self, dynamics: Trajectory) -> None:
        import openmm

        self._temperature_k, self._seed = dynamics.temperature_k, dynamics.seed
        self._integrator = openmm.LangevinMiddleIntegrator(
            dynamics.temperature_k, dynamics.friction_per_ps, dynamics.timestep_fs / 1000
        )
        self._integrator.setRandomNumberSeed(dynamics.seed)
        try:
            platform = openmm.Platform.getPlatformByName("CUDA")
            self._context = openmm.Context(dynamics.system, self._integrator, platform)
        except openmm.OpenMMException as error:
            raise InputError(f"OpenMM cannot use its platform CUDA here: {error}") from error

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Positions [N, 3] in nm. Raises FloatingPointError if the simulation has diverged."""
        positions = self._context.getState(getPositions=True).getPositions(asNumpy=True)._value
        if not np.isfinite(positions).all():
            raise FloatingPointError("the simulation diverged: positions are not finite")
        return np.asarray(positions)

    def start(self, positions: npt.NDArray[np.float64]) -> None:
        """Place the atoms [N, 3] (nm), relax them and draw their velocities."""
        import openmm

        self._context.setPositions(positions)
        self._context.applyConstraints(1e-6)
        openmm.LocalEnergyMinimizer.minimize(self._context, 10, 500)
        self._context.setVelocitiesToTemperature(self._temperature_k, self._seed)

    def advance(self, steps: int) -> None:
        """Go on by ``steps``."""
        self._integrator.step(steps)


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of the cards ``md`` and ``md-gbn2``."""
    settings = card.sampling
    return MolecularDynamics(
        float(settings["nanoseconds"]),
        float(settings["equilibration_ps"]),
        float(settings["temperature_k"]),
        on_gpu=resources.device != "cpu",
        protocol=str(settings.get("protocol", "amber99sbildn-obc")),
        friction_per_ps=float(settings.get("friction_per_ps", 1.0)),
    )
