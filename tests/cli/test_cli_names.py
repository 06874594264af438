"""What `ebabench score` says of names: of targets without an ensemble, of ensembles without a target, of odd bytes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import Called, Tiny, ebabench

from ebabench.datasets.references import read_reference
from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble

ODD = "odd-\udcff"  # how Python holds a byte that is not UTF-8


@pytest.fixture
def mine(tiny: Tiny, tmp_path: Path) -> Path:
    """Two frames of MD for one target, as a user's own."""
    md = read_reference(tiny.data, "KDE", "folder")
    (tmp_path / "mine").mkdir()
    frames = np.asarray(md.replicas[0][:12:6], np.float32)
    write_pdb(Ensemble("KDE", md.target.atoms, frames), tmp_path / "mine" / "KDE.pdb")
    return tmp_path / "mine"


def test_what_is_not_scored_is_said(tiny: Tiny, mine: Path, called: Called) -> None:
    (mine / f"{ODD}.pdb").write_bytes((mine / "KDE.pdb").read_bytes())
    torn = (mine / "KDE.pdb").read_text().replace(" CA  ASP", " QX  ASP")
    (mine / "KDE.pdb").write_text(torn)
    options = ["--ensembles", "mine", "--name", "mine", "--reference", str(tiny.data), "--jobs", "1"]
    code, told, errors = called("score", *options, "--out", "run")
    assert code == 1
    assert "not scored, for mine has no ensembles of them: AGS, FAV" in told
    assert "left out, for no reference is of these: odd-" in told
    assert errors.count("KDE: ") == 1


def test_names_of_odd_bytes_end_in_one_line(tiny: Tiny, mine: Path) -> None:
    options = ["score", "--ensembles", "mine", "--name", "mine", "--jobs", "1"]
    plain = {"PYTHONIOENCODING": "utf-8:strict"}
    done = ebabench(*options, "--reference", str(tiny.data), "--out", ODD, cwd=mine.parent, **plain)
    assert done.returncode == 0, done.stderr
    assert "odd-" in done.stdout  # it was a UnicodeEncodeError
    done = ebabench(*options[:3], "--name", ODD, "--suite", str(tiny.suite), "--data", str(tiny.data), cwd=mine.parent)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is not UTF-8" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", "list", "models"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
