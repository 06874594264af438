"""Training that a worker does: what it is handed, what it must leave, what is said when it does not."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import ebabench
from proteins import build as peptide

from ebabench.errors import InputError, RunError
from ebabench.generators.cards import Card
from ebabench.structures import Reference
from ebabench.training.data import Trajectories
from ebabench.training.exclusions import Exclusion
from ebabench.training.loop import TrainConfig
from ebabench.training.remote import finetune, worker_card

TARGET = peptide("GAK")
FRAMES = (TARGET.native + np.arange(4, dtype=np.float32)[:, None, None]).astype(np.float32)

CARD = """
name = "mine"
title = "Mine"
family = "mine"
paper = "none"
licence = "MIT"
script = "mine.py"
[training]
data = "none"
overlap = "not_trained"
evidence = "none"
[environment]
kind = "worker"
timeout = 1
[[checkpoints]]
name = "model"
url = "https://example.org/model.pt"
[sampling]
steps = 3
"""
# Trains for longer than a target may take, and leaves what it was asked for as its checkpoint.
SCRIPT = """
import json, shutil, sys, time
request = json.load(open(sys.argv[1]))
time.sleep(1.2)
sys.path.append(request["framework"])
import ebabench.training.objectives
shutil.copy(sys.argv[1], request["out"] + "/model.safetensors")
json.dump({"status": "ok"}, open("result.json", "w"))
"""


@pytest.fixture
def card(tmp_path: Path) -> Card:
    (tmp_path / "mine.toml").write_text(CARD)
    (tmp_path / "mine.py").write_text(SCRIPT)
    found = worker_card(str(tmp_path / "mine.toml"))
    assert found is not None
    return found


def trajectories(energies: np.ndarray | None) -> list[Trajectories]:
    return [Trajectories("GAK", (lambda _: Reference(TARGET, (FRAMES,), "md-implicit"),), 1, energies)]


def test_a_worker_is_handed_frames_energies_and_the_framework(card: Card, tmp_path: Path) -> None:
    energies = np.array([1.0, np.nan, 3.0, 4.0])
    config = TrainConfig(objective="eba", steps=7, seed=5)
    out = tmp_path / "out"
    checkpoint = finetune(card, trajectories(energies), config, out, random_weights=True)
    request = json.loads(checkpoint.read_text())
    assert request["verb"] == "finetune"
    assert request["training"]["objective"] == "eba"
    assert request["training"]["steps"] == 7
    assert request["seed"] == 5
    assert request["settings"] == {"steps": 3}
    with np.load(Path(request["data"]) / "GAK.npz", allow_pickle=False) as data:
        assert str(data["sequence"]) == "GAK"
        np.testing.assert_array_equal(data["positions"], FRAMES[[0, 2, 3]])
        np.testing.assert_array_equal(data["energies"], [1.0, 3.0, 4.0])
        assert data["atom_names"].tolist() == TARGET.atoms.name.tolist()
        assert data["residues"].tolist() == TARGET.atoms.residue.tolist()


def test_a_worker_says_how_far_it_is(card: Card, tmp_path: Path) -> None:
    """Whole lines count, whenever they come; what else the worker writes there does not."""
    says = """
import time
with open("progress.csv", "a", buffering=1) as file:
    file.write("0,2.5\\nWARNING: no, not this\\n1,")
    time.sleep(0.6)
    file.write("1.5\\n")
    time.sleep(0.6)
    file.write("2,nan\\n3")
"""
    (tmp_path / "mine.py").write_text(SCRIPT + says)
    told: list[tuple[int, float]] = []
    config = TrainConfig()
    finetune(card, trajectories(None), config, tmp_path / "out", None, "cpu", True, (), lambda *step: told.append(step))
    assert told[:2] == [(0, 2.5), (1, 1.5)]
    assert told[2][0] == 2
    assert np.isnan(told[2][1])
    assert len(told) == 3


def test_what_an_earlier_call_handed_over_is_not_trained_on(card: Card, tmp_path: Path) -> None:
    (tmp_path / "out" / "data").mkdir(parents=True)
    (tmp_path / "out" / "data" / "OLD.npz").touch()
    left_out = [Exclusion("OLD", None, "there are no samples of it")]
    finetune(card, trajectories(None), TrainConfig(), tmp_path / "out", random_weights=True, left_out=left_out)
    assert [path.name for path in (tmp_path / "out" / "data").iterdir()] == ["GAK.npz"]
    assert "OLD,,there are no samples" in (tmp_path / "out" / "left_out.csv").read_text()


def test_the_same_call_hands_over_the_same_bytes(card: Card, tmp_path: Path) -> None:
    """Else a run could not go on: what it is trained on is part of what it is."""
    seen = []
    for _ in range(2):
        finetune(card, trajectories(None), TrainConfig(), tmp_path / "out", random_weights=True)
        seen.append((tmp_path / "out" / "data" / "GAK.npz").read_bytes())
    assert seen[0] == seen[1]


def test_a_start_stands_in_for_the_weights(card: Card, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    start.touch()
    checkpoint = finetune(card, trajectories(None), TrainConfig(), tmp_path / "out", start)
    assert json.loads(checkpoint.read_text())["checkpoints"] == {"model": str(start)}


def test_without_weights_nothing_is_trained(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="the checkpoint 'model' is not shipped"):
        finetune(card, trajectories(None), TrainConfig(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    options = ["--objective", "eba", "--suite", "peptides-val-v1", "--out", "out"]
    done = ebabench("align", "--denoiser", str(card.path), *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the checkpoint 'model' is not shipped" in done.stderr
    assert not (tmp_path / "cache" / "energies").exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"status": "ok"}', "says ok, but left no"),
        ('{"status": "failed", "error": "this worker has no verb finetune"}', "has no verb finetune"),
        ('{"status": "failed", "reason": "out_of_memory"}', "ran out of memory: .*--set batch_residues=N"),
    ],
)
def test_a_worker_that_does_not_train(card: Card, tmp_path: Path, answer: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(f"open('result.json', 'w').write({answer!r})")
    with pytest.raises(RunError, match=said):
        finetune(card, trajectories(None), TrainConfig(), tmp_path / "out", random_weights=True)


def test_only_workers_train_elsewhere() -> None:
    assert worker_card("compact") is None
    assert worker_card("eba") is None
    assert worker_card("protenix") is not None
