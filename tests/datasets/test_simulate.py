"""Simulations: seeded, and after a kill they go on to the very same frames."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import openmm
import pytest
from command import SUITE, Tiny, ebabench

from ebabench.datasets.export import export, take_up
from ebabench.datasets.simulation import (
    Simulation,
    build_peptide,
    dynamics,
    inverted_centres,
    simulate,
    start_torsions,
)
from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError, RunError

# Three chunks of 100 frames, so that there is something to go on from.
LONG = Simulation("GA", "GA", 1, 0.06, 0.2, 300.0, seed=5, equilibration_ps=0.4)


def frames(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(folder / "frames.npz") as data:
        return data["positions"], data["energy"]


def test_a_killed_simulation_ends_with_the_same_frames(tmp_path: Path) -> None:
    whole = frames(simulate(LONG, tmp_path / "whole"))
    code = (
        "import sys, json; from pathlib import Path\n"
        "from ebabench.datasets.simulation import Simulation, simulate\n"
        "simulate(Simulation(**json.loads(sys.argv[1])), Path(sys.argv[2]))"
    )
    work = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps(asdict(LONG)), str(work)])
    while not list(work.glob("GA_R1/chunk_*.npz")):
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (work / "GA_R1" / "done.json").exists()
    resumed = frames(simulate(LONG, work))
    assert len(whole[0]) == LONG.frames == 301
    assert np.array_equal(whole[0], resumed[0])
    assert np.array_equal(whole[1], resumed[1])
    assert not list(work.glob("GA_R1/chunk_*"))


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    short = replace(LONG, nanoseconds=0.004)
    first, again = (frames(simulate(short, tmp_path / name))[0] for name in ("first", "again"))
    other = frames(simulate(replace(short, seed=6), tmp_path / "other"))[0]
    assert np.array_equal(first, again)
    assert not np.allclose(first[0], other[0], atol=0.5)


def test_what_another_setting_made_is_not_gone_on_with(tmp_path: Path) -> None:
    short = replace(LONG, nanoseconds=0.004)
    simulate(short, tmp_path)
    with pytest.raises(InputError) as refused:
        simulate(replace(short, temperature_k=310.0), tmp_path)
    assert refused.value.code == "simulate.other_settings"


def test_a_longer_simulation_begins_with_the_shorter_one(tmp_path: Path) -> None:
    folder = simulate(replace(LONG, nanoseconds=0.025), tmp_path / "grown")
    first = frames(folder)[0]
    topology = (folder / "topology.pdb").read_bytes()
    grown = frames(simulate(LONG, tmp_path / "grown"))
    whole = frames(simulate(LONG, tmp_path / "whole"))
    assert len(first) == 126
    assert np.array_equal(first, whole[0][:126])
    assert np.array_equal(grown[0], whole[0])
    assert np.array_equal(grown[1], whole[1])
    assert (folder / "topology.pdb").read_bytes() == topology


def test_an_export_is_gone_on_with_where_the_work_is_lost(tmp_path: Path) -> None:
    """The bytes of the longer export are the same as if nothing had been lost."""
    short, out = replace(LONG, nanoseconds=0.02), tmp_path / "out"
    simulate(short, tmp_path / "work")
    export([short], tmp_path / "work", out)
    take_up(LONG, out, tmp_path / "elsewhere")
    export([LONG], simulate(LONG, tmp_path / "elsewhere").parent, out)
    export([LONG], simulate(LONG, tmp_path / "work").parent, tmp_path / "whole")
    for name in ("GA.pdb", "GA_prod_R1_fit.xtc"):
        assert (out / "GA" / name).read_bytes() == (tmp_path / "whole" / "GA" / name).read_bytes()


def test_an_export_of_other_settings_is_not_taken_up(tmp_path: Path) -> None:
    short = replace(LONG, nanoseconds=0.004)
    simulate(short, tmp_path / "work")
    export([short], tmp_path / "work", tmp_path / "out")
    take_up(replace(short, seed=6), tmp_path / "out", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_damaged_chunk_is_made_again(tmp_path: Path) -> None:
    whole = frames(simulate(LONG, tmp_path / "whole"))
    folder = simulate(replace(LONG, nanoseconds=0.02), tmp_path / "cut")
    (folder / "chunk_00000101.npz").write_bytes(b"PK cut off")
    again = frames(simulate(LONG, tmp_path / "cut"))
    assert np.array_equal(whole[0], again[0])
    (folder / "frames.npz").write_bytes(b"PK cut off")
    with pytest.raises(InputError) as refused:
        simulate(LONG, tmp_path / "cut")
    assert refused.value.code == "simulate.damaged"


def test_two_processes_do_not_share_a_replica(tmp_path: Path) -> None:
    """The second one is told who is at it, and goes on with other replicas."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from ebabench.datasets.simulation import claimed\n"
        "with claimed(Path(sys.argv[1]) / 'GA_R1'):\n"
        "    print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(RunError, match=f"process {other.pid} on") as busy:
            simulate(LONG, tmp_path)
        other.kill()
    assert busy.value.code == "simulate.busy"
    simulate(replace(LONG, nanoseconds=0.002), tmp_path)


@pytest.mark.parametrize(
    "times", [{"frame_ps": 0.001}, {"frame_ps": 0.005}, {"frame_ps": 0.0}, {"equilibration_ps": 0.001}]
)
def test_times_that_the_step_does_not_divide_are_refused(tmp_path: Path, times: dict[str, float]) -> None:
    with pytest.raises(InputError) as refused:
        simulate(replace(LONG, **times), tmp_path)
    assert refused.value.code == "simulate.time"
    assert not list(tmp_path.iterdir())


def test_starts_are_jittered_about_what_was_asked() -> None:
    helix = replace(LONG, sequence="A" * 400, start=((-60.0, -45.0),) * 400)
    away = np.array(start_torsions(helix)) - (-60, -45)
    assert np.abs(away.mean(0)).max() < 1.5
    assert away.std() == pytest.approx(helix.jitter, rel=0.1)
    random = np.array(start_torsions(replace(LONG, sequence="A" * 400)))
    assert random[:, 0].min() >= -140
    assert random[:, 0].max() <= -60
    with pytest.raises(ValueError, match=r"start needs \(phi, psi\) for each of 2 residues"):
        start_torsions(replace(LONG, start=((-60.0, -45.0),)))


def test_provenance_tells_how_it_was_made(tiny: Tiny) -> None:
    told = json.loads((tiny.data / "KDE" / "provenance.json").read_text())
    simulations = load_suite(str(tiny.suite)).simulations("KDE")
    assert [one["digest"] for one in told] == [one.digest() for one in simulations]
    assert [one["seed"] for one in told] == [12, 13]
    assert all(one["forcefield"] == ["amber99sbildn.xml", "amber99_obc.xml"] for one in told)
    assert all(one["ns_per_day"] > 0 and one["openmm"] for one in told)


def test_what_is_not_finished_is_not_exported(tiny: Tiny, tmp_path: Path) -> None:
    simulations = load_suite(str(tiny.suite)).simulations("KDE")
    with pytest.raises(RunError, match="KDE_R1 does not hold the finished simulation"):
        export(simulations, tmp_path, tmp_path / "out")
    with pytest.raises(RunError, match="KDE_R2 does not hold the finished simulation"):
        export([simulations[0], replace(simulations[1], seed=99)], tiny.work, tmp_path / "out")


def test_simulating_again_makes_the_same_files(tiny: Tiny, tmp_path: Path) -> None:
    command = ["simulate", "--suite", str(tiny.suite), "--work", str(tiny.work), "--out", "again", "--target", "KDE"]
    done = ebabench(*command, "--jobs", "1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 targets of tiny-v1 are in again\n")
    for path in (tiny.data / "KDE").iterdir():
        assert (tmp_path / "again" / "KDE" / path.name).read_bytes() == path.read_bytes()
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["KDE"]


def test_a_failed_simulation_is_told_and_the_others_are_kept(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "work" / "AGS_R2").mkdir(parents=True)
    (tmp_path / "work" / "AGS_R2" / "simulation.json").write_text('{"identity": "another"}')
    command = ["simulate", "--suite", str(tiny.suite), "--work", "work", "--out", "out", "--jobs", "1"]
    done = ebabench(*command, "--target", "AGS", "--target", "FAV", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 of 4 simulations failed; AGS replica 2: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["FAV"]


def test_a_centre_turned_over_is_found() -> None:
    """L-amino acids have none; in the mirror image every centre is one."""
    simulation = Simulation("GATIV", "GATIV", 1, 0.1, 1.0, 300.0, seed=1)
    peptide = build_peptide(simulation.sequence, start_torsions(simulation), simulation.forcefield)
    assert inverted_centres(peptide.topology, peptide.positions) == []
    mirrored = inverted_centres(peptide.topology, peptide.positions * [1, 1, -1])
    assert mirrored == ["ALA2 CA", "THR3 CA", "THR3 CB", "ILE4 CA", "ILE4 CB", "VAL5 CA"]


def test_replicas_are_of_one_molecule() -> None:
    """Also where a conformation would decide a histidine's tautomer."""
    simulations = [Simulation("HEH", "HEH", 1, 0.1, 1.0, 300.0, seed=seed) for seed in range(4)]
    built = [build_peptide("HEH", start_torsions(one), one.forcefield) for one in simulations]
    names = [[atom.name for atom in peptide.topology.atoms()] for peptide in built]
    assert all(one == names[0] for one in names)
    assert names[0].count("HD1") == 2
    assert "HE2" not in names[0]


def test_force_field_and_friction_come_from_the_suite(tmp_path: Path) -> None:
    path = tmp_path / "own-v1.toml"
    own = 'forcefield = ["amber14-all.xml", "implicit/gbn2.xml"]\nfriction_per_ps = 0.3\ntimestep_fs = 2.0\n'
    path.write_text(
        SUITE.replace("tiny-v1", "own-v1").replace("[simulation]\n", f"[simulation]\nhydrogen_mass_amu = 1.008\n{own}")
    )
    one = load_suite(str(path)).simulations("AGS")[0]
    assert one.forcefield == ("amber14-all.xml", "implicit/gbn2.xml")
    assert (one.friction_per_ps, one.timestep_fs, one.hydrogen_mass_amu) == (0.3, 2.0, 1.008)
    peptide = build_peptide("AGS", start_torsions(one), one.forcefield)
    moving = dynamics(one, peptide.topology)
    assert any(isinstance(force, openmm.CustomGBForce) for force in moving.system.getForces())
