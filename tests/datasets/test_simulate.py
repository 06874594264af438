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
import pytest
from command import Tiny, ebabench

from ebabench.datasets.export import export
from ebabench.datasets.simulation import Simulation, build_peptide, inverted_centres, simulate, start_torsions
from ebabench.datasets.suites import load_suite
from ebabench.errors import RunError

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
    with pytest.raises(ValueError, match="other settings"):
        simulate(replace(short, temperature_k=310.0), tmp_path)


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
    (tmp_path / "work" / "AGS_R2" / "simulation.json").write_text('{"digest": "another"}')
    command = ["simulate", "--suite", str(tiny.suite), "--work", "work", "--out", "out", "--jobs", "1"]
    done = ebabench(*command, "--target", "AGS", "--target", "FAV", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 of 4 simulations failed; AGS replica 2: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["FAV"]


def test_a_centre_turned_over_is_found() -> None:
    """L-amino acids have none; in the mirror image every centre is one."""
    simulation = Simulation("GATIV", "GATIV", 1, 0.1, 1.0, 300.0, seed=1)
    modeller = build_peptide(simulation.sequence, start_torsions(simulation))
    positions = np.array(modeller.positions._value)
    assert inverted_centres(modeller.topology, positions) == []
    mirrored = inverted_centres(modeller.topology, positions * [1, 1, -1])
    assert mirrored == ["ALA2 CA", "THR3 CA", "THR3 CB", "ILE4 CA", "ILE4 CB", "VAL5 CA"]
