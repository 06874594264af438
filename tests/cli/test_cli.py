"""The command line end to end on a tiny suite: what it writes, how it goes on, and what it says when it cannot."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import Tiny, ebabench

RUN = Path("runs") / "tiny-v1" / "static-s1-n12"

# A model that a card beside it names; what it does wrong is in a file, so that it can be mended.
MODULE = """
import time
from pathlib import Path
import numpy as np
from ebabench.structures import Ensemble

class Shaking:
    def sample(self, target, samples, seed):
        fault = Path(__file__).with_name("fault").read_text()
        if fault == "slow":
            time.sleep(0.5)
        if fault == "few" and target.name == "KDE":
            samples -= 1
        noise = np.random.default_rng(seed).normal(scale=0.1, size=(samples, *target.native.shape))
        if fault == "nan" and target.name == "KDE":
            noise[0, 0, 0] = np.nan
        return Ensemble(target.name, target.atoms, (target.native + noise).astype(np.float32))

def build(card, resources):
    return Shaking()
"""
CARD = """
name = "shaking"
title = "Shaking"
family = "test"
paper = "none"
licence = "MIT"
entry = "shaking_module:build"
[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"
"""


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Ended with that code and one line that has all the words."""
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert "ebabench: " in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def finished(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `ebabench run --model static` was done."""
    folder = tmp_path_factory.mktemp("finished")
    done = ebabench("run", "--model", "static", *tiny.options, "--jobs", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "basin_populations_tv" in done.stdout
    assert "the leaderboard is runs/leaderboards/tiny-v1.csv" in done.stdout
    return folder


@pytest.fixture
def shaking(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "shaking.toml").write_text(CARD)
    (folder / "shaking_module.py").write_text(MODULE)
    (folder / "fault").write_text("")
    return folder / "shaking.toml"


def tables(folder: Path) -> dict[str, bytes]:
    files = [folder / "targets.csv", folder / "summary.csv", *sorted((folder / "records").iterdir())]
    return {path.name: path.read_bytes() for path in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_a_folder_that_describes_itself(finished: Path) -> None:
    manifest = json.loads((finished / RUN / "manifest.json").read_text())
    assert manifest["identity"]["card"]["sampling"] == {"amplitude": 0.3}
    assert manifest["identity"]["samples"] == 12
    assert [row["target"] for row in rows(finished / RUN / "targets.csv")] == ["AGS", "KDE", "FAV"]
    assert {"rmsf_r", "pairwise_rmsd", "md_pca_w2", "energy_w1"} <= {
        row["metric"] for row in rows(finished / RUN / "summary.csv")
    }


def test_a_run_updates_the_leaderboard(finished: Path) -> None:
    by_model = {row["model"]: row for row in rows(finished / "runs" / "leaderboards" / "tiny-v1.csv")}
    assert by_model["static"]["status"] == "official"
    assert float(by_model["static"]["pairwise_rmsd"]) > 0
    assert "(floor)" in by_model


def test_the_same_command_again_changes_no_byte(finished: Path, tiny: Tiny) -> None:
    before, board = tables(finished / RUN), (finished / "runs" / "leaderboards" / "tiny-v1.csv").read_bytes()
    done = ebabench("run", "--model", "static", *tiny.options, cwd=finished)
    assert done.returncode == 0, done.stderr
    assert tables(finished / RUN) == before
    assert (finished / "runs" / "leaderboards" / "tiny-v1.csv").read_bytes() == board


def test_the_two_halves_make_the_same_run(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    done = ebabench("sample", "--model", "static", *tiny.options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"ensembles are in {RUN / 'ensembles'}\n")
    for path in (tmp_path / RUN / "ensembles").iterdir():
        assert path.read_bytes() == (finished / RUN / "ensembles" / path.name).read_bytes()
    options = ["--ensembles", str(RUN / "ensembles"), "--name", "again", "--jobs", "1"]
    done = ebabench("score", *options, *tiny.options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = tmp_path / "runs" / "tiny-v1" / "again"
    assert (again / "targets.csv").read_bytes() == (finished / RUN / "targets.csv").read_bytes()


def test_a_killed_run_goes_on_to_the_same_tables(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    """Killed outright as soon as there is an ensemble, and again as soon as there is a record."""
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", "run", "--model", "static", "--jobs", "1"]
    for kind in ("ensembles", "records"):
        process = subprocess.Popen([*command, *tiny.options], cwd=tmp_path, stderr=subprocess.DEVNULL)
        while not list((tmp_path / RUN / kind).glob("[!.]*")):
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / RUN / "targets.csv").exists()
    done = ebabench("run", "--model", "static", *tiny.options, "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / RUN) == tables(finished / RUN)


def test_an_interrupted_run_says_what_is_kept(tiny: Tiny, shaking: Path, tmp_path: Path) -> None:
    shaking.with_name("fault").write_text("slow")
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", "sample", "--model", str(shaking)]
    # What was started in the background ignores SIGINT, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([*command, *tiny.options], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    kept = tmp_path / "runs" / "tiny-v1" / "shaking-s1-n12" / "ensembles"
    while not (kept / "AGS.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    refused(
        subprocess.CompletedProcess([], process.returncode, "", told),
        1, "interrupted; kept in runs/tiny-v1/shaking-s1-n12: ", "ensembles and 0 records; the same command goes on",
    )  # fmt: skip
    shaking.with_name("fault").write_text("")
    first = (kept / "AGS.npz").read_bytes()
    assert ebabench("sample", "--model", str(shaking), *tiny.options, cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in kept.iterdir()) == ["AGS.npz", "FAV.npz", "KDE.npz"]
    assert (kept / "AGS.npz").read_bytes() == first


@pytest.mark.parametrize(
    ("fault", "reason"), [("few", "11 conformations, 12 were asked for"), ("nan", "1 of 12 conformations")]
)
def test_a_faulty_model_loses_one_target_and_can_be_mended(
    tiny: Tiny, shaking: Path, tmp_path: Path, fault: str, reason: str
) -> None:
    shaking.with_name("fault").write_text(fault)
    command = ["sample", "--model", str(shaking), *tiny.options, "--out", "out"]
    refused(
        ebabench(*command, cwd=tmp_path),
        1,
        "1 of 3 targets failed",
        reason,
    )
    assert sorted(path.name for path in (tmp_path / "out" / "ensembles").iterdir()) == ["AGS.npz", "FAV.npz"]
    shaking.with_name("fault").write_text("")
    assert ebabench(*command, cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "ensembles" / "KDE.npz").exists()


def test_a_run_with_a_failed_target_is_scored_and_marked(tiny: Tiny, shaking: Path, tmp_path: Path) -> None:
    shaking.with_name("fault").write_text("nan")
    done = ebabench("run", "--model", str(shaking), *tiny.options, "--jobs", "1", cwd=tmp_path)
    refused(done, 1, "1 of 3 targets failed", "not finite", "the same command tries again")
    (row,) = [row for row in rows(tmp_path / "runs" / "leaderboards" / "tiny-v1.csv") if row["model"] == "shaking"]
    assert (row["status"], row["targets"]) == ("incomplete", "2/3")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--model", "statik"], ["unknown model 'statik'", "did you mean static"]),
        (["run", "--model", "static", "--suite", "peptide-v1"], ["unknown suite", "did you mean peptides-v1"]),
        (["run", "--model", "static", "--samples", "1"], ["--samples"]),
        (["run", "--model", "static", "--samples", "some"], ["--samples"]),
        (["run"], ["Missing option '--model'", "ebabench run --help"]),
        (["rum"], ["No such command 'rum'"]),
        ([], ["Missing command"]),
        (["list", "modells"], ["modells", "models"]),
        (["run", "--model", "no.toml"], ["cannot read the card", "no.toml: No such file"]),
        (["sample", "--model", "static", "--suite", "no.toml"], ["cannot read the suite", "no.toml: No such file"]),
        (["leaderboard", "--metric", "rmsf_q"], ["unknown metric 'rmsf_q'", "rmsf_r"]),
        (["compare", "nowhere"], ["two run folders"]),
        (["compare", "nowhere", "there"], ["nowhere is not a run folder"]),
        (["simulate", "--suite", "peptides-v1", "--target", "KLEE"], ["unknown target", "did you mean KLED"]),
        (["energy", ".", "--forcefield", "amber99sbildn-obc"], [".: is a folder; give the files in it"]),
        (["energy", "no.pdb", "--forcefield", "amber99sbildn-obc"], ["no.pdb: no such file"]),
        (["score", "--ensembles", ".", "--name", "x", "--out", "o"], ["either --suite or --reference"]),
        (
            ["score", "--ensembles", ".", "--name", "x", "--out", "o", "--suite", "peptides-v1"],
            ["no conformations in it"],
        ),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    refused(ebabench(*arguments, cwd=tmp_path), 2, *words)
    assert not list(tmp_path.iterdir())


def test_a_card_that_breaks_its_schema(tiny: Tiny, shaking: Path, tmp_path: Path) -> None:
    shaking.write_text(CARD.replace("licence", "license"))
    done = ebabench("run", "--model", str(shaking), *tiny.options, cwd=tmp_path)
    refused(done, 2, "shaking.toml: licence: Field required; license: Extra inputs are not permitted")


def test_a_checkpoint_that_is_not_the_one_on_the_card(tiny: Tiny, shaking: Path, tmp_path: Path) -> None:
    module = MODULE.replace("return Shaking()", "card.checkpoint('main')\n    return Shaking()")
    shaking.with_name("shaking_module.py").write_text(module)
    shaking.with_name("weights").write_bytes(b"other")
    checkpoint = f'\n[[checkpoints]]\nname = "main"\nfile = "weights"\nsize = 5\nsha256 = "{"0" * 64}"\n'
    shaking.write_text(CARD + checkpoint)
    done = ebabench("run", "--model", str(shaking), *tiny.options, cwd=tmp_path)
    refused(done, 2, f"weights is not the one on the card {shaking}", f"expected 5 bytes with {'0' * 64}")
    assert not (tmp_path / "runs").exists()


def test_a_truncated_reference_stops_before_anything_is_made(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.data, tmp_path / "data")
    path = tmp_path / "data" / "KDE" / "KDE_prod_R1_fit.xtc"
    path.write_bytes(path.read_bytes()[:-50])
    done = ebabench("run", "--model", "static", "--suite", str(tiny.suite), "--data", "data", cwd=tmp_path)
    refused(done, 2, "KDE_prod_R1_fit.xtc")
    assert not (tmp_path / "runs").exists()


def test_a_truncated_ensemble_is_one_failed_target(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(finished / RUN / "ensembles", tmp_path / "given")
    path = tmp_path / "given" / "KDE.npz"
    path.write_bytes(path.read_bytes()[:200])
    options = ["--ensembles", "given", "--name", "x", "--out", "out", "--jobs", "1", "--reference", str(tiny.data)]
    refused(
        ebabench("score", *options, cwd=tmp_path), 1, "1 of 3 targets failed, KDE: ", "KDE.npz: cannot be read as npz"
    )
    told = {row["target"]: row["error"] for row in rows(tmp_path / "out" / "targets.csv")}
    assert [name for name, error in told.items() if error] == ["KDE"]


def test_the_folder_of_another_run_is_left_alone(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    before = tables(finished / RUN)
    done = ebabench("run", "--model", "static", "--seed", "9", "--out", str(RUN), *tiny.options, cwd=finished)
    refused(done, 2, "belongs to another run", "seed: 1 there, 9 asked")
    assert tables(finished / RUN) == before
    (tmp_path / "diary.txt").write_text("mine")
    done = ebabench("run", "--model", "static", "--out", str(tmp_path), *tiny.options, cwd=tmp_path)
    refused(done, 2, "not empty and not a run folder")


def test_other_references_make_another_run_and_another_table(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "done")
    shutil.copytree(tiny.data, tmp_path / "data")
    kde = tmp_path / "data" / "KDE"
    shutil.copy(kde / "KDE_prod_R2_fit.xtc", kde / "KDE_prod_R1_fit.xtc")
    options = ["--suite", str(tiny.suite), "--data", str(tmp_path / "data"), "--jobs", "1"]
    before = tables(tmp_path / "done" / RUN)
    done = ebabench("run", "--model", "static", *options, cwd=tmp_path / "done")
    refused(done, 2, "belongs to another run (other references of KDE)")
    assert tables(tmp_path / "done" / RUN) == before
    given = ["--ensembles", str(RUN / "ensembles"), "--name", "x", "--out", "other"]
    done = ebabench("score", *given, *options, cwd=tmp_path / "done")
    refused(done, 2, "static and x were scored against different references of KDE", "left as it was")
    refused(ebabench("compare", str(RUN), "other", cwd=tmp_path / "done"), 2, "other references of KDE")


def test_no_space_says_what_is_kept(tiny: Tiny, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the write fails half way."""
    shutil.copytree(tiny.data, tmp_path / "data")
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", "sample", "--model", "static"]
    done = subprocess.run(
        [*command, *tiny.options, "--samples", "20", "--out", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY)),
    )  # fmt: skip
    refused(done, 1, "cannot write", "File too large", "0 ensembles", "the same command goes on")
    assert not list((tmp_path / "out" / "ensembles").glob("[!.]*"))
    options = ["--model", "static", *tiny.options, "--samples", "20", "--out", "out"]
    assert ebabench("sample", *options, cwd=tmp_path).returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_write_permission(tiny: Tiny, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = ebabench("sample", "--model", "static", *tiny.options, cwd=tmp_path)
    tmp_path.chmod(0o700)
    refused(done, 1, "Permission denied")


def test_a_folder_that_cannot_be_made(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = ebabench("sample", "--model", "static", *tiny.options, "--out", "file/run", cwd=tmp_path)
    refused(done, 1, "cannot write", "Not a directory")


def test_comparing_and_rebuilding(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(finished / "runs", tmp_path / "runs")
    done = ebabench("run", "--model", "md-replica", *tiny.options, "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "runs" / "leaderboards" / "tiny-v1.csv").unlink()
    done = ebabench("leaderboard", "--suite", str(tiny.suite), "--metric", "rmsf_r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    models = [row["model"] for row in rows(tmp_path / "runs" / "leaderboards" / "tiny-v1.csv")]
    assert models == ["(floor)", "md-replica", "static"]
    assert "md-replica" in done.stdout
    assert "energy_w1" not in done.stdout
    done = ebabench("compare", "runs/tiny-v1/md-replica-s1-n12", str(RUN), "--metric", "rmsf_r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cannot be told apart" in done.stdout


def test_energies_as_csv_and_what_has_none(tiny: Tiny, tmp_path: Path) -> None:
    whole = (tiny.data / "AGS" / "AGS.pdb").read_text()
    (tmp_path / "whole.pdb").write_text(whole)
    (tmp_path / "trace.pdb").write_text("".join(line for line in whole.splitlines(True) if line[12:16] == " CA "))
    options = ["--forcefield", "amber99sbildn-obc"]
    done = ebabench("energy", "whole.pdb", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert row["file"] == "whole.pdb"
    assert float(row["energy_kj_per_mol"]) < 0
    done = ebabench("energy", "whole.pdb", "trace.pdb", *options, "--out", "energies.csv", cwd=tmp_path)
    refused(done, 1, "1 of 2 rows have no energy, trace.pdb: ")
    told = rows(tmp_path / "energies.csv")
    assert [bool(row["energy_kj_per_mol"]) for row in told] == [True, False]
    refused(ebabench("energy", "whole.pdb", *options, "--out", "no/e.csv", cwd=tmp_path), 2, "there is no folder no")
