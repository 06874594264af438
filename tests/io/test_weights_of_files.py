"""Statistical weights in a table beside the conformations."""

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
