import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from command import Tiny, ebabench
from synthetic_runs import ensemble, identity, make_run, reference

from ebabench.cli.results import plot
from ebabench.datasets.references import read_reference
from ebabench.errors import InputError, RunError
from ebabench.io.structure_files import read_ensemble, write_pdb
from ebabench.results.plots import plot_run
from ebabench.structures import Ensemble
from ebabench.structures.geometry import torsions


@pytest.mark.slow
def test_every_target_has_a_picture_and_conformations(tmp_path):
    run = make_run(tmp_path / "run", identity(energy=None, targets=("one", "three")), samples=50)
    paths = list(plot_run(run, run.records(), reference, run.load_ensemble))
    assert [path.name for path in paths] == ["one.png", "three.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in paths)
    assert ElementTree.parse(run.folder / "plots" / "one.svg").getroot().tag.endswith("svg")
    own, md = (read_ensemble(run.folder / "plots" / f"one.{kind}.pdb", "one") for kind in ("model", "md"))
    assert len(own) == len(md) == 20
    native = reference("one").target.native
    assert np.abs(np.concatenate([own.positions, md.positions]) - (native - native.mean(0))).max() < 5


def test_what_cannot_be_written_is_said(tmp_path):
    run = make_run(tmp_path / "run", identity(energy=None, targets=("one",)))
    (run.folder / "plots").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*one\.png"):
        list(plot_run(run, run.records(), reference, ensemble))


@pytest.fixture(scope="module")
def given(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where MD's own conformations, slightly shaken, were scored against the tiny suite's references."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "mine").mkdir()
    for name in ("AGS", "KDE"):
        md = read_reference(tiny.data, name, "folder")
        moved = md.replicas[0][:20] + np.random.default_rng(0).normal(scale=0.02, size=(20, len(md.target.atoms), 3))
        write_pdb(Ensemble(name, md.target.atoms, moved.astype(np.float32)), folder / "mine" / f"{name}.pdb")
    options = ["--ensembles", "mine", "--name", "mine", "--reference", str(tiny.data), "--jobs", "1"]
    done = ebabench("score", *options, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_picture_of_files_from_elsewhere_needs_the_files_that_were_scored(given: Path, capsys) -> None:
    plot(given / "run", ["KDE"], given / "mine")
    assert "1 picture and" in capsys.readouterr().out
    assert {path.name for path in (given / "run" / "plots").iterdir()} == {
        "KDE.png",
        "KDE.svg",
        "KDE.model.pdb",
        "KDE.md.pdb",
    }
    with pytest.raises(InputError, match="give their folder as --ensembles"):
        plot(given / "run")
    other = given / "other"
    shutil.copytree(given / "mine", other)
    shutil.copy(other / "AGS.pdb", other / "KDE.pdb")
    with pytest.raises(InputError, match="not the ensembles that"):
        plot(given / "run", None, other)


def test_pictures_of_what_is_not_there(given: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="KED"):
        plot(given / "run", ["KED"], given / "mine")
    with pytest.raises(InputError, match="not a run folder"):
        plot(tmp_path)
    make_run(tmp_path / "run", identity(targets=("one",)))
    with pytest.raises(InputError, match="toy-v1 is not here: give its references as --data"):
        plot(tmp_path / "run")
    (tmp_path / "run" / "records" / "one.json").unlink()
    with pytest.raises(InputError, match="nothing to draw"):
        plot(tmp_path / "run")


def test_torsions_know_neighbours_by_their_place_in_the_sequence(tiny: Tiny) -> None:
    md = read_reference(tiny.data, "KDE", "folder")
    atoms, frames = md.target.atoms, np.asarray(md.replicas[0][:2])
    residues, angles = torsions(atoms, np.arange(3), frames)
    assert residues.tolist() == [1]
    assert angles.shape == (2, 1, 2)
    assert len(torsions(atoms, np.array([0, 2, 3]), frames)[0]) == 0
