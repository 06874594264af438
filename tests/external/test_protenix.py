"""Protenix in its own environment, and EBA's release on the older one that it fits: sampled, loaded, fine-tuned."""

import ast
import csv
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exercise import TARGET, Exercise, call, check_contract, exercise, heavy, run
from safetensors.numpy import load_file

import ebabench
from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import RunError
from ebabench.generators import environments, workers
from ebabench.generators.cards import Card
from ebabench.physics.energy import potential_energies
from ebabench.system.subprocesses import StoppedError
from ebabench.training.data import Trajectories
from ebabench.training.loop import TrainConfig
from ebabench.training.remote import finetune

pytestmark = pytest.mark.external

PEPTIDE = "CGLCHVFGKP"
# Three conformations at a time under two draws of noise: what the peptide's ten residues make of a batch.
TRAINING = {"objective": "eba", "steps": 12, "conformations": 3, "draws": 2, "batch_residues": 60, "beta": 0.4}
TRAINING |= {"learning_rate": 1e-3, "warmup": 5, "checkpoint_every": 4, "precision": "float32"}
# {"model": weights}, the names as distributed training leaves them, of the small network that random weights get.
CHECKPOINT = """
import pathlib, sys, torch
import af3_network
af3_network.load(pathlib.Path(sys.argv[1]).resolve())
torch.manual_seed(1)
weights = af3_network.build(sys.argv[3], small=True).state_dict()
torch.save({"model": {"module." + name: value for name, value in weights.items()}, "step": 7}, sys.argv[2])
"""
LOAD = """
import pathlib, sys, torch
import af3_network
af3_network.load(pathlib.Path(sys.argv[1]).resolve())
torch.manual_seed(2)
network = af3_network.build(sys.argv[3], small=True, blank=True)
try:
    af3_network.read_weights(network, pathlib.Path(sys.argv[2]))
    given = torch.load(sys.argv[2])["model"]
    said = all(torch.equal(given["module." + name], value) for name, value in network.state_dict().items())
except af3_network.UnsuitableError as error:
    said = error
pathlib.Path(sys.argv[4]).write_text(str(said))
"""
ALIGN = """
import os, pathlib, sys
import af3_network
cache, alignment, said = (pathlib.Path(path).resolve() for path in sys.argv[1:4])
os.chdir(said.parent)
af3_network.load(cache)
features, _ = af3_network.featurise("peptide", "GYDPETGTWG", alignment, cache)
said.write_text(str([features["msa"].tolist(), features["has_deletion"].int().tolist()]))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Exercise:
    return exercise("protenix", tmp_path_factory.mktemp("protenix"))


@pytest.fixture(scope="module")
def eba(tmp_path_factory: pytest.TempPathFactory) -> Exercise:
    return exercise("eba-protenix", tmp_path_factory.mktemp("eba-protenix"))


@pytest.fixture(scope="module")
def three() -> Trajectories:
    """Three frames of molecular dynamics with their energies."""
    suite = load_suite("peptides-train-v1")
    assert suite.energy is not None
    read = reference_reader(suite, None)
    stride = -(-len(read(PEPTIDE).replicas[0]) // 3)
    one = Trajectories(PEPTIDE, (read,), stride)
    seen = one.read()
    assert len(seen.positions) == 3
    return replace(one, energies=potential_energies(seen.target.atoms, seen.positions, suite.energy))


@pytest.fixture(scope="module")
def frames(three: Trajectories, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as a worker is handed them."""
    folder, seen = tmp_path_factory.mktemp("frames"), three.read()
    atoms = seen.target.atoms
    columns = {"atom_names": atoms.name, "residues": atoms.residue, "sequence": np.array(atoms.sequence)}
    np.savez(folder / f"{PEPTIDE}.npz", positions=seen.positions, energies=seen.energies, **columns)
    return folder


def request(card: Card, frames: Path, out: Path, **training: Any) -> dict[str, Any]:
    """To train the random small network."""
    return {
        "verb": "finetune",
        "training": TRAINING | training,
        "data": str(frames),
        "out": str(out),
        "framework": str(Path(ebabench.__file__).parents[1]),
        "random_weights": True,
        "settings": dict(card.sampling) | {"cycles": 2},
    }


def losses(out: Path) -> list[float]:
    with (out / "log.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_it_samples(done: Exercise) -> None:
    check_contract(done)
    assert done.versions["protenix"] == "2.0.0"


def test_it_gives_every_heavy_atom(done: Exercise) -> None:
    assert [names - {"OXT"} for names in done.names] == heavy(TARGET)


def test_the_older_one_samples_too(eba: Exercise) -> None:
    check_contract(eba)
    assert eba.versions["protenix"] == "0.3.9"
    assert [names - {"OXT"} for names in eba.names] == heavy(TARGET)


def test_a_checkpoint_is_loaded_whole_or_not_at_all(done: Exercise, eba: Exercise, tmp_path: Path) -> None:
    """EBA's release has the parameters of Protenix 0.2, which Protenix 2 must refuse."""
    said: dict[tuple[str, str], str] = {}
    cards = {one.card.name: one.card for one in (done, eba)}
    for card in cards.values():
        run(card, CHECKPOINT, tmp_path / "cache", tmp_path / f"{card.name}.pt", card.sampling["architecture"])
    for reader in cards.values():
        for name in cards:
            text = tmp_path / "said"
            run(reader, LOAD, tmp_path / "cache", tmp_path / f"{name}.pt", reader.sampling["architecture"], text)
            said[reader.name, name] = text.read_text()
    assert said["protenix", "protenix"] == said["eba-protenix", "eba-protenix"] == "True"
    assert "is of another architecture" in said["protenix", "eba-protenix"]
    assert "is of another architecture" in said["eba-protenix", "protenix"]


def test_an_alignment_is_read_alike_by_both(done: Exercise, eba: Exercise, tmp_path: Path) -> None:
    alignment = tmp_path / "alignment.a3m"
    alignment.write_text(">query\nGYDPETGTWG\n>one\nGYDPETGTWF\n>two\n-YDPEaTGTWG\n")
    said = []
    for card in (done.card, eba.card):
        run(card, ALIGN, tmp_path / "cache", alignment, tmp_path / "said")
        said.append(ast.literal_eval((tmp_path / "said").read_text()))
    distinct = [{(*row, *skipped) for row, skipped in zip(*one, strict=True)} for one in said]
    assert distinct[0] == distinct[1]  # Protenix 2 has the sequence twice, as the paired alignment that there is not
    rows, deletions = said[1]
    assert [len(row) for row in rows] == [10, 10, 10]
    assert rows[1][:9] == rows[0][:9]
    assert rows[2][1:] == rows[0][1:]
    assert len({rows[0][0], rows[2][0]}) == len({rows[0][9], rows[1][9]}) == 2
    assert np.argwhere(deletions).tolist() == [[2, 5]]


def test_weights_that_are_missing_are_named(done: Exercise, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the request has no checkpoint model"):
        call(done.card, {}, tmp_path / "call")


@pytest.mark.parametrize("name", ["protenix", "eba-protenix"])
def test_alignment_lowers_the_loss_of_the_diffusion_module_alone(
    name: str, done: Exercise, eba: Exercise, three: Trajectories, tmp_path: Path
) -> None:
    card = {"protenix": done, "eba-protenix": eba}[name].card
    still = TRAINING | {"steps": 1, "learning_rate": 0.0}
    # The older network's last layers are zero at first, so that it begins slowly.
    aligned = TRAINING | {"steps": 40, "ema": 0.5, "learning_rate": {"protenix": 1e-3, "eba-protenix": 1e-2}[name]}
    for folder, training in (("still", still), ("out", aligned)):
        finetune(card, [three], TrainConfig(**training), tmp_path / folder, random_weights=True)
    found = losses(tmp_path / "out")
    assert len(found) == 40
    assert np.mean(found[-10:]) < 0.9 * np.mean(found[:10])
    before, after = (load_file(tmp_path / folder / "model.safetensors") for folder in ("still", "out"))
    assert before.keys() == after.keys()
    changed = {name.split(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"diffusion_module"}


def test_chains_are_cropped_for_plain_denoising(done: Exercise, frames: Path, tmp_path: Path) -> None:
    crops = {"objective": "sft", "crop": 4, "accumulate": 2, "steps": 3}
    call(done.card, request(done.card, frames, tmp_path / "out", batch_residues=4, **crops), tmp_path / "call")
    assert len(losses(tmp_path / "out")) == 3
    with pytest.raises(RunError, match="crops differ in atoms: one a batch"):
        call(done.card, request(done.card, frames, tmp_path / "two", batch_residues=8, **crops), tmp_path / "call two")


def test_a_stopped_run_goes_on_to_the_same_weights(done: Exercise, frames: Path, tmp_path: Path) -> None:
    call(done.card, request(done.card, frames, tmp_path / "whole"), tmp_path / "call whole")
    stop, folder, out = threading.Event(), tmp_path / "call stopped", tmp_path / "out"
    folder.mkdir()
    rest = {"samples": 2, "seed": 7, "checkpoints": {}, "cache": str(folder)}
    asked = rest | request(done.card, frames, out)

    def once_begun() -> None:
        while not (out / "state.pt").exists():
            time.sleep(0.01)
        stop.set()

    watch = threading.Thread(target=once_begun, daemon=True)
    watch.start()
    start = workers.Call(done.card, environments.python(done.card), "cpu", folder / "log.txt", stop)
    with pytest.raises(StoppedError):
        start(asked, TARGET, folder)
    assert not (out / "model.safetensors").exists()
    call(done.card, request(done.card, frames, out), tmp_path / "call again")
    assert losses(out) == losses(tmp_path / "whole")
    weights, undisturbed = load_file(out / "model.safetensors"), load_file(tmp_path / "whole" / "model.safetensors")
    assert all(np.array_equal(weights[name], undisturbed[name]) for name in undisturbed)


def test_a_loss_that_is_not_finite_stops_training(done: Exercise, frames: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"not finite at step 1 .targets {PEPTIDE}.; the last good state is kept in"):
        call(done.card, request(done.card, frames, tmp_path / "out", learning_rate=1e30), tmp_path / "call")
    assert (tmp_path / "out" / "state.pt").exists()


def test_a_frame_that_is_not_finite_is_refused(done: Exercise, frames: Path, tmp_path: Path) -> None:
    with np.load(frames / f"{PEPTIDE}.npz") as data:
        arrays = dict(data)
    arrays["positions"][1, 5, 2] = np.nan
    np.savez(tmp_path / f"{PEPTIDE}.npz", **arrays)
    with pytest.raises(RunError, match=f"{PEPTIDE}: frame 2 is not finite"):
        call(done.card, request(done.card, tmp_path, tmp_path / "out"), tmp_path / "call")
