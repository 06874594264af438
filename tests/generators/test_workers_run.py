"""Whole runs of workers: models that give only the backbone, and networks without weights."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from command import Tiny, ebabench
from test_workers import CARD

from ebabench.io.structure_files import read_ensemble


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    """The card of a worker that gives N, CA, C and O."""
    shutil.copy(Path(__file__).parents[1].joinpath("faulty_worker.py"), tmp_path)
    (tmp_path / "faulty.toml").write_text(CARD.format(fault="only the backbone", provides="backbone", timeout=60))
    return tmp_path / "faulty.toml"


def rows(path: Path, key: str) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row[key]: row for row in csv.DictReader(file)}


def test_a_backbone_is_run_and_what_needs_more_is_not_available(backbone: Path, tiny: Tiny, tmp_path: Path) -> None:
    done = ebabench("run", "--model", str(backbone), *tiny.options, "--jobs", "1", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    targets = rows(tmp_path / "run" / "targets.csv", "target")
    assert set(targets) == {"AGS", "KDE", "FAV"}
    for row in targets.values():
        assert 0.3 < float(row["coverage"]) < 1
        assert float(row["pairwise_rmsd"]) > 0
        assert row["energy_w1"] == ""
    record = json.loads((tmp_path / "run" / "records" / "KDE.json").read_text())
    assert record["figures"]["reasons"]["energy_w1"]
    costs = json.loads((tmp_path / "run" / "manifest.json").read_text())["cost"]
    assert set(costs) == {"AGS", "KDE", "FAV"}
    assert all((one["parameters"], one["peak_memory_mib"]) == (1234, 12.5) for one in costs.values())
    assert all(one["seconds"] > 0 for one in costs.values())
    board = rows(tmp_path / "runs" / "leaderboards" / "tiny-v1.csv", "model")["faulty"]
    assert (board["status"], board["energy_w1"]) == ("official", "")
    assert "energy_w1: 3 of 3" in board["undefined"]


def test_random_weights_are_scored_and_never_ranked(backbone: Path, tiny: Tiny, tmp_path: Path) -> None:
    command = ["run", "--model", str(backbone), *tiny.options, "--jobs", "1"]
    done = ebabench(*command, "--random-weights", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not on the leaderboard: made with random weights, to test the plumbing: never ranked" in done.stdout
    assert not (tmp_path / "runs" / "leaderboards").exists()
    folder = tmp_path / "runs" / "tiny-v1" / "faulty-s1-n12-random-weights"
    assert read_ensemble(folder / "ensembles" / "AGS.npz", "AGS").random_weights
    assert json.loads((folder / "records" / "AGS.json").read_text())["random_weights"] is True
    resumed = ebabench(*command, "--out", str(folder), cwd=tmp_path)
    assert resumed.returncode == 2
    assert "random_weights: True there, False asked" in resumed.stderr


def test_only_workers_have_networks_without_weights(tmp_path: Path) -> None:
    done = ebabench("run", "--model", "eba", "--random-weights", cwd=tmp_path)
    assert done.returncode == 2
    assert "only workers build such networks" in done.stderr
    done = ebabench("run", "--model", "eba", "--device", "cuda:0,gpu", cwd=tmp_path)
    assert done.returncode == 2
    assert "'gpu' is none of cpu, cuda" in done.stderr
