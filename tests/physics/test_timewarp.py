"""Energies and forces that the authors of Timewarp published, and OpenMM's own with a cutoff.

The published frames are not shipped. Name the folder that holds ``implicit-2olx-traj-arrays.npz`` and
``implicit-2olx-traj-state0.pdb`` (``simulation/testdata`` of https://github.com/microsoft/timewarp) in the environment
variable ``EBABENCH_TIMEWARP`` to run the tests that need them.
"""

import copy
import os
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from kinds import energy_of, forcefield, heavy_pdb, residues_of, with_hydrogens, write
from openmm import app, unit

from ebabench.errors import InputError
from ebabench.physics.accelerate import accelerate
from ebabench.physics.energy import potential_energies
from ebabench.physics.files import decomposition_table, energy_table
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS, get_protocol, with_cutoff
from ebabench.structures import Atoms

FOLDER = Path(os.environ.get("EBABENCH_TIMEWARP", ""))
TOPOLOGY = FOLDER / "implicit-2olx-traj-state0.pdb"
needs_timewarp = pytest.mark.skipif(
    not TOPOLOGY.is_file(), reason="EBABENCH_TIMEWARP names no folder of Timewarp's data"
)
OBC = "amber99sbildn-obc"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def published():
    with np.load(FOLDER / "implicit-2olx-traj-arrays.npz") as arrays:
        frames = slice(None, None, 50)
        found = {name: arrays[name][frames] for name in ("positions", "forces", "energies")}
    return found | {"energies": found["energies"][:, 0]}


@pytest.fixture
def trajectory(published, tmp_path):
    """The published frames as DCD, of single precision, beside their topology."""
    topology = mdtraj.load_topology(TOPOLOGY)
    mdtraj.Trajectory(published["positions"], topology).save_dcd(str(tmp_path / "nnqq.dcd"))
    (tmp_path / "nnqq.pdb").write_text(TOPOLOGY.read_text())
    return tmp_path / "nnqq.dcd"


@pytest.fixture
def made(tmp_path):
    """Timewarp's peptide as this project builds it."""
    return write(tmp_path / "made.pdb", *with_hydrogens(heavy_pdb(residues_of("NNQQ"))))


def peptide(path):
    topology = app.PDBFile(str(path)).topology
    rows = [(atom.name, atom.residue.name, atom.residue.index) for atom in topology.atoms()]
    return Atoms(*(np.array(column) for column in zip(*rows, strict=True)))


@needs_timewarp
def test_energies_with_the_cutoff_are_timewarp_s(trajectory, published):
    table = energy_table([trajectory], f"{OBC}@2nm")
    assert set(table["hydrogens"]) == {"given"}
    np.testing.assert_allclose(table["energy_kj_per_mol"], published["energies"], atol=0.005)


@needs_timewarp
def test_without_the_cutoff_they_differ_by_a_constant(trajectory, published):
    difference = energy_table([trajectory], OBC)["energy_kj_per_mol"] - published["energies"]
    assert np.ptp(difference) < 0.01
    assert difference.mean() == pytest.approx(166.304, abs=0.01)


@needs_timewarp
def test_the_kernel_s_forces_are_timewarp_s(published):
    """A peptide of this size is within the cutoff, which then shifts energies but not forces."""
    template = build_template(peptide(TOPOLOGY), PROTOCOLS[OBC])
    assert np.array_equal(template.given, np.arange(65))
    system = accelerate(copy.deepcopy(template.system))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    for positions, forces in zip(published["positions"], published["forces"], strict=True):
        context.setPositions(positions.astype(float))
        found = context.getState(getForces=True).getForces(asNumpy=True)._value
        np.testing.assert_allclose(found, forces, atol=0.05)
        assert np.abs(forces).max() > 500


@pytest.mark.parametrize("protocol", [OBC, "amber14-gbn2"])
def test_a_cutoff_is_openmm_s(protocol, tmp_path):
    chains = residues_of("GSYAK"), [(n, r, k, x + 18.0) for n, r, k, x in residues_of("EHWAG")]
    path = write(tmp_path / "two.pdb", *with_hydrogens(heavy_pdb(*chains)))
    pdb = app.PDBFile(str(path))
    system = forcefield(protocol).createSystem(
        pdb.topology,
        nonbondedMethod=app.CutoffNonPeriodic,
        nonbondedCutoff=1.2 * unit.nanometer,
        constraints=app.HBonds if PROTOCOLS[protocol].constrain_hydrogens else None,
    )
    as_read = np.float32(10 * np.array(pdb.positions.value_in_unit(unit.nanometer)))
    expected = energy_of(system, as_read.astype(float) / 10)
    table = energy_table([path], f"{protocol}@1.2nm")
    assert table["energy_kj_per_mol"][0] == pytest.approx(expected, abs=1e-6)
    assert abs(table["energy_kj_per_mol"][0] - energy_table([path], protocol)["energy_kj_per_mol"][0]) > 1


def test_energies_of_two_cutoffs_are_stored_apart(made):
    names = [OBC, f"{OBC}@1.5nm", f"{OBC}@2nm"]
    once = [energy_table([made], name)["energy_kj_per_mol"].to_numpy() for name in names]
    again = [energy_table([made], name)["energy_kj_per_mol"].to_numpy() for name in names]
    np.testing.assert_array_equal(once, again)
    assert len({get_protocol(name).key(minimise=False) for name in names}) == 3
    assert get_protocol(f"{OBC}@2.0nm") == get_protocol(f"{OBC}@2nm")


@pytest.mark.parametrize("cutoff", ["0nm", "-1nm", "2", "2A", "nannm", ""])
def test_a_cutoff_that_is_none_is_refused(cutoff):
    with pytest.raises(InputError) as refused:
        get_protocol(f"{OBC}@{cutoff}")
    assert refused.value.code == "energy.cutoff"


def test_two_cutoffs_that_contradict_each_other_are_refused():
    assert with_cutoff(f"{OBC}@2nm", 2.0) == with_cutoff(OBC, 2.0) == f"{OBC}@2nm"
    with pytest.raises(InputError) as refused:
        with_cutoff(f"{OBC}@2nm", 1.0)
    assert refused.value.code == "energy.cutoff"


def test_shares_of_an_energy_with_a_cutoff_are_refused(made):
    with pytest.raises(InputError) as refused:
        decomposition_table([made], f"{OBC}@2nm")
    assert refused.value.code == "energy.cutoff"


def test_a_minimisation_with_a_cutoff_ends_lower(made):
    positions = 10 * np.array(app.PDBFile(str(made)).positions.value_in_unit(unit.nanometer))[None]
    given, relaxed = (potential_energies(peptide(made), positions, f"{OBC}@2nm", minimise=m)[0] for m in (False, True))
    assert relaxed < given - 50
