"""The GPU's dynamics of many molecules, compiled as C++: the same physics as `ebabench.physics.langevin`."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "gpu_md"))
import molecules
import run

from ebabench.datasets.simulation import Frames, replica_folder, start
from ebabench.datasets.suites import load_suite
from ebabench.workflows.simulate import simulate

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

SUITE = """
id = "two-v1"
title = "Two peptides"
split = "test"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
samples = 5
draft = true
seed = 5

[simulation]
temperature_k = 350.0
nanoseconds = 0.004
frame_ps = 0.4
equilibration_ps = 2.0
replicas = 1
forcefield = ["amber14-all.xml", "implicit/gbn2.xml"]
friction_per_ps = 50.0

[[targets]]
name = "WRHP"
sequence = "WRHP"

[[targets]]
name = "CMDG"
sequence = "CMDG"
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "two-v1.toml"
    path.write_text(SUITE)
    return str(path)


@pytest.fixture(scope="module")
def folder(suite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu") / "leg"
    molecules.prepare([suite], folder, 0.2, 1, None)
    return folder


@pytest.fixture(scope="module")
def finished(folder):
    run.run(folder, folder.parent / "out", np.inf, host=True)
    out = folder.parent / "out" / folder.name
    for name in ("molecules.npz", "settings.json"):
        shutil.copy(folder / name, out)
    return out


def test_energies_and_forces_are_those_of_the_package(suite, folder):
    prepared = run.Molecules(folder)
    host = run.Host(prepared)
    _, energies = host.advance(1, 0, 0)
    for k, simulation in enumerate(load_suite(suite).simulations()):
        _, moving = start(simulation)
        energy, forces = moving.energy_and_forces()
        assert energies[k, 0, 0] + prepared.arrays["constant"][k] == pytest.approx(energy, abs=0.05)
        found = host.end()[prepared.first[k] : prepared.first[k + 1]].reshape(2, 3, -1)[1].T
        assert np.abs(found - forces).max() < 0.1  # kJ/mol/nm, where moving molecules have thousands


def test_bonds_to_hydrogen_keep_their_lengths_and_the_temperature_is_that_of_the_suite(suite, finished):
    told = json.loads((finished / "done.json").read_text())
    assert told["frames"] == 21
    assert told["temperature_k"] == pytest.approx(350, rel=0.08)
    leg = molecules.Leg(finished)
    for simulation in load_suite(suite).simulations():
        _, moving = start(simulation)
        leg.place(f"{suite}/{simulation.name}_R1", moving)
        constraints = moving._dynamics.constraints
        for members, lengths in zip(constraints.clusters, constraints.lengths.T, strict=True):
            bonds = np.linalg.norm(moving.positions[members[0]] - moving.positions[members[1:]], axis=1)
            assert bonds[lengths > 0] == pytest.approx(lengths[lengths > 0], abs=1e-9)


def test_a_trajectory_depends_on_its_seed_alone(folder):
    prepared = run.Molecules(folder)
    once, _ = run.Host(prepared).advance(2, 20, 0)
    host = run.Host(prepared)
    parts = [host.advance(1, 20, 0)[0], host.advance(1, 20, 20)[0]]
    for k, positions in enumerate(once):
        assert np.allclose(positions, np.concatenate([part[k] for part in parts]), atol=1e-5)
    prepared.arrays["seeds"] = prepared.arrays["seeds"] + np.uint64(1)
    other, _ = run.Host(prepared).advance(2, 20, 0)
    assert np.abs(other[0] - once[0]).max() > 1e-3


def test_what_diverges_is_named_and_the_others_are_kept(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    arrays = dict(np.load(broken / "molecules.npz"))
    first = int(arrays["counts"][0, 0])
    arrays["state"][3 * first : 6 * first] *= 1e4
    np.savez(broken / "molecules.npz", **arrays)
    assert not run.run(broken, tmp_path, np.inf, host=True)
    names = run.Molecules(folder).names
    assert json.loads((broken / "done.json").read_text())["diverged"] == names[:1]
    leg = molecules.Leg(broken)
    assert np.isfinite(leg.frames(names[1])[0]).all()
    with pytest.raises(ValueError, match="diverged"):
        leg.frames(names[0])


def test_frames_become_references(suite, finished, tmp_path):
    molecules.collect(suite, tmp_path / "work", [finished])
    one = load_suite(suite).simulations("CMDG")[0]
    kept = Frames.read(replica_folder(one, tmp_path / "work") / "frames.npz")
    assert len(kept.positions) == one.frames == 11  # every second one
    # Neighbours in the chain are bonded: what was packed is what was run.
    steps = np.linalg.norm(np.diff(kept.positions[:, :2], axis=1), axis=2)
    assert np.all((steps > 1.3) & (steps < 1.7))
    simulate(suite, out=tmp_path / "data", work=tmp_path / "work", jobs=1)
    provenance = json.loads((tmp_path / "data" / "CMDG" / "provenance.json").read_text())
    assert provenance[0]["machine"] == "C++"
