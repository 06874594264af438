"""PDB files read in one sweep: the same as a parser of the format reads, and nothing that is not plain."""

import gemmi
import numpy as np
import pytest
from proteins import build, wobble

from ebabench.errors import InputError
from ebabench.io.multimodel_pdb import same_but_for_coordinates
from ebabench.io.structure_files import read_ensemble, write_pdb
from ebabench.structures import Ensemble

TARGET = build("GAIHWK")
X = slice(30, 38)


@pytest.fixture
def path(tmp_path):
    """Five models, with numbers of every width."""
    positions = wobble(TARGET, 5, 1)
    positions[1:] += np.array([-900, -90, -9, 900])[:, None, None]
    path = tmp_path / "x.pdb"
    write_pdb(Ensemble("x", TARGET.atoms, positions.astype(np.float32)), path)
    return path


def edited(path, model, edit):
    """The file with the first atom's line of one model changed."""
    lines = path.read_text().splitlines()
    at = [k for k, line in enumerate(lines) if line.startswith("ATOM      1 ")][model]
    lines[at] = edit(lines[at])
    return "\n".join(lines).encode()


def number(text):
    return lambda line: line[: X.start] + text + line[X.stop :]


def test_numbers_are_those_of_a_parser_of_the_format(path):
    data = path.read_bytes()
    first, positions = same_but_for_coordinates(data)
    structure = gemmi.read_pdb_string(data)
    expected = np.array([[list(site.atom.pos) for site in model.all()] for model in structure])
    np.testing.assert_array_equal(positions.astype(np.float32), expected.astype(np.float32))
    assert len(gemmi.read_pdb_string(first)) == 1


@pytest.mark.parametrize("text", ["9999.999", "-999.999", "  -0.001", "   0.000", "  12.345", "-012.345"])
def test_numbers_are_the_nearest_to_their_decimals(path, text):
    found = same_but_for_coordinates(edited(path, 3, number(text)))
    assert found is not None
    assert found[1][3, 0, 0] == float(text)


@pytest.mark.parametrize(
    "text", ["    1.00", "1.00    ", "     nan", "********", " 1 2.345", "1-12.345", "--12.345", "   1.2e3", "   -.500"]
)
def test_what_is_no_such_number_is_left_to_a_parser_of_the_format(path, text):
    assert same_but_for_coordinates(edited(path, 3, number(text))) is None


@pytest.mark.parametrize(
    "edit",
    [
        lambda line: line.replace("GLY", "ALA"),
        lambda line: line.replace("1.00", "0.50"),
        lambda line: f"REMARK  \n{line}",
        lambda line: line[:-1],
        lambda line: f"{line}\n{line}",
    ],
    ids=["name", "occupancy", "remark", "shorter", "twice"],
)
@pytest.mark.parametrize("model", [1, 4])
def test_models_that_differ_are_left_to_a_parser_of_the_format(path, model, edit):
    assert same_but_for_coordinates(edited(path, model, edit)) is None


def test_a_single_model_and_atoms_outside_of_models_are_left_too(path):
    data = path.read_bytes()
    atom = data[data.index(b"ATOM") :].split(b"\n")[0] + b"\n"
    assert same_but_for_coordinates(data) is not None
    assert same_but_for_coordinates(data[: data.index(b"ENDMDL") + 7]) is None
    assert same_but_for_coordinates(atom + data) is None
    assert same_but_for_coordinates(data + atom) is None
    assert same_but_for_coordinates(data[: len(data) // 2]) is None


@pytest.mark.parametrize("model", [1, 2, 5])
def test_a_line_break_that_was_lost_takes_no_atom_with_it(path, model):
    """The record behind MODEL would be a part of its line, and the atom be missing in every model."""
    line = f"MODEL {model:8d}"
    assert f"{line}\nATOM" in path.read_text()
    path.write_text(path.read_text().replace(f"{line}\nATOM", f"{line}xATOM"))
    with pytest.raises(InputError) as error:
        read_ensemble(path, "x")
    assert error.value.code == "structure.models-differ"


def test_either_way_the_ensemble_is_the_same(path):
    plain = read_ensemble(path, "x")
    path.write_bytes(edited(path, 2, lambda line: f"REMARK\n{line}"))
    other = read_ensemble(path, "x")
    assert plain.atoms.digest() == other.atoms.digest()
    np.testing.assert_array_equal(plain.positions, other.positions)
