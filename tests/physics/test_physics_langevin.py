"""Langevin dynamics: forces, constraints and temperature of physics, and the random numbers behind them."""

import numpy as np
import openmm
import pytest
from openmm import app
from proteins import STRAND, build
from scipy import stats

from ebabench.physics.langevin import Trajectory, gaussians
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS

GAS = 0.00831446261815324


def molecule(sequence="KPTHG", protocol="amber14-gbn2", mass=3.0):
    """A System with bonds to hydrogen constrained, and positions in nm."""
    target = build(sequence, STRAND)
    template = build_template(target.atoms, PROTOCOLS[protocol])
    field = app.ForceField(*PROTOCOLS[protocol].forcefield)
    system = field.createSystem(template.topology, constraints=app.HBonds, hydrogenMass=mass)
    return system, template.complete(target.native[None])[0]


def bond_errors(system, positions):
    pairs = [system.getConstraintParameters(k) for k in range(system.getNumConstraints())]
    return [abs(np.linalg.norm(positions[i] - positions[j]) - length._value) for i, j, length in pairs]


@pytest.mark.parametrize("protocol", ["amber14-gbn2", "amber99sbildn-obc"])
def test_energy_and_forces_are_openmm_s(protocol):
    system, positions = molecule(protocol=protocol)
    moving = Trajectory(system, 300.0, 1.0, 4.0, seed=1)
    energy = moving.start(positions)
    found, forces = moving.energy_and_forces()
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(moving.positions)
    state = context.getState(getEnergy=True, getForces=True)
    theirs = state.getForces(asNumpy=True)._value
    assert energy == pytest.approx(found, abs=1e-6)
    assert found == pytest.approx(state.getPotentialEnergy()._value, abs=0.01)
    np.testing.assert_allclose(forces, theirs, atol=1e-5 * np.abs(theirs).max())


def test_relaxing_goes_downhill_and_stays_in_the_shape():
    system, positions = molecule()
    moving = Trajectory(system, 300.0, 1.0, 4.0, seed=1)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    before = context.getState(getEnergy=True).getPotentialEnergy()._value
    assert moving.start(positions) < before - 100
    assert max(bond_errors(system, moving.positions)) < 1e-9


def test_constraints_hold_and_the_centre_of_mass_rests():
    system, positions = molecule()
    moving = Trajectory(system, 350.0, 0.3, 4.0, seed=2)
    moving.start(positions)
    moving.advance(500)
    assert max(bond_errors(system, moving.positions)) < 1e-9
    mass = np.array([system.getParticleMass(k)._value for k in range(system.getNumParticles())])
    drift = (mass[:, None] * (moving.positions - positions)).sum(0) / mass.sum()
    assert np.abs(drift).max() < 0.3


def test_without_friction_the_energy_is_kept():
    """Velocity Verlet of half the usual step: the total energy of a picosecond wanders by less than kT."""
    system, positions = molecule("GAG")
    moving = Trajectory(system, 300.0, 1.0, 4.0, seed=3)
    moving.start(positions)
    moving.advance(1000)
    free = Trajectory(system, 300.0, 0.0, 1.0, seed=3)
    free.state[:] = moving.state
    inverse = np.array([1 / system.getParticleMass(k)._value for k in range(system.getNumParticles())])

    steps = [(free.advance(1), (free.state[1, :, : free.atoms] ** 2 / inverse).sum() / 2) for _ in range(1000)]
    potential, kinetic = np.array(steps).T
    # Velocities are half a step behind the positions.
    energies = potential[:-1] + (kinetic[:-1] + kinetic[1:]) / 2
    assert np.ptp(energies) < 4 * GAS * 300
    assert abs(np.mean(energies[:100]) - np.mean(energies[-100:])) < GAS * 300


def test_kinetic_energy_is_that_of_the_temperature():
    """Half a kT a degree of freedom: three an atom, less constraints and the centre of mass."""
    system, positions = molecule("GAG")
    moving = Trajectory(system, 350.0, 5.0, 2.0, seed=4)
    moving.start(positions)
    moving.advance(1000)
    mass = np.array([system.getParticleMass(k)._value for k in range(system.getNumParticles())])
    degrees = 3 * moving.atoms - system.getNumConstraints() - 3
    found = []
    for _ in range(1500):
        moving.advance(20)
        found.append((mass * moving.state[1, :, : moving.atoms] ** 2).sum() / (degrees * GAS))
    assert np.mean(found) == pytest.approx(350, rel=0.02)
    # Fluctuations of a chi-squared distribution of as many degrees of freedom.
    assert np.std(found) == pytest.approx(350 * np.sqrt(2 / degrees), rel=0.15)


def test_a_trajectory_repeats_and_goes_on_from_its_state():
    system, positions = molecule("GAG")
    whole, other, resumed = (Trajectory(system, 300.0, 1.0, 4.0, seed) for seed in (5, 6, 5))
    for one in (whole, other):
        one.start(positions)
        one.advance(50)
    resumed.state[:], resumed.count[:] = whole.state, whole.count
    whole.advance(50)
    resumed.advance(50)
    assert np.array_equal(whole.state, resumed.state)
    assert not np.allclose(whole.state, other.state)


def test_random_numbers_are_gaussian_and_independent():
    count = np.array([7], np.uint64)
    drawn = np.empty((3, 160_000))
    gaussians(count, drawn)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < 0.01
    assert np.abs(np.corrcoef(drawn[0, 1:], drawn[0, :-1])[0, 1]) < 0.01
    again = np.empty((3, 160_000))
    gaussians(count, again)
    assert not np.isin(again.ravel()[:1000], drawn.ravel()).any()


def test_what_a_trajectory_does_not_know_is_refused():
    system, _ = molecule("GAG")
    system.addForce(openmm.CustomExternalForce("x"))
    with pytest.raises(ValueError, match="CustomExternalForce"):
        Trajectory(system, 300.0, 1.0, 4.0, seed=1)
    system, _ = molecule("GAG")
    system.addConstraint(0, 8, 0.3)
    with pytest.raises(ValueError, match="bonds to hydrogen"):
        Trajectory(system, 300.0, 1.0, 4.0, seed=1)
