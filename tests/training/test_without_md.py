"""Alignment on own samples of targets without MD, beside those that have MD."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import Called

import ebabench
from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.system.registry import folder
from ebabench.training.data import load

SFT = folder("ebabench.models.eba") / "checkpoints" / "sft" / "model.safetensors"
EMBEDDED = folder("ebabench.datasets") / "peptides" / "peptides-val-v2"
WITH_MD, WITHOUT = ("YEPH", "THIC"), ("WQVK", "HGDP")
QUICK = ("steps=2", "batch_residues=64", "draws=2", "conformations=3", "reference=true", "precision=float32")


def write(place: Path) -> Path:
    """A training suite of four tetrapeptides."""
    head = (
        'id = "mixed-v1"\ntitle = "Mixed"\nsplit = "train"\nfamily = "peptides"\ntier = "md-implicit"\n'
        'protocol = "corrected"\nenergy = "amber14-gbn2-restrained"\nsamples = 10\nseed = 1\n'
        "[simulation]\ntemperature_k = 350.0\nnanoseconds = 85.0\nframe_ps = 200.0\nreplicas = 2\n"
        'forcefield = ["amber14-all.xml", "implicit/gbn2.xml"]\nfriction_per_ps = 0.3\n'
    )
    names = (*WITH_MD, *WITHOUT)
    place.write_text(head + "".join(f'[[targets]]\nname = "{name}"\nsequence = "{name}"\n' for name in names))
    return place


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite, the MD of two of its targets below ``data``, and four samples of each of the four in ``run``."""
    root = tmp_path_factory.mktemp("mixed")
    (root / "data").mkdir()
    for name in WITH_MD:
        (root / "data" / name).symlink_to(EMBEDDED / name)
    suite = write(root / "mixed-v1.toml")
    made = ebabench.sample("sft", str(suite), samples=4, data=root / "data", out=root / "run", settings={"steps": 3})
    made.check()
    return suite


def test_targets_without_md_are_sampled_and_named(mixed: Path) -> None:
    made = ebabench.sample("sft", str(mixed), samples=4, data=mixed.parent / "data", out=mixed.parent / "run",
                           settings={"steps": 3})  # fmt: skip
    assert any("2 of 4 targets" in remark for remark in made.remarks)
    for name in (*WITH_MD, *WITHOUT):
        assert len(made.load_ensemble(name) or ()) == 4
    assert set(made.identity.references or {}) == set(WITH_MD)


def test_own_samples_are_read_over_the_atoms_of_each_target(mixed: Path) -> None:
    root = mixed.parent
    read = {one.name: one.read() for one in load([str(mixed)], root / "data", 1, root / "run" / "ensembles")}
    assert set(read) == {*WITH_MD, *WITHOUT}
    references = reference_reader(load_suite(str(mixed)), root / "data")
    for name, one in read.items():
        assert one.positions.shape == (4, len(one.target.atoms), 3)
        if name in WITH_MD:
            np.testing.assert_array_equal(one.target.native, references(name).target.native)


@pytest.mark.parametrize("data", [True, False])
def test_a_model_is_aligned_on_them(mixed: Path, called: Called, data: bool) -> None:
    """With MD of some targets, and with no MD at all."""
    root, out = mixed.parent, Path("out")
    where = ("--data", str(root / "data")) if data else ()
    settings = [word for one in QUICK for word in ("--set", one)]
    status, _, errors = called(
        *("align", "--objective", "eba", "--suite", str(mixed), "--samples", str(root / "run" / "ensembles"), *where),
        *("--start", str(SFT), "--out", str(out), "--threads", "1", "--jobs", "1", *settings),
    )
    assert status == 0, errors
    assert json.loads((out / "config.json").read_text())["energy"] == "amber14-gbn2-restrained"
    assert not (out / "left_out.csv").exists()
    losses = [float(line.split(",")[1]) for line in (out / "log.csv").read_text().splitlines()[1:]]
    assert len(losses) == 2
    assert np.isfinite(losses).all()


def test_md_that_is_trained_on_is_refused_where_it_is_missing(mixed: Path, called: Called) -> None:
    common = ("align", "--objective", "sft", "--suite", str(mixed), "--out", "out", "--set", "steps=1")
    status, _, errors = called(*common, "--data", str(mixed.parent / "data"))
    assert status == 2
    assert f"no molecular dynamics of {WITHOUT[0]}" in errors
    assert f"ebabench simulate --suite mixed-v1 --target {WITHOUT[0]}" in errors
    status, _, errors = called(*common)
    assert status == 2
    assert "the references of mixed-v1 are not shipped" in errors
    assert not Path("out").exists()


def test_residual_energies_of_frames_of_md_are_refused(mixed: Path, called: Called) -> None:
    """Their density under the model is not that with which they were sampled."""
    status, _, errors = called(
        *("align", "--objective", "eba", "--suite", str(mixed), "--data", str(mixed.parent / "data"), "--out", "out"),
        *("--start", str(SFT), "--set", "residual=flow", "--set", "reference=true"),
    )
    assert status == 2
    assert "give their folder with --samples; residual = none is for frames of MD" in errors
    assert not Path("out").exists()


def test_a_folder_of_md_that_does_not_exist_is_no_suite_without_md(mixed: Path, tmp_path: Path) -> None:
    samples = mixed.parent / "run" / "ensembles"
    for refused in (
        lambda: load([str(mixed)], tmp_path / "typo", 1, samples),
        lambda: ebabench.sample("sft", str(mixed), samples=4, data=tmp_path / "typo", out=tmp_path / "run"),
    ):
        with pytest.raises(InputError) as caught:
            refused()
        assert (caught.value.code, caught.value.named["file"]) == ("references.missing", tmp_path / "typo")


def test_what_has_no_md_is_not_scored(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        ebabench.run("sft", str(mixed), samples=4, out=tmp_path / "run", leaderboards=None)
    assert refused.value.code == "references.missing"
