"""``ebabench align`` as a user calls it, on a few embedded training peptides."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch
from command import Called, ebabench
from safetensors.torch import load_file

from ebabench.errors import InputError
from ebabench.models.eba.denoiser import InternalDenoiser
from ebabench.system.registry import folder
from ebabench.training.data import load
from ebabench.training.flow import Flow
from ebabench.training.loop import TrainConfig
from ebabench.training.stage import Stage, align

# Every amino acid must occur behind another residue, for the ideal geometry to be measured.
SEQUENCES = ("RKMMAAAAA", "IAFEGIECA", "EHRISHCQHL", "DEMSLSFKIPDK", "RYEMQHKVT", "WANLGLAK", "PIFRWSQI")
FEW = folder("ebabench.datasets") / "peptides" / "peptides-train-v1"
STEPS = ("--set", "steps=2", "--set", "batch_residues=64", "--threads", "1", "--jobs", "1")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven embedded peptides as a suite of their own."""
    root = tmp_path_factory.mktemp("align")
    data = root / "data" / "few-v1"
    data.mkdir(parents=True)
    targets = ""
    for sequence in SEQUENCES:
        (data / sequence).symlink_to(FEW / sequence)
        targets += f'\n[[targets]]\nname = "{sequence}"\nsequence = "{sequence}"\n'
    head = (
        'id = "few-v1"\ntitle = "Few"\nsplit = "train"\nfamily = "peptides"\ntier = "md-implicit"\n'
        'protocol = "corrected"\nenergy = "amber99sbildn-obc"\nsamples = 10\nseed = 1\n'
    )
    (root / "few-v1.toml").write_text(head + targets)
    return root / "few-v1.toml"


def _align(suite: Path, objective: str, out: str, *more: str) -> Path:
    command = ["align", "--objective", objective, "--suite", str(suite), "--data", "data", "--stride", "120"]
    done = ebabench(*command, "--out", out, *STEPS, *more, cwd=suite.parent)
    assert done.returncode == 0, done.stderr
    return suite.parent / out / "model.safetensors"


def test_a_model_is_trained_then_aligned(suite: Path) -> None:
    start = _align(suite, "sft", "sft")
    aligned = _align(suite, "eba", "eba", "--start", str(start.relative_to(suite.parent)))
    config = json.loads((aligned.parent / "config.json").read_text())
    assert config["command"].startswith("ebabench align --objective eba")
    assert config["train"]["objective"] == "eba"
    with (aligned.parent / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1"]
    target = load([str(suite)], suite.parent / "data", 120)[0].read().target
    samples = InternalDenoiser.load(aligned).sample(target, 2, seed=0, steps=2)
    assert samples.shape == (2, len(target.atoms), 3)
    assert np.isfinite(samples).all()


@pytest.mark.slow
def test_a_fresh_model_is_aligned_and_kept(suite: Path) -> None:
    """Its ideal geometry is measured whatever the objective: without, the last step could not be kept."""
    assert InternalDenoiser.load(_align(suite, "eba", "fresh")).geometry is not None


def test_few_sequences_fine_tune_a_model_with_the_geometry_that_it_has(suite: Path, called: Called) -> None:
    """Ideal bonds cannot be measured: some amino acids are in none of them."""
    few = suite.parent / "two-v1.toml"
    few.write_text(suite.read_text().replace('"few-v1"', '"two-v1"').split("[[targets]]")[0])
    for name in SEQUENCES[:2]:
        few.write_text(few.read_text() + f'\n[[targets]]\nname = "{name}"\nsequence = "{name}"\n')
    common = ("align", "--objective", "sft", "--suite", str(few), "--data", str(suite.parent / "data" / "few-v1"))
    status, _, errors = called(*common, "--stride", "120", "--out", "fresh", *STEPS)
    assert status == 2
    assert "Train on more sequences, or from a checkpoint" in errors
    start = folder("ebabench.models.eba") / "checkpoints" / "sft" / "model.safetensors"
    status, _, errors = called(*common, "--stride", "120", "--out", "tuned", "--start", str(start), *STEPS)
    assert status == 0, errors
    assert "bond lengths and angles stay those of" in errors
    before, after = (InternalDenoiser.load(path).geometry for path in (start, Path("tuned/model.safetensors")))
    assert before is not None
    assert after is not None
    assert torch.equal(before.length, after.length)
    assert torch.equal(before.link, after.link)


def test_a_run_is_made_again_from_its_own_settings(suite: Path, called: Called) -> None:
    more = ("--model", "width=32", "--model", "placement=frames", "--set", "crop=8", "--set", "seed=4")
    common = ("--suite", str(suite), "--data", str(suite.parent / "data"), "--stride", "120", *STEPS)
    status, _, errors = called("align", "--objective", "sft", *common, "--out", "small", *more)
    assert status == 0, errors
    assert not Path("small/prepared").exists()
    again = ("align", "--config", "small/config.json", "--data", str(suite.parent / "data"), "--threads", "1")
    status, _, errors = called(*again, "--out", "again")
    assert status == 0, errors
    first, second = (load_file(f"{name}/model.safetensors") for name in ("small", "again"))
    assert first.keys() == second.keys()
    assert all(bool((first[name] == second[name]).all()) for name in first)
    model = InternalDenoiser.load(Path("again/model.safetensors"))
    assert (model.config.width, model.config.placement) == (32, "frames")
    moving = ("--set", "ema=0", "--set", "learning_rate=0.05", "--set", "warmup=0", "--set", "freeze=true")
    frozen = ("--objective", "abdpo", *common, "--start", "small/model.safetensors", *moving)
    status, _, errors = called("align", *frozen, "--out", "frozen")
    assert status == 0, errors
    after = load_file("frozen/model.safetensors")
    status, _, errors = called("align", "--config", "frozen/config.json", *common, "--out", "fourth")
    assert status == 2
    assert "its run began from a checkpoint: name it with --start" in errors
    moved = {name.split(".")[1] for name in first if not bool((after[name] == first[name]).all())}
    assert moved >= {"coordinates", "blocks", "last"}
    assert not moved & {"types", "ends", "native", "separation", "distance"}


def test_a_run_is_not_made_again_of_other_conformations(suite: Path, tmp_path: Path) -> None:
    data = load([str(suite)], suite.parent / "data", 120)
    stage = Stage("compact", (str(suite),), 120, None, "ebabench align", data_sha256="another's")
    with pytest.raises(InputError, match="not the conformations of the run of these settings"):
        align(stage, data, TrainConfig(steps=1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_settings_file_is_checked(called: Called) -> None:
    for text, message in (
        ("[train]\nobjective = 'sft'\n", "give --suite"),
        ("stride = 'all'\n", "stride: expected one of train, model"),
        ("what = 3\n", "what: expected one of train, model"),
        ("train = {", "--config wrong.toml: "),
        ("suites = ['peptides-train-v1']\ntrain = {objective = 'sft', steps = 2.5}\n", "steps is a int, not 2.5"),
        ("suites = ['peptides-train-v1']\nmodel = {depht = 2}\ntrain = {objective = 'sft'}\n", "did you mean depth?"),
    ):
        Path("wrong.toml").write_text(text)
        status, _, errors = called("align", "--config", "wrong.toml", "--out", "out")
        assert status == 2
        assert message in errors
        assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--objective", "ebq"], "unknown objective 'ebq'"),
        (["--objective", "sft", "--set", "stepz=3"], "unknown setting 'stepz'; did you mean steps?"),
        (["--objective", "sft", "--set", "steps=many"], "steps is a int, not 'many'"),
        (["--objective", "sft", "--start", "nowhere"], "--start: no checkpoint at nowhere"),
    ],
)
def test_wrong_usage_is_told_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = ebabench("align", "--suite", "peptides-train-v1", "--out", "out", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_test_suite_is_not_for_training() -> None:
    with pytest.raises(InputError, match="peptides-v1 is a test suite"):
        load(["peptides-v1"], None, 1)


def test_no_test_or_validation_sequence_is_trained_on() -> None:
    from ebabench.datasets.suites import load_suite

    def sequences(*suites: str) -> set[str]:
        return {target.sequence for suite in suites for target in load_suite(suite).targets}

    trained = sequences("peptides-train-v1", "peptides-train-600k-v1", "peptides-train-v2", "peptides-train-600k-v2")
    held_out = sequences("peptides-v1", "peptides-v2", "peptides-val-v1", "peptides-val-v2")
    without_md = sequences("peptides-sequences-v2")
    assert not (trained | without_md) & held_out
    assert not without_md & trained


def test_every_amino_acid_is_trained_at_every_position() -> None:
    from ebabench.datasets.suites import load_suite

    four = [t.sequence for t in load_suite("peptides-train-v1").targets if len(t.sequence) == 4]
    assert len(four) >= 100
    for position in range(4):
        assert {sequence[position] for sequence in four} == set("ACDEFGHIKLMNPQRSTVWY")


def test_a_trained_flow_is_sampled_by_its_card_and_aligned_on_its_own_samples(suite: Path) -> None:
    flow = ("--denoiser", "compact-flow")
    start = _align(suite, "sft", "own", *flow)
    again = ("--suite", str(suite), "--data", "data/few-v1", "--samples", "4", "--out", "run")
    done = ebabench("sample", "--model", "own/own.toml", *again, cwd=suite.parent)
    assert done.returncode == 0, done.stderr
    aligned = _align(
        suite,
        "eba",
        "tilted",
        *flow,
        "--start",
        str(start),
        "--stride",
        "1",
        "--samples",
        "run/ensembles",
        "--set",
        "reference=true",
        "--set",
        "residual=loss",
    )
    assert isinstance(InternalDenoiser.load(aligned).process, Flow)
    assert [
        len(one.read().positions)
        for one in load([str(suite)], suite.parent / "data", 1, suite.parent / "run/ensembles")
    ] == [4] * 7


def mdgen(root: Path, name: str, positions: np.ndarray) -> None:
    (root / name).mkdir(parents=True)
    topology = mdtraj.load_pdb(str(FEW / name / f"{name}.pdb"))
    topology.save(str(root / name / f"{name}.pdb"))
    mdtraj.Trajectory(positions / 10, topology.topology).save(str(root / name / f"{name}.xtc"))


def timewarp(root: Path, name: str, positions: np.ndarray) -> None:
    root.mkdir(exist_ok=True)
    shutil.copy(FEW / name / f"{name}.pdb", root / f"{name}-traj-state0.pdb")
    np.savez(root / f"{name}-traj-arrays.npz", positions=positions / 10)


@pytest.mark.parametrize("lay", [mdgen, timewarp])
def test_md_of_other_layouts_is_trained_on(suite: Path, tmp_path: Path, lay: Callable[..., None]) -> None:
    expected = {}
    for one in load([str(suite)], suite.parent / "data", 120):
        native = mdtraj.load_pdb(str(FEW / one.name / f"{one.name}.pdb"))
        frames = mdtraj.load_xtc(str(FEW / one.name / f"{one.name}_prod_R1_fit.xtc"), native)[:240].xyz * 10
        lay(tmp_path / "md", one.name, frames)
        heavy = [atom.index for atom in native.topology.atoms if atom.element.symbol != "H"]
        expected[one.name] = frames[::120][:, heavy]
    found = {one.name: one.read().positions for one in load([str(suite)], tmp_path / "md", 120)}
    assert list(found) == list(expected)
    for name, positions in found.items():
        np.testing.assert_allclose(positions, expected[name], atol=0.011)  # the precision of XTC
    more = tmp_path / "few-v1.toml"
    more.write_text(suite.read_text() + '\n[[targets]]\nname = "GGG"\nsequence = "GGG"\n')
    with pytest.raises(InputError, match="no trajectories of 1 of the 8 targets of few-v1: GGG") as refused:
        load([str(more)], tmp_path / "md", 120)
    assert refused.value.code == "references.missing"


def test_samples_of_other_targets_are_refused(suite: Path) -> None:
    root = suite.parent / "strangers"
    root.mkdir()
    (root / "XYZ.pdb").write_text("")
    with pytest.raises(InputError, match="no ensembles of the targets"):
        load([str(suite)], suite.parent / "data", 1, root)
