"""Statistical weights in a table beside the conformations."""

import shutil

import numpy as np
import pytest
from proteins import build, ensemble

from ebabench.errors import InputError
from ebabench.io.layouts import find_sources, read_source
from ebabench.io.structure_files import read_ensemble, write_ensemble, write_pdb
from ebabench.structures import Ensemble

TARGET = build("GAIK")
MODEL = ensemble(TARGET, frames=4)
WEIGHTS = "weight\n1\n2\n3\n2\n"


def expected():
    return np.array([1, 2, 3, 2]) / 8


@pytest.fixture
def pdb(tmp_path):
    write_pdb(MODEL, tmp_path / "GAIK.pdb")
    return tmp_path / "GAIK.pdb"


def test_a_table_beside_a_file_holds_its_weights(pdb):
    (pdb.parent / "GAIK.weights.csv").write_text(WEIGHTS)
    np.testing.assert_allclose(read_ensemble(pdb, "GAIK").weights, expected())
    found = find_sources(pdb.parent, {"GAIK": "GAIK"}).sources["GAIK"]
    np.testing.assert_allclose(read_source(found, "GAIK").weights, expected())


def test_without_a_table_weights_are_equal(pdb):
    assert read_ensemble(pdb, "GAIK").weights is None


def test_a_table_of_a_folder_names_its_files(tmp_path):
    folder = tmp_path / "GAIK"
    folder.mkdir()
    for number, frame in enumerate(MODEL.positions):
        write_pdb(Ensemble("GAIK", TARGET.atoms, frame[None]), folder / f"sample_{number}.pdb")
    rows = [f"sample_{number}.pdb,{weight}" for number, weight in enumerate((1, 2, 3, 2))]
    (folder / "weights.csv").write_text("\n".join(["file,weight", *rows[::-1]]))
    found = find_sources(tmp_path, {"GAIK": "GAIK"}).sources["GAIK"]
    np.testing.assert_allclose(read_source(found, "GAIK").weights, expected())
    (folder / "weights.csv").write_text("\n".join(["file,weight", *rows[1:]]))
    with pytest.raises(InputError) as refused:
        read_source(found, "GAIK")
    assert refused.value.code == "weights.count"
    assert "sample_0.pdb" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("weight\n1\n2\n3\n", "weights.count"),
        ("mass\n1\n2\n3\n4\n", "weights.broken"),
        ("weight\n1\n2\nmany\n4\n", "weights.broken"),
        ("weight\n1\n2\n-3\n4\n", "ensemble.weights"),
        ("weight\n0\n0\n0\n0\n", "ensemble.weights"),
        ("", "weights.broken"),
        ("frame,weight\n3,2\n2,3\n1,2\n0,1\n", "weights.broken"),
        ("weight\n1,9\n2\n3\n4\n", "weights.broken"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(pdb, text, code):
    (pdb.parent / "GAIK.weights.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        read_ensemble(pdb, "GAIK")
    assert refused.value.code == code


def test_weights_given_twice_are_refused(tmp_path):
    write_ensemble(Ensemble("GAIK", TARGET.atoms, MODEL.positions, weights=expected()), tmp_path / "GAIK.npz")
    np.testing.assert_allclose(read_ensemble(tmp_path / "GAIK.npz", "GAIK").weights, expected())
    (tmp_path / "GAIK.weights.csv").write_text(WEIGHTS)
    with pytest.raises(InputError) as refused:
        read_ensemble(tmp_path / "GAIK.npz", "GAIK")
    assert refused.value.code == "weights.twice"


def folder_of(path, name="GAIK"):
    """Return the weights of what is read below a folder."""
    found = find_sources(path, {name: TARGET.atoms.sequence})
    return read_source(found.sources[name], name).weights


def table(path, *files):
    """Write a table with the weights of the four frames, one file name each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{name},{weight}\n" for name, weight in zip(files, (1, 2, 3, 2), strict=True)]
    path.write_text("".join(["file,weight\n", *rows]))


def frames(*index):
    return Ensemble("GAIK", TARGET.atoms, MODEL.positions[list(index)])


def write_trajectory(path, *index):
    trajectory = frames(*index).to_mdtraj()
    trajectory.save(str(path))
    trajectory[0].save_pdb(str(path.parent / "topology.pdb"))


@pytest.mark.parametrize("suffix", ["pdb", "npz", "dcd"])
@pytest.mark.parametrize("folder", ["GAIK", "."])
def test_a_table_of_a_folder_holds_weights_of_files_of_any_kind(tmp_path, suffix, folder):
    write = {"pdb": write_pdb, "npz": write_ensemble, "dcd": lambda one, path: write_trajectory(path, *one)}[suffix]
    for number, index in enumerate([(0, 1), (2, 3)]):
        path = tmp_path / f"GAIK/GAIK_{number}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        write(index if suffix == "dcd" else frames(*index), path)
    below = "GAIK/" if folder == "." else "./"
    names = [f"{below}GAIK_{number}.{suffix}" for number in (0, 0, 1, 1)]
    table(tmp_path / folder / "weights.csv", *names)
    np.testing.assert_allclose(folder_of(tmp_path), expected())
    names[0] = names[0].replace("/", "/./")
    table(tmp_path / folder / "weights.csv", *[names[row] for row in (0, 2, 1, 3)])
    np.testing.assert_allclose(folder_of(tmp_path), np.array([1, 3, 2, 2]) / 8)


def test_runs_in_folders_of_their_own_have_a_table_each(tmp_path):
    for run in (0, 1):
        for number in (0, 1):
            path = tmp_path / f"GAIK/seed_{run}/s_{number}.pdb"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_pdb(frames(2 * run + number), path)
        weights = ((1, 2), (3, 2))[run]
        rows = "".join(f"s_{number}.pdb,{weights[number]}\n" for number in (0, 1))
        (path.parent / "weights.csv").write_text("file,weight\n" + rows)
    np.testing.assert_allclose(folder_of(tmp_path), expected())
    table(tmp_path / "GAIK/weights.csv", *(f"seed_{run}/s_{number}.pdb" for run in (0, 1) for number in (0, 1)))
    with pytest.raises(InputError) as refused:
        folder_of(tmp_path)
    assert refused.value.code == "weights.twice"


def test_each_structure_may_have_a_table_of_its_own(tmp_path):
    for number, weight in enumerate((1, 2, 3, 2)):
        write_pdb(frames(number), tmp_path / f"GAIK_{number}.pdb")
        (tmp_path / f"GAIK_{number}.weights.csv").write_text(f"weight\n{weight}\n")
    np.testing.assert_allclose(folder_of(tmp_path), expected())
    (tmp_path / "GAIK_2.weights.csv").unlink()
    with pytest.raises(InputError) as refused:
        folder_of(tmp_path)
    assert refused.value.code == "ensembles.weights"


def test_a_table_may_also_hold_weights_of_another_target(tmp_path):
    for number in range(4):
        write_pdb(frames(number), tmp_path / f"GAIK_{number}.pdb")
        write_pdb(frames(number), tmp_path / f"OTHER_{number}.pdb")
    table(tmp_path / "weights.csv", *(f"GAIK_{number}.pdb" for number in range(4)))
    both = find_sources(tmp_path, {"GAIK": TARGET.atoms.sequence, "OTHER": "GAIKG"}).sources
    np.testing.assert_allclose(read_source(both["GAIK"], "GAIK").weights, expected())
    with pytest.raises(InputError) as refused:
        read_source(both["OTHER"], "OTHER")
    assert refused.value.code == "weights.count"
    with (tmp_path / "weights.csv").open("a") as file:
        file.writelines(f"OTHER_{number}.pdb,{number}\n" for number in range(4))
    np.testing.assert_allclose(read_source(both["GAIK"], "GAIK").weights, expected())
    np.testing.assert_allclose(read_source(both["OTHER"], "OTHER").weights, np.arange(4) / 6)


@pytest.mark.parametrize(
    "name",
    [
        "GAIK_weights.csv",
        "GAIK.Weights.CSV",
        "gaik.pdb.weights.csv",
        "Weights.csv",
        "weights (1).csv",
        "all-weights.csv",
    ],
)
@pytest.mark.parametrize("place", [".", "GAIK"])
def test_a_table_that_would_be_ignored_is_refused(tmp_path, name, place):
    for number in range(4):
        path = tmp_path / f"GAIK/GAIK_{number}.pdb"
        path.parent.mkdir(exist_ok=True)
        write_pdb(frames(number), path)
    (tmp_path / place / name).write_text(WEIGHTS)
    with pytest.raises(InputError, match="rename it") as refused:
        folder_of(tmp_path)
    assert refused.value.code == "weights.unused"
    assert name in str(refused.value)


def test_weights_named_after_a_topology_are_refused(tmp_path):
    write_trajectory(tmp_path / "GAIK_1.xtc", 0, 1)
    write_trajectory(tmp_path / "GAIK_2.xtc", 2, 3)
    shutil.move(tmp_path / "topology.pdb", tmp_path / "GAIK.pdb")
    (tmp_path / "GAIK.weights.csv").write_text(WEIGHTS)
    with pytest.raises(InputError, match=r"GAIK\.pdb") as refused:
        folder_of(tmp_path)
    assert refused.value.code == "weights.unused"


def test_tables_of_other_files_are_none_of_a_file(tmp_path):
    for name in ("A", "B"):
        write_pdb(MODEL, tmp_path / f"{name}.pdb")
        (tmp_path / f"{name}.weights.csv").write_text(WEIGHTS)
    (tmp_path / "B.weights.csv").write_text("weight\n1\n1\n1\n1\n")
    np.testing.assert_allclose(read_ensemble(tmp_path / "A.pdb", "A").weights, expected())
    assert read_ensemble(tmp_path / "B.pdb", "B").weights is None
    found = find_sources(tmp_path / "A.pdb").sources.popitem()[1]
    np.testing.assert_allclose(read_source(found, "A").weights, expected())


def test_a_table_counts_among_the_files_that_are_read(pdb):
    (pdb.parent / "GAIK.weights.csv").write_text(WEIGHTS)
    found = find_sources(pdb.parent, {"GAIK": "GAIK"}).sources["GAIK"]
    assert found.files == (pdb, pdb.parent / "GAIK.weights.csv")
