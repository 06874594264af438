"""Ensembles in npz: ebabench's own, and those of others."""

import numpy as np
import pytest
from proteins import build, ensemble

from ebabench.errors import InputError
from ebabench.io.layouts import find_sources, read_source
from ebabench.io.structure_files import load_ensemble, read_ensemble, write_ensemble
from ebabench.structures import Ensemble

MADE = ensemble(build("GAIHWK"), frames=5)


def arrays(**changes):
    atoms = MADE.atoms
    own = {
        "positions": MADE.positions,
        "name": atoms.name,
        "residue_name": atoms.residue_name,
        "residue": atoms.residue,
    }
    return {key: value for key, value in (own | changes).items() if value is not None}


@pytest.fixture
def put(tmp_path):
    def write(**changes):
        np.savez(tmp_path / "x.npz", **arrays(**changes))
        return tmp_path / "x.npz"

    return write


def test_the_arrays_of_anyone_are_read(put):
    read = read_ensemble(put(extra=np.zeros(3)), "x")
    assert read.atoms.digest() == MADE.atoms.digest()
    np.testing.assert_array_equal(read.positions, MADE.positions)


def test_residues_may_be_numbered_from_anywhere(put):
    assert read_ensemble(put(residue=MADE.atoms.residue + 41), "x").atoms.digest() == MADE.atoms.digest()


def test_weights_are_kept(put, tmp_path):
    weights = np.array([1.0, 2, 3, 4, 0])
    read = read_ensemble(put(weights=weights), "x")
    np.testing.assert_allclose(read.weights, weights / 10)
    write_ensemble(read, tmp_path / "y.npz")
    np.testing.assert_array_equal(load_ensemble(tmp_path / "y.npz", "x").weights, read.weights)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(4),
        np.ones((5, 1)),
        np.array([1, 1, 1, 1, -1.0]),
        np.array([1, np.nan, 1, 1, 1]),
        np.zeros(5),
        np.arange(5) + 1j,
        np.array(list("12345")),
    ],
)
def test_weights_that_are_none_are_refused(put, weights):
    with pytest.raises(InputError, match="weight"):
        read_ensemble(put(weights=weights), "x")


def test_names_may_be_padded_as_in_a_pdb_file(put):
    name, residue_name = (
        np.char.add(np.char.add(" ", column), " ") for column in (MADE.atoms.name, MADE.atoms.residue_name)
    )
    assert read_ensemble(put(name=name, residue_name=residue_name), "x").atoms.digest() == MADE.atoms.digest()


def test_chains_of_an_npz_file(put):
    chain = np.where(MADE.atoms.residue < 3, "A", "B")
    path = put(chain=chain)
    with pytest.raises(InputError, match="2 protein chains"):
        read_ensemble(path, "x")
    assert read_ensemble(path, "x", chain="B").atoms.sequence == "HWK"


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"name": None}, "npz.keys", "name"),
        ({"positions": None}, "npz.keys", "positions"),
        ({"positions": MADE.positions[:, :-1]}, "npz.shape", "positions"),
        ({"positions": MADE.positions[0]}, "npz.shape", "positions"),
        ({"positions": MADE.positions[:0]}, "npz.shape", "no conformations"),
        ({"positions": MADE.positions.astype(int)}, "npz.shape", "int"),
        ({"residue": MADE.atoms.residue.astype(float)}, "npz.shape", "residue"),
        ({"residue_name": MADE.atoms.residue_name[:-1]}, "npz.shape", "residue_name"),
        ({"positions": (MADE.positions + 300).astype(np.float16)}, "npz.shape", "0.25 angstrom apart"),
        ({"weight": np.arange(5)}, "npz.keys", "array weight "),
        ({"held_out": np.array([1])}, "npz.held-out", "held_out"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(put, changes, code, named):
    path = put(**changes)
    with pytest.raises(InputError) as error:
        read_ensemble(path, "x")
    assert error.value.code == code
    assert named in str(error.value)
    assert "x.npz" in str(error.value)


def test_objects_are_never_loaded(put):
    with pytest.raises(InputError) as error:
        read_ensemble(put(name=np.array([object()] * len(MADE.atoms))), "x")
    assert error.value.code == "npz.broken"
    assert "dtype=str" in str(error.value)


def test_the_own_files_of_a_run_keep_what_a_run_knows(tmp_path):
    own = Ensemble("x", MADE.atoms, MADE.positions, held_out=(2,), random_weights=True)
    write_ensemble(own, tmp_path / "x.npz")
    read = load_ensemble(tmp_path / "x.npz", "x")
    assert (read.held_out, read.random_weights) == ((2,), True)


def test_random_weights_are_told_in_anyone_s_file(put):
    path = put(random_weights=np.array(True))
    assert read_ensemble(path, "x").random_weights
    source = find_sources(path).sources["x"]
    assert read_source(source, "x").random_weights


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_is_refused(put, share):
    path = put()
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError) as error:
        read_ensemble(path, "x")
    assert error.value.code == "npz.broken"
