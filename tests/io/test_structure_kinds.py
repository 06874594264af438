"""Structure files as programs and people leave them: read right, or refused by name."""

import gzip
import re
from dataclasses import replace

import numpy as np
import pytest
from molecule_files import atom_line, cif_text, molecule, pdb_text, same_as, water

from ebabench.errors import InputError
from ebabench.io.layouts import find_sources, read_source
from ebabench.io.structure_files import read_ensemble, read_frames
from ebabench.io.structures import read_structures

MOLECULE = molecule()
X_COLUMNS = slice(30, 38)


@pytest.fixture
def put(tmp_path):
    def write(text, name="x.pdb"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refused(path, code, *named, **options):
    with pytest.raises(InputError) as error:
        read_ensemble(path, "x", **options)
    assert error.value.code == code
    for text in (path.name, *named):
        assert text in str(error.value)
    return str(error.value)


# Coordinates


@pytest.mark.parametrize(
    "field",
    [
        "   1,234",
        "  1.x34 ",
        "        ",
        "********",
        "     nan",
        " 1 2.345",
        "   1-345",
        "  12345 ",
        "1.234567",
        "  1.23.4",
    ],
)
@pytest.mark.parametrize("model", [0, 3])
def test_a_coordinate_that_is_no_number_is_refused_with_its_line(put, field, model):
    lines = pdb_text(MOLECULE).splitlines(keepends=True)
    at = 1 + 6 + model * (len(MOLECULE) + 3)
    lines[at] = lines[at][:30] + field + lines[at][38:]
    refused(put("".join(lines)), "structure.not-a-number", f"line {at + 1}")


def test_decimal_commas_throughout_are_refused(put):
    text = "".join(
        line[:30] + line[30:54].replace(".", ",") + line[54:] if line.startswith("ATOM") else line
        for line in pdb_text(MOLECULE).splitlines(keepends=True)
    )
    refused(put(text), "structure.not-a-number", "line 2")


def test_another_program_s_number_of_decimals_is_read(put):
    text = "".join(
        line[:30] + "".join(f"{float(line[k : k + 8]):8.2f}" for k in (30, 38, 46)) + line[54:]
        if line.startswith("ATOM")
        else line
        for line in pdb_text(MOLECULE).splitlines(keepends=True)
    )
    same_as(read_ensemble(put(text), "x"), MOLECULE, atol=0.006)


def test_a_file_cut_in_a_line_is_refused(put):
    text = pdb_text(MOLECULE)
    refused(put(text[: text.rindex("ATOM") + 45]), "structure.not-a-number")


@pytest.mark.parametrize("models", [1, 3])
def test_a_file_cut_between_lines_of_a_model_is_refused(put, models):
    text = pdb_text(MOLECULE)
    start = [match.start() for match in re.finditer(r"^MODEL", text, re.MULTILINE)][models - 1]
    cut = [match.start() for match in re.finditer(r"^ATOM", text[start:], re.MULTILINE)][20]
    refused(put(text[: start + cut]), "structure.cut")


def test_a_model_without_endmdl_is_whole_after_end_or_ter(put):
    for last in ("TER\n", "END\n", "TER\nEND\n"):
        text = pdb_text(MOLECULE.frame(0)).partition("ENDMDL")[0]
        same_as(read_ensemble(put(text.rstrip().removesuffix("TER") + last), "x"), MOLECULE.frame(0))


@pytest.mark.parametrize("value", ["?", "1,5", "x1.5", "."])
def test_an_mmcif_coordinate_that_is_no_number_is_refused(put, value):
    text = cif_text(MOLECULE, Cartn_y=lambda t, k, f: value if (k, f) == (7, 2) else f"{t.positions[f, k, 1]:.3f}")
    refused(put(text, "x.cif"), "structure.not-a-number", "Cartn_y", f"atom {2 * len(MOLECULE) + 8}")


def test_an_uncertainty_beside_an_mmcif_coordinate_is_read(put):
    text = cif_text(MOLECULE, Cartn_y=lambda t, k, f: f"{t.positions[f, k, 1]:.3f}(4)")
    same_as(read_ensemble(put(text, "x.cif"), "x"), MOLECULE)


@pytest.mark.parametrize("value", ["1_0.5", "1_0.5(3)"])
def test_an_underscore_is_no_digit(put, value):
    text = cif_text(MOLECULE, Cartn_z=lambda t, k, f: value if (k, f) == (7, 2) else f"{t.positions[f, k, 2]:.3f}")
    refused(put(text, "x.cif"), "structure.not-a-number", "Cartn_z", value)


# Whatever stands before the first record


@pytest.mark.parametrize("models", [1, 5])
def test_a_byte_order_mark_is_no_part_of_the_first_record(put, models):
    """Editors of Windows put it there; the first atom of a file without a head must not get lost."""
    one = molecule(frames=models)
    text = pdb_text(one) if models > 1 else "".join(atom_line(one, row, 0) for row in range(len(one)))
    same_as(read_ensemble(put(b"\xef\xbb\xbf" + text.encode()), "x"), one)
    same_as(read_ensemble(put(b"\xef\xbb\xbf" + cif_text(one).encode(), "x.cif"), "x"), one)


@pytest.mark.parametrize("before", [" ", "\t", "\0", "\x0c", "\ufeff\ufeff", "\u00a0"])
@pytest.mark.parametrize("line", [0, 30])
def test_an_atom_record_that_does_not_begin_its_line_is_refused(put, before, line):
    one = molecule(frames=1)
    lines = [atom_line(one, row, 0) for row in range(len(one))]
    lines[line] = before + lines[line]
    refused(put("".join(lines)), "structure.misplaced", f"line {line + 1}")


# Numbers and models


@pytest.mark.parametrize("serial", ["*****", "a0000", "     ", "100000"[:5]])
def test_serial_numbers_are_not_read(put, serial):
    same_as(read_ensemble(put(pdb_text(MOLECULE, lambda row: serial)), "x"), MOLECULE)


def test_stars_for_residue_numbers_of_waters_are_not_read(put):
    waters = water(3, 5)
    text = "".join(
        line[:22] + "****" + line[26:] if "HOH" in line else line
        for line in pdb_text(MOLECULE.joined(waters)).splitlines(keepends=True)
    )
    same_as(read_ensemble(put(text), "x"), MOLECULE)


def test_numbers_of_models_are_not_read(put):
    text = pdb_text(MOLECULE)
    for number in range(2, 6):
        text = text.replace(f"MODEL {number:8d}", f"MODEL {1:8d}")
    same_as(read_ensemble(put(text), "x"), MOLECULE)


def test_b_factors_may_differ_between_models(put):
    lines = pdb_text(MOLECULE).splitlines(keepends=True)
    text = "".join(
        f"{line[:60]}{k % 90:6.2f}{line[66:]}" if line.startswith("ATOM") else line for k, line in enumerate(lines)
    )
    same_as(read_ensemble(put(text), "x"), MOLECULE)


def test_a_file_of_a_windows_shell_or_an_old_editor(put):
    text = pdb_text(MOLECULE)
    same_as(read_ensemble(put(text.encode("utf-16")), "x"), MOLECULE)
    same_as(read_ensemble(put(text.replace("\n", "\r").encode()), "x"), MOLECULE)


def test_windows_line_ends_and_no_models(put):
    one = molecule(frames=1)
    text = "".join(atom_line(one, row, 0) for row in range(len(one)))
    same_as(read_ensemble(put(text.replace("\n", "\r\n")), "x"), one)


@pytest.mark.parametrize("name", ["X.PDB", "x.Ent", "x.pdb.GZ", "X.PDB.gz"])
def test_suffixes_in_any_case(put, name):
    text = pdb_text(MOLECULE).encode()
    same_as(read_ensemble(put(gzip.compress(text) if name.lower().endswith("gz") else text, name), "x"), MOLECULE)


@pytest.mark.parametrize("name", ["X.CIF", "x.mmcif", "x.CIF.gz"])
def test_mmcif_in_any_case(put, name):
    text = cif_text(MOLECULE).encode()
    same_as(read_ensemble(put(gzip.compress(text) if name.endswith("gz") else text, name), "x"), MOLECULE)


def test_several_blocks_of_mmcif_are_models(put):
    text = "".join(cif_text(MOLECULE.frame(k), f"b{k}") for k in range(5))
    same_as(read_ensemble(put(text, "x.cif"), "x"), MOLECULE)


def test_blocks_of_mmcif_may_have_one_name(put):
    same_as(read_ensemble(put("".join(cif_text(MOLECULE.frame(k)) for k in range(5)), "x.cif"), "x"), MOLECULE)


def test_a_name_of_an_author_in_another_encoding_is_no_fault(put):
    text = cif_text(MOLECULE).replace("loop_", "_audit_author.name 'Müller'\nloop_", 1)
    same_as(read_ensemble(put(text.encode("latin-1"), "x.cif"), "x"), MOLECULE)


@pytest.mark.parametrize("shared", [(), ("N",), ("N", "C", "O")])
@pytest.mark.parametrize("order", ["one after the other", "atom by atom"])
def test_of_two_residues_in_one_place_the_first_counts(put, shared, order):
    """1EJG has PRO or SER at 22, and one N for both."""
    own, other = [], []
    heavy = MOLECULE.take(MOLECULE.heavy).frame(0)
    for row in range(len(heavy)):
        line = atom_line(heavy, row, 0)
        if heavy.number[row] == 2 and heavy.name[row] not in shared:
            own.append(line[:16] + "A" + line[17:])
            other.append((len(own), line[:16] + "BSER" + line[20:]))
        else:
            own.append(line)
    last = other[-1][0]
    for k, (row, line) in enumerate(other):
        own.insert((row if order == "atom by atom" else last) + k, line)
    same_as(read_ensemble(put("".join(own)), "x"), heavy)


@pytest.mark.parametrize(
    "columns",
    [
        {"auth_seq_id": 1},
        {"label_seq_id": 1},
        {"label_seq_id": None},
        {"auth_seq_id": None, "auth_asym_id": None},
        {"type_symbol": None},
        {"group_PDB": None},
        {"pdbx_PDB_ins_code": "?"},
        {"auth_asym_id": "a_very_long_name"},
        {"label_asym_id": "Axp"},
        {"auth_atom_id": lambda t, k, f: f'"{t.name[k]}"', "label_atom_id": None},
    ],
    ids=",".join,
)
def test_mmcif_columns_that_are_missing_or_constant(put, columns):
    same_as(read_ensemble(put(cif_text(MOLECULE, **columns), "x.cif"), "x"), MOLECULE)


def test_no_column_tells_residues_apart(put):
    """Constant numbers: residues begin where the name of their first atom comes again."""
    same = MOLECULE.changed("number", True, 1)
    assert read_ensemble(put(pdb_text(same)), "x").atoms.sequence == "GAIHWKSTV"
    text = cif_text(same.changed("residue_name", True, "GLY").take(MOLECULE.heavy), "x")
    assert read_ensemble(put(text, "x.cif"), "x").atoms.sequence == "G" * 9


def test_binary_cif(put, tmp_path):
    pdbx = pytest.importorskip("biotite.structure.io.pdbx")
    text = pdbx.CIFFile.read(put(cif_text(MOLECULE, pdbx_PDB_ins_code="?"), "x.cif"))
    binary = pdbx.BinaryCIFFile()
    pdbx.set_structure(binary, pdbx.get_structure(text))
    binary.write(str(tmp_path / "x.bcif"))
    same_as(read_ensemble(tmp_path / "x.bcif", "x"), MOLECULE)
    packed = put(gzip.compress((tmp_path / "x.bcif").read_bytes()), "y.bcif.gz")
    same_as(read_ensemble(packed, "x"), MOLECULE)
    data = (tmp_path / "x.bcif").read_bytes()
    refused(put(data[: len(data) // 2], "z.bcif"), "structure.broken", "BinaryCIF")


def test_binary_cif_without_its_package_is_told(put, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "biotite.structure.io.pdbx", None)
    refused(put(b"\x80", "x.bcif"), "structure.package-missing", "BinaryCIF", "pip install 'ebabench[formats]'")


# Models that differ


def differing(change):
    """Two models, the second changed."""
    one = molecule(frames=2)
    parts = [
        pdb_text(type(one)(**{**vars(t), "positions": t.positions[k : k + 1]}))
        for k, t in enumerate((one, change(one)))
    ]
    return parts[0].replace("END\n", "") + parts[1], one


def without(table, name):
    return table.take(np.flatnonzero(table.name != name))


def swapped(table):
    order = np.arange(len(table))
    for number in np.unique(table.number):
        rows = np.flatnonzero(table.number == number)
        order[rows] = rows[::-1]
    return table.take(order)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: without(t, "HA"),
        lambda t: t.joined(water(4, 2)),
        lambda t: t.changed("name", t.name == "H", "HN"),
        swapped,
    ],
    ids=["hydrogens", "waters", "names of hydrogens", "order"],
)
def test_hydrogens_waters_and_order_may_differ_between_models(put, change):
    text, one = differing(change)
    same_as(read_ensemble(put(text), "x"), one)


@pytest.mark.parametrize("chain", ["A", ""])
def test_oxt_may_differ_between_models_but_where_it_alone_parts_chains(put, chain):
    last = MOLECULE.number == MOLECULE.number.max()
    ended = MOLECULE.joined(MOLECULE.take(np.flatnonzero(last & (MOLECULE.name == "O"))).changed("name", True, "OXT"))
    ended = ended.changed("chain", True, chain).frame(0)
    one = MOLECULE.changed("chain", True, chain).frame(0)
    for models in ((ended, one), (one, ended)):
        text = pdb_text(models[0]).replace("END\n", "") + pdb_text(models[1])
        same_as(read_ensemble(put(text), "x"), replace(one, positions=np.concatenate([one.positions] * 2)))
    behind = MOLECULE.changed("chain", True, chain).frame(1)
    text = pdb_text(ended.joined(behind)).replace("END\n", "") + pdb_text(one.joined(behind))
    refused(put(text), "structure.models-differ", "OXT")


@pytest.mark.parametrize(("first", "second"), [("HID", "HIE"), ("HIE", "HIP"), ("HIS", "HID")])
def test_a_residue_may_be_protonated_otherwise_in_another_model(put, first, second):
    histidine = MOLECULE.number == 4

    def models(form, name):
        hydrogen = MOLECULE.take(np.flatnonzero(histidine & (MOLECULE.name == "ND1"))).changed("element", True, "H")
        own = hydrogen.changed("name", True, {"HIE": "HE2"}.get(form, "HD1")).changed("residue_name", True, form)
        return pdb_text(MOLECULE.changed("residue_name", histidine, form).joined(own)), name

    folder = put(*models(first, "0.pdb")).parent
    put(*models(second, "1.pdb"))
    text = models(first, "")[0].replace("END\n", "") + models(second, "")[0]
    twice = replace(MOLECULE, positions=np.concatenate([MOLECULE.positions] * 2))
    same_as(read_ensemble(put(text), "x"), twice)
    (folder / "x.pdb").unlink()
    same_as(read_source(find_sources(folder).sources[folder.name], "x"), twice)


def dimer():
    """Two chains of one sequence, A and B, in two models."""
    one = molecule(frames=2)
    other = replace(one.changed("chain", True, "B"), positions=one.positions[::-1] + 30.0)
    return one, other, one.joined(other)


def test_models_may_have_their_chains_in_another_order(put):
    one, other, both = dimer()
    turned = other.joined(one).frame(1)
    path = put(pdb_text(both.frame(0)).replace("END\n", "") + pdb_text(turned))
    for chain, table in (("A", one), ("B", other)):
        same_as(read_ensemble(path, "x", chain=chain), table)


def test_the_name_of_a_single_chain_may_differ_between_models(put):
    one, other, _ = dimer()
    path = put(pdb_text(one.frame(0)).replace("END\n", "") + pdb_text(other.frame(1)))
    same_as(read_ensemble(path, "x"), replace(one, positions=np.stack([one.positions[0], other.positions[1]])))


def test_mmcif_with_all_models_of_one_chain_before_the_other_chain_s(put):
    one, other, _ = dimer()
    rows = cif_text(other).split("pdbx_PDB_model_num\n")[1]
    path = put(cif_text(one).removesuffix("#\n") + rows, "x.cif")
    assert len(read_structures(path)) == 2
    for chain, table in (("A", one), ("B", other)):
        same_as(read_ensemble(path, "x", chain=chain), table)


def test_mmcif_that_repeats_a_model_s_number_has_another_model(put):
    one = molecule(frames=3)
    last = cif_text(one.frame(2)).split("pdbx_PDB_model_num\n")[1]
    numbered = cif_text(replace(one, positions=one.positions[:2])).removesuffix("#\n")
    same_as(read_ensemble(put(numbered + last, "x.cif"), "x"), one)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: without(t, "CG2"), "CG2 of ILE 3"),
        (lambda t: t.changed("residue_name", t.number == 2, "SER"), "ALA 2"),
        (lambda t: t.take(np.flatnonzero(t.number != 9)), "VAL 9"),
        (lambda t: t.changed("name", t.name == "CD1", "CX1"), "CD1 of ILE 3"),
    ],
)
def test_heavy_atoms_of_the_protein_may_not_differ(put, change, named):
    text, _ = differing(change)
    refused(put(text), "structure.models-differ", "model 2", named)


def test_atoms_that_are_left_out_are_told(put):
    text, _ = differing(lambda t: without(t, "HA").joined(water(4, 2)))
    frames = read_structures(put(text))
    assert any("9 atoms that not all models have" in note for note in frames.notes)


# Order of atoms in the file


def test_hydrogens_at_the_end_of_the_file(put):
    order = np.argsort(MOLECULE.element == "H", kind="stable")
    path = put(pdb_text(MOLECULE.take(order)))
    same_as(read_ensemble(path, "x"), MOLECULE)
    frames = read_frames(path)
    np.testing.assert_array_equal(frames.atoms.name, MOLECULE.name[order])
    assert len(np.unique(frames.atoms.residue)) == 9


def test_side_chains_behind_all_backbones(put):
    order = np.argsort(~np.isin(MOLECULE.name, ("N", "CA", "C", "O")), kind="stable")
    same_as(read_ensemble(put(pdb_text(MOLECULE.take(order))), "x"), MOLECULE)


def again(table, number, name, where):
    """The table with one atom a second time, an angstrom away."""
    row = int(np.flatnonzero((table.number == number) & (table.name == name))[0])
    twin = table.take(np.array([row]))
    twin = type(twin)(**{**vars(twin), "positions": twin.positions + 1})
    at = len(table) if where == "at the end" else row + 1
    return table.take(np.arange(at)).joined(twin).joined(table.take(np.arange(at, len(table))))


@pytest.mark.parametrize("where", ["behind it", "at the end"])
@pytest.mark.parametrize("name", ["N", "CB", "CA"])
@pytest.mark.parametrize("form", ["pdb", "cif"])
def test_an_atom_that_is_there_twice_is_refused_wherever_its_twin_is(put, name, where, form):
    """Whichever were taken, it might be the wrong one."""
    table = again(MOLECULE, 4, name, where)
    path = put(pdb_text(table) if form == "pdb" else cif_text(table), f"x.{form}")
    with pytest.raises(InputError) as error:
        read_ensemble(path, "x")
    assert error.value.code in ("structure.duplicate-atom", "structure.several-chains")
    assert path.name in str(error.value)


# Anything else


@pytest.mark.parametrize("name", ["x.txt", "x.mol2", "x.crd", "x"])
def test_another_format_is_named_with_those_that_are_read(put, name):
    refused(put("HELLO", name), "file.format", ".pdb", ".xtc")


@pytest.mark.parametrize("name", ["x.cif", "x.bcif", "x.pdb.gz"])
def test_rubbish_is_refused_whatever_its_suffix(put, name):
    with pytest.raises(InputError) as error:
        read_ensemble(put(b"\x00rubbish\xff" * 40, name), "x")
    assert name in str(error.value)
