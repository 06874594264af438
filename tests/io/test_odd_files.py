"""Pipes, folders and links in the place of files: refused by name, and never waited for."""

import os
import signal

import pytest
from molecule_files import molecule, pdb_text, topology_file

from ebabench.datasets.reference_layouts.listed import find
from ebabench.errors import InputError
from ebabench.io.layouts.reading import rejected
from ebabench.io.structure_files import read_ensemble
from ebabench.workflows.score_ensembles import score_ensembles

MOLECULE = molecule()
NAMES = ["x.pdb", "x.pdb.gz", "x.cif", "x.xtc", "x.trr", "x.dcd", "x.nc", "x.h5", "x.npz"]


@pytest.fixture(autouse=True)
def _no_waiting():
    """End a test that waits for a pipe, by what nobody catches."""

    def end(*_):
        pytest.exit("a pipe is waited for", returncode=1)

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make(kind, path):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_regular_file_is_refused(tmp_path, kind, name):
    make(kind, tmp_path / name)
    topology_file(MOLECULE, tmp_path / "topology.pdb")
    with pytest.raises(InputError) as error:
        read_ensemble(tmp_path / name, "x")
    assert name in str(error.value)


@pytest.mark.parametrize("kind", ["pipe", "dangling link"])
@pytest.mark.parametrize("name", ["KLED.pdb", "KLED.npz", "KLED.zip", "KLED/sample_2.pdb"])
def test_ensembles_that_are_no_regular_files_are_refused(tmp_path, monkeypatch, kind, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    make(kind, path)
    if "/" in name:
        for number in (1, 3):
            path.with_name(f"sample_{number}.pdb").write_text(pdb_text(molecule("KLED", frames=1)))
    with pytest.raises(InputError) as error:
        score_ensembles(tmp_path / "mine", suite="peptides-v1", name="mine", leaderboards=None, jobs=1)
    assert path.name in str(error.value)


def test_a_link_to_a_file_is_that_file(tmp_path):
    (tmp_path / "of").mkdir()
    (tmp_path / "of" / "data").write_text(pdb_text(MOLECULE))
    (tmp_path / "x.pdb").symlink_to(tmp_path / "of" / "data")
    assert len(read_ensemble(tmp_path / "x.pdb", "x")) == len(MOLECULE.positions)


def test_files_of_others_that_are_nested_without_end(tmp_path):
    deep = 100_000
    table = tmp_path / "references.toml"
    table.write_text("tier = " + "[" * deep + "]" * deep)
    with pytest.raises(InputError, match=r"references\.toml") as error:
        find(table)
    assert error.value.code == "reference.table"
    report = tmp_path / "physicality.json"
    report.write_text("[" * deep + "]" * deep)
    with pytest.raises(InputError, match=r"physicality\.json") as error:
        rejected(report)
    assert error.value.code == "report.broken"
