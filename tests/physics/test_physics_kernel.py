"""The kernel against OpenMM's own forces, term by term, and against the definition of a force."""

import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app
from proteins import STRAND, build

from ebabench.physics.accelerate import accelerate, read_terms
from ebabench.physics.bonded import read_bonded
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS

REFERENCE = openmm.Platform.getPlatformByName("Reference")
PAIRS = (openmm.NonbondedForce, openmm.CustomNonbondedForce)
BORN = (openmm.GBSAOBCForce, openmm.CustomGBForce)
BONDED = (openmm.HarmonicBondForce, openmm.HarmonicAngleForce, openmm.PeriodicTorsionForce)


def peptide(protocol):
    """The System of a peptide with all amino acids, and distorted positions in nm."""
    target = build("ACDEFGHIKLMNPQRSTVWY", STRAND)
    template = build_template(target.atoms, PROTOCOLS[protocol])
    positions = template.complete(target.native[None])[0]
    return template.system, positions + 0.003 * np.random.default_rng(0).standard_normal(positions.shape)


@pytest.fixture(scope="module", params=["amber14-gbn2", "amber99sbildn-obc", "charmm36-gbn2"])
def molecule(request):
    return peptide(request.param)


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
    table = terms.pairs.table.copy()
    table[:, 3] = 0
    return replace(terms, pairs=terms.pairs._replace(table=table), born=terms.born._replace(prefactor=0.0, surface=0.0))


def without_bonds(terms):
    return replace(terms, bonded=read_bonded(openmm.System())[0])


def test_lennard_jones_and_coulomb_are_openmm_s(molecule):
    system, positions = molecule
    terms, _ = read_terms(system)
    assert_same(without_bonds(without_solvent(terms))(positions), evaluate(only(system, PAIRS), positions))


def test_generalised_born_is_openmm_s(molecule):
    system, positions = molecule
    terms, _ = read_terms(system)
    ours = [a - b for a, b in zip(terms(positions), without_solvent(terms)(positions), strict=True)]
    assert_same(ours, evaluate(only(system, BORN), positions))


def test_bonds_angles_and_torsions_are_openmm_s(molecule):
    system, positions = molecule
    terms, _ = read_terms(system)
    ours = [a - b for a, b in zip(terms(positions), without_bonds(terms)(positions), strict=True)]
    assert_same(ours, evaluate(only(system, BONDED), positions))


def test_single_precision_is_the_same_to_its_precision(molecule):
    """Of pairs and solvent; bonded terms are of double precision in both."""
    system, positions = molecule
    terms, _ = read_terms(system)
    (energy, forces), (single_energy, single_forces) = terms(positions), terms.single()(positions)
    assert single_energy == pytest.approx(energy, rel=1e-5)
    np.testing.assert_allclose(single_forces, forces, atol=1e-5 * np.abs(forces).max())
    assert not np.array_equal(single_forces, forces)


def test_every_instruction_set_gives_the_same_bits(tmp_path):
    """Compiled for this processor and for the least that x86 or ARM has, in double and in single precision."""
    code = (
        "import hashlib, sys; sys.path[:0] = sys.argv[1:]; from test_physics_kernel import peptide\n"
        "from ebabench.physics.accelerate import read_terms\n"
        "for name in ('amber14-gbn2', 'amber99sbildn-obc'):\n"
        "    system, positions = peptide(name); terms, _ = read_terms(system)\n"
        "    for one in (terms, terms.single()):\n"
        "        energy, forces = one(positions)\n"
        "        print(float(energy).hex(), hashlib.sha256(forces.tobytes()).hexdigest())\n"
    )
    told = []
    for processor in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}):
        environment = os.environ | processor | {"NUMBA_CACHE_DIR": str(tmp_path / str(len(processor)))}
        here = Path(__file__).parent
        done = subprocess.run(
            [sys.executable, "-c", code, str(here), str(here.parent)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(done.stdout)
    assert told[0] == told[1]
    assert len(set(told[0].splitlines())) == 4


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


def repeated(system, copies):
    """The pair and solvent forces of a molecule that is there ``copies`` times."""
    many = openmm.System()
    n = system.getNumParticles()
    for _ in range(copies * n):
        many.addParticle(1.0)
    (pairs,), (born,) = ([f for f in system.getForces() if isinstance(f, kinds)] for kinds in (PAIRS, BORN))
    pairs, born = copy.deepcopy(pairs), copy.deepcopy(born)
    exceptions = pairs.getNumExceptions()
    for first in range(n, copies * n, n):
        for k in range(n):
            pairs.addParticle(*pairs.getParticleParameters(k))
            born.addParticle(born.getParticleParameters(k))
        for k in range(exceptions):
            i, j, *values = pairs.getExceptionParameters(k)
            pairs.addException(first + i, first + j, *values)
    many.addForce(pairs)
    many.addForce(born)
    return many


def test_molecules_far_apart_do_not_feel_each_other():
    # Large enough that slopes are not stored but made again.
    target = build("GAVS", STRAND)
    template = build_template(target.atoms, PROTOCOLS["amber14-gbn2"])
    positions = template.complete(target.native[None])[0]
    terms, _ = read_terms(template.system)
    system = template.system
    copies = -(-6000 // len(positions))
    shift = np.arange(copies)[:, None, None] * np.array([1e6, 0.0, 0.0])
    many, _ = read_terms(repeated(system, copies))
    assert not len(many.pairs.table)
    energy, forces = without_bonds(terms)(positions)
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
