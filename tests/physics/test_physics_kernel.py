"""The kernel against OpenMM's own forces, term by term, and against the definition of a force."""

import copy
from dataclasses import replace

import numpy as np
import openmm
import pytest
from openmm import app
from proteins import STRAND, build

from ebabench.physics.accelerate import accelerate, read_terms
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS

REFERENCE = openmm.Platform.getPlatformByName("Reference")
PAIRS = (openmm.NonbondedForce, openmm.CustomNonbondedForce)
BORN = (openmm.GBSAOBCForce, openmm.CustomGBForce)


@pytest.fixture(scope="module", params=sorted(PROTOCOLS))
def molecule(request):
    """The System of a peptide with all amino acids, and distorted positions in nm."""
    target = build("ACDEFGHIKLMNPQRSTVWY", STRAND)
    template = build_template(target.atoms, PROTOCOLS[request.param])
    positions = template.complete(target.native[None])[0]
    return template.system, positions + 0.003 * np.random.default_rng(0).standard_normal(positions.shape)


def evaluate(system, positions):
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), REFERENCE)
    context.setPositions(positions)
    state = context.getState(getEnergy=True, getForces=True)
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value


def only(system, kinds):
    """The system with only its forces of these kinds."""
    system = copy.deepcopy(system)
    for index in reversed(range(system.getNumForces())):
        if not isinstance(system.getForce(index), kinds):
            system.removeForce(index)
    return system


def assert_same(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], rel=1e-9)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9 * np.abs(theirs[1]).max())


def without_solvent(terms):
    return replace(terms, born=terms.born._replace(prefactor=0.0, surface=0.0))


def test_lennard_jones_and_coulomb_are_openmm_s(molecule):
    system, positions = molecule
    terms, _ = read_terms(system)
    assert_same(without_solvent(terms)(positions), evaluate(only(system, PAIRS), positions))


def test_generalised_born_is_openmm_s(molecule):
    system, positions = molecule
    terms, _ = read_terms(system)
    ours = [a - b for a, b in zip(terms(positions), without_solvent(terms)(positions), strict=True)]
    assert_same(ours, evaluate(only(system, BORN), positions))


def test_an_accelerated_system_keeps_every_term(molecule):
    system, positions = molecule
    assert_same(evaluate(accelerate(copy.deepcopy(system)), positions), evaluate(system, positions))


def test_forces_are_the_slope_of_the_energy(molecule):
    system, positions = molecule
    terms, _ = read_terms(system)
    _, forces = terms(positions)
    rng = np.random.default_rng(1)
    for _ in range(5):
        step = 1e-6 * rng.standard_normal(positions.shape)
        slope = terms(positions + step)[0] - terms(positions - step)[0]
        assert slope == pytest.approx(-2 * np.sum(forces * step), rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-8 * np.abs(forces).max())


def test_molecules_far_apart_do_not_feel_each_other():
    # Large enough that slopes are not stored but made again.
    target = build("GAVS", STRAND)
    template = build_template(target.atoms, PROTOCOLS["amber14-gbn2"])
    positions = template.complete(target.native[None])[0]
    terms, _ = read_terms(template.system)
    copies = -(-6000 // len(positions))
    shift = np.arange(copies)[:, None, None] * np.array([1e6, 0.0, 0.0])
    pairs, born, neck = terms.pairs, terms.born, terms.neck
    atoms = len(positions) * np.arange(copies)[:, None, None]
    many = replace(
        terms,
        pairs=type(pairs)(
            *(np.tile(column, copies) for column in pairs[:3]),
            exclusions=(pairs.exclusions + atoms).reshape(-1, 2),
            exceptions=(pairs.exceptions + atoms).reshape(-1, 2),
            exception_parameters=np.tile(pairs.exception_parameters, (copies, 1)),
        ),
        born=type(born)(*(np.tile(column, copies) for column in born[:6]), *born[6:]),
        neck=type(neck)(np.tile(neck.kind, copies), np.tile(neck.depth, copies), np.tile(neck.distance, copies)),
    )
    energy, forces = terms(positions)
    total, all_forces = many((positions + shift).reshape(-1, 3))
    assert total == pytest.approx(copies * energy, rel=1e-5)
    np.testing.assert_allclose(all_forces.reshape(copies, -1, 3), forces[None].repeat(copies, 0), atol=0.1)


def charmm_system():
    return build_template(build("GAV", STRAND).atoms, PROTOCOLS["charmm36-gbn2"]).system


def test_parameters_of_a_pair_are_refused():
    system = charmm_system()
    (force,) = (f for f in system.getForces() if isinstance(f, openmm.CustomNonbondedForce))
    for k in range(force.getNumTabulatedFunctions()):
        table = force.getTabulatedFunction(k)
        width, height, values = table.getFunctionParameters()
        values = np.array(values).reshape(height, width)
        values[0, 1] = values[1, 0] = 2 * values[0, 1] + 1e-6
        table.setFunctionParameters(width, height, values.ravel())
    with pytest.raises(ValueError, match="NBFIX"):
        read_terms(system)


def test_what_the_kernel_does_not_know_is_refused():
    topology = build_template(build("GAV", STRAND).atoms, PROTOCOLS["amber14-gbn2"]).topology
    field = app.ForceField("amber14-all.xml", "implicit/gbn2.xml")
    with pytest.raises(ValueError, match="salt"):
        read_terms(field.createSystem(topology, implicitSolventKappa=1.0))
    with pytest.raises(ValueError, match="cutoff"):
        read_terms(field.createSystem(topology, nonbondedMethod=app.CutoffNonPeriodic))
    vacuum = app.ForceField("amber14-all.xml").createSystem(topology)
    forces = vacuum.getNumForces()
    with pytest.raises(ValueError, match="needs one NonbondedForce"):
        accelerate(vacuum)
    assert vacuum.getNumForces() == forces
