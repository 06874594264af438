"""What of a file is the protein, and which chain of it is meant."""

import numpy as np
import pytest
from molecule_files import Table, cif_text, molecule, pdb_text, same_as, water
from proteins import build, reference

from ebabench.errors import InputError
from ebabench.io.chains import modifications, protein_chains, select_chain
from ebabench.io.structure_files import read_ensemble
from ebabench.io.structures import read_structures
from ebabench.scoring.pair import make_pair

MOLECULE = molecule()


@pytest.fixture
def put(tmp_path):
    def write(text, name="x.pdb"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def refused(path, code, *named, **options):
    with pytest.raises(InputError) as error:
        read_ensemble(path, "x", **options)
    assert error.value.code == code
    for text in (path.name, *named):
        assert text in str(error.value)


def moved(table: Table, by: float) -> Table:
    return Table(**{**vars(table), "positions": table.positions + by})


def numbered(table: Table, start: int) -> Table:
    return Table(**{**vars(table), "number": table.number + start})


def ligand(residue_name: str, names: str, elements: str | None = None, number: int = 301) -> Table:
    count = len(names.split())
    place = np.repeat((40 + 1.5 * np.arange(count))[:, None], 3, axis=1) * np.array([1, 0, 0]) + np.array([0, 40, 40])
    columns = {"residue_name": residue_name, "chain": "A", "record": "HETATM"}
    return Table(
        **{key: np.full(count, value) for key, value in columns.items()},
        name=np.array(names.split()),
        number=np.full(count, number),
        element=np.array((elements or " ".join(n[0] for n in names.split())).split()),
        positions=np.repeat(place[None], 5, axis=0),
    )


@pytest.mark.parametrize(
    "extra",
    [
        ligand("CA", "CA", "CA"),
        ligand("CAL", "CAL", "CA"),
        ligand("PLM", "C1 CA CB CC CD"),
        ligand("HEM", "FE CA NA NB CB", "FE C N N C"),
        ligand("GLU", "N CA C O CB CG CD OE1 OE2 OXT"),
        ligand("ACE", "C O CH3"),
        water(7, 5),
    ],
    ids=["calcium", "calcium of CHARMM", "palmitate", "haem", "free amino acid", "cap", "waters"],
)
@pytest.mark.parametrize("form", ["pdb", "cif"])
def test_ions_ligands_and_waters_are_left_out_and_named(put, extra, form):
    table = MOLECULE.joined(extra)
    path = put(pdb_text(table) if form == "pdb" else cif_text(table), f"x.{form}")
    same_as(read_ensemble(path, "x"), MOLECULE)
    notes = select_chain(read_structures(path)).notes
    assert any(str(extra.residue_name[0]) in note for note in notes)


def test_hydrogens_are_known_by_element_or_name(put):
    named = MOLECULE.changed("name", MOLECULE.name == "HA", "1HA").changed("element", True, "")
    same_as(read_ensemble(put(pdb_text(named)), "x"), MOLECULE)
    deuterium = MOLECULE.changed("element", MOLECULE.element == "H", "D").changed("name", MOLECULE.name == "H", "D")
    same_as(read_ensemble(put(pdb_text(deuterium)), "x"), MOLECULE)


def test_an_element_that_is_guessed_by_the_name_makes_no_mercury_of_a_hydrogen(put):
    light = MOLECULE.element == "H"
    for name, element in (("HG", "HG"), ("HE1", "HE")):
        table = MOLECULE.changed("name", light & (MOLECULE.name == "HA"), name)
        same_as(read_ensemble(put(pdb_text(table.changed("element", table.name == name, element))), "x"), MOLECULE)
    mercury = ligand("HG", "HG", "HG")
    atoms = read_structures(put(pdb_text(MOLECULE.joined(mercury)))).atoms
    assert not atoms.hydrogen[-1]


def two(second_chain: str, second: Table | None = None) -> Table:
    other = molecule("MKTAYIA") if second is None else second
    return MOLECULE.joined(moved(other.changed("chain", True, second_chain), 15.0))


@pytest.mark.parametrize("form", ["pdb", "cif"])
def test_two_chains_are_said_in_those_words(put, form):
    table = two("B")
    path = put(pdb_text(table) if form == "pdb" else cif_text(table), f"x.{form}")
    refused(path, "structure.several-chains", "2 protein chains", "A (9 residues)", "B (7 residues)")


def test_two_chains_with_ends_in_contact_are_two(put):
    """C of the one beside N of the other."""
    other = molecule("MKTAYIA")
    end = MOLECULE.positions[:, np.flatnonzero(MOLECULE.name == "C")[-1]]
    start = other.positions[:, np.flatnonzero(other.name == "N")[0]]
    placed = Table(**{**vars(other), "positions": other.positions + (end - start + 1.33 / 3**0.5)[:, None]})
    refused(put(pdb_text(MOLECULE.joined(placed.changed("chain", True, "B")))), "structure.several-chains")


@pytest.mark.parametrize("chain", ["", "A"])
def test_a_chain_that_counts_anew_is_another_one(put, chain):
    table = two(chain).changed("chain", True, chain or " ")
    refused(put(pdb_text(table)), "structure.several-chains", "2 protein chains")


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_a_chain_whose_atoms_are_out_of_order_is_told_so(put, order):
    rows = (
        np.arange(len(MOLECULE))[::-1] if order == "reversed" else np.random.default_rng(1).permutation(len(MOLECULE))
    )
    refused(put(pdb_text(MOLECULE.take(rows))), "structure.several-chains", "sort the atoms along the chain")


@pytest.mark.parametrize("end", ["OXT", "OT2", "NH3+", "caps"])
def test_a_chain_ends_at_the_atoms_of_an_end(put, end):
    """As in files of Amber: no names, numbers that go on, no TER."""
    first, second = MOLECULE.changed("chain", True, " "), moved(MOLECULE.changed("chain", True, " "), 12.0)
    second = numbered(second, 11 if end == "caps" else 9)
    if end in ("OXT", "OT2"):
        first = first.joined(ligand("VAL", end, number=9).changed("chain", True, " ").changed("record", True, "ATOM"))
    elif end == "NH3+":
        second = ligand("GLY", "H2 H3", "H H", number=10).changed("chain", True, " ").joined(second)
    else:
        for name, atoms, number in (("NME", "N C", 10), ("ACE", "CH3 C O", 11)):
            first = first.joined(ligand(name, atoms, number=number).changed("chain", True, " "))
    path = put(pdb_text(first.joined(second)).replace("TER\n", "").replace("HETATM", "ATOM  "))
    refused(path, "structure.several-chains", "2 protein chains", "give each a name")


def test_a_gap_in_the_numbers_is_one_chain_whatever_its_ends(put):
    gap = MOLECULE.take(np.flatnonzero(~np.isin(MOLECULE.number, (4, 5))))
    end = ligand("ILE", "OXT", number=3).changed("chain", True, "A").changed("record", True, "ATOM")
    before = np.flatnonzero(gap.number < 4)
    table = gap.take(before).joined(end).joined(gap.take(np.flatnonzero(gap.number > 5)))
    assert read_ensemble(put(pdb_text(table)), "x").atoms.sequence == "GAIKSTV"


def test_one_of_several_chains_is_chosen(put):
    path = put(pdb_text(two("B")))
    same_as(read_ensemble(path, "x", chain="A"), MOLECULE)
    assert read_ensemble(path, "x", chain="B").atoms.sequence == "MKTAYIA"
    refused(path, "structure.unknown-chain", "A (9 residues)", chain="C")


def test_a_gap_in_a_chain_is_no_second_chain(put):
    gap = MOLECULE.take(np.flatnonzero(~np.isin(MOLECULE.number, (4, 5))))
    path = put(pdb_text(gap))
    assert read_ensemble(path, "x").atoms.sequence == "GAIKSTV"
    assert len(protein_chains(read_structures(path).atoms, gap.positions[0])) == 1


def test_a_chain_without_a_name_in_segments_of_names(put):
    """CHARMM: no chain identifier, a segment in columns 73 to 76."""
    lines = pdb_text(MOLECULE.changed("chain", True, " ")).splitlines(keepends=True)
    text = "".join(line[:72] + "PROA" + line[76:] if line.startswith("ATOM") else line for line in lines)
    path = put(text)
    same_as(read_ensemble(path, "x"), MOLECULE)
    assert str(read_structures(path).atoms.chain[0]) == "PROA"


def test_a_modified_residue_among_hetatm_records_belongs_to_the_chain(put):
    table = MOLECULE.changed("residue_name", MOLECULE.number == 7, "SEP").changed(
        "record", MOLECULE.number == 7, "HETATM"
    )
    atoms = read_ensemble(put(pdb_text(table)), "x").atoms
    assert list(dict.fromkeys(zip(atoms.residue.tolist(), atoms.residue_name.tolist(), strict=True)))[6] == (6, "SEP")


def test_a_residue_of_an_unknown_name_with_a_backbone_belongs_to_the_chain(put):
    table = MOLECULE.changed("residue_name", MOLECULE.number == 7, "QQQ")
    assert read_ensemble(put(pdb_text(table)), "x").atoms.sequence == "GAIHWKXTV"


# Names of residues


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        (1, "NGLY", "GLY"), (9, "CVAL", "VAL"), (4, "HID", "HIS"), (4, "HSE", "HIS"), (4, "HIP", "HIS"),
        (4, "HISH", "HIS"), (6, "LYN", "LYS"), (6, "LYSH", "LYS"), (6, "Lys", "LYS"), (4, "hsd", "HIS"),
        (4, "HIS+", "HIS"), (6, "LYS+", "LYS"),
        (9, "VAL-", "VAL"), (1, "GLY+", "GLY"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chain", ["A", " "])
def test_names_of_force_fields(put, number, name, expected, chain):
    table = MOLECULE.changed("residue_name", MOLECULE.number == number, name).changed("chain", True, chain)
    ensemble = read_ensemble(put(pdb_text(table)), "x")
    same_as(ensemble, MOLECULE)
    assert str(ensemble.atoms.residue_name[ensemble.atoms.residue == number - 1][0]) == expected


@pytest.mark.parametrize("name", ["CYSS", "CYSD", "CYS2", "CYX"])
def test_cysteine_under_every_name_that_energies_know(put, name):
    molecule_of = molecule("GACKST")
    table = molecule_of.changed("residue_name", molecule_of.number == 3, name)
    same_as(read_ensemble(put(pdb_text(table)), "x"), molecule_of)


@pytest.mark.parametrize("number", [1, 9])
def test_an_end_of_the_chain_with_an_unknown_fourth_letter_is_not_lost(put, number):
    table = MOLECULE.changed("residue_name", MOLECULE.number == number, "VALX")
    ensemble = read_ensemble(put(pdb_text(table)), "x")
    same_as(ensemble, MOLECULE)
    assert ensemble.atoms.sequence.index("X") == number - 1


def test_two_letters_of_a_chain_are_no_fourth_letter_of_a_residue(put):
    lines = pdb_text(MOLECULE).splitlines(keepends=True)
    text = "".join(line[:20] + "AB" + line[22:] if line.startswith("ATOM") else line for line in lines)
    path = put(text)
    same_as(read_ensemble(path, "x"), MOLECULE)
    assert set(read_structures(path).atoms.chain.tolist()) == {"AB"}


def test_phosphoserine_is_neither_serine_nor_phosphothreonine(put):
    def named(name):
        return read_ensemble(put(pdb_text(MOLECULE.changed("residue_name", MOLECULE.number == 7, name))), "x")

    md = reference(build("GAIHWKSTV"))
    with pytest.raises(InputError, match="residue 7 is SEP, in the reference SER") as error:
        make_pair(named("SEP"), md)
    assert error.value.code == "match.other-sequence"
    sep = named("SEP")
    other = build("GAIHWKSTV")
    tpo = type(other.atoms)(
        other.atoms.name, np.where(other.atoms.residue == 6, "TPO", other.atoms.residue_name), other.atoms.residue
    )
    phosphorylated = reference(type(other)("synthetic", tpo.sequence, tpo, other.native))
    with pytest.raises(InputError, match="residue 7 is SEP, in the reference TPO"):
        make_pair(sep, phosphorylated)


def test_a_modified_residue_is_taken_for_its_parent_on_request(put):
    phosphate = MOLECULE.take(np.flatnonzero((MOLECULE.number == 7) & np.isin(MOLECULE.name, ("OG", "CB"))))
    phosphate = phosphate.changed("name", phosphate.name == "OG", "P").changed("name", phosphate.name == "CB", "O1P")
    phosphate = phosphate.changed("element", phosphate.name == "P", "P")
    table = MOLECULE.joined(Table(**{**vars(phosphate), "positions": phosphate.positions + 1.5}))
    table = table.changed("residue_name", table.number == 7, "SEP")
    path = put(pdb_text(table))
    assert "O1P" in read_ensemble(path, "x").atoms.name
    ensemble = read_ensemble(path, "x", modified_as_parent=True)
    same_as(ensemble, MOLECULE)
    assert ensemble.atoms.sequence == "GAIHWKSTV"
    assert len(ensemble.notes) == 1
    assert "SEP 7" in ensemble.notes[0]
    assert "SER" in ensemble.notes[0]


def test_an_unmodified_chain_has_no_notes(put):
    assert read_ensemble(put(pdb_text(MOLECULE)), "x", modified_as_parent=True).notes == ()
    assert modifications(read_structures(put(pdb_text(MOLECULE)))) == ()
