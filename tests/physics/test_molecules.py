"""Energies are of the molecule in the file, against OpenMM alone, for every kind of molecule; or there is none."""

import io

import mdtraj
import numpy as np
import openmm
import pytest
from kinds import (
    bridged,
    capped,
    cyclic,
    energy_by_openmm,
    energy_of,
    forcefield,
    heavy_pdb,
    residues_of,
    with_hydrogens,
    write,
)
from openmm import app, unit
from proteins import HELIX, STRAND, build

from ebabench.physics.energy import potential_energies
from ebabench.physics.files import decomposition_table, energy_table
from ebabench.physics.molecules import Chain, Molecule
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS
from ebabench.structures import Atoms
from ebabench.workflows.energy import energy_notes

OBC = "amber99sbildn-obc"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def moved(chain, by):
    return [(name, residue, number, x + np.array(by)) for name, residue, number, x in chain]


def two_chains():
    return heavy_pdb(residues_of("GSY"), moved(residues_of("AKD", HELIX), [14.0, 2.0, 3.0]))


# Kind: the file's heavy atoms, and the protonation that OpenMM is told.
KINDS = {
    "two chains": (two_chains(), {}),
    "both caps": (heavy_pdb(capped("KS")), {}),
    "amide": (heavy_pdb(capped("SF", c_cap="NH2")[3:]), {}),
    "disulfide between chains": (heavy_pdb(*bridged()), {}),
    "HIP": (heavy_pdb(residues_of("AHA")), {1: "HIP"}),
    "HIE": (heavy_pdb(residues_of("AHA")), {1: "HIE"}),
    "acids and neutral lysine": (heavy_pdb(residues_of("DEKGDEKG")), {4: "ASH", 5: "GLH", 6: "LYN"}),
}


def all_atom(kind, folder):
    pdb, variants = KINDS[kind]
    if kind == "amide":  # PDBFixer would give the residue before it an OXT
        topology = app.PDBFile(io.StringIO(pdb)).topology
        modeller = app.Modeller(topology, app.PDBFile(io.StringIO(pdb)).positions)
        modeller.addHydrogens(platform=openmm.Platform.getPlatformByName("Reference"))
        return write(folder / "all.pdb", modeller.topology, np.array(modeller.positions.value_in_unit(unit.nanometer)))
    return write(folder / "all.pdb", *with_hydrogens(pdb, variants))


@pytest.mark.parametrize("protocol", ["amber99sbildn-obc", "amber14-gbn2"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_all_atom_file_has_the_energy_that_openmm_gives_it(kind, protocol, tmp_path):
    path = all_atom(kind, tmp_path)
    constraints = app.HBonds if PROTOCOLS[protocol].constrain_hydrogens else None
    (row,) = energy_table([path], protocol).itertuples()
    assert row.hydrogens == "given"
    assert row.energy_kj_per_mol == pytest.approx(energy_by_openmm(path, protocol, constraints=constraints), abs=5e-3)


@pytest.mark.slow
def test_charmm_has_the_same_kinds(tmp_path):
    """All kinds in one molecule, since OpenMM takes its time for the whole of CHARMM36."""
    chains = [*bridged(), residues_of("GHA"), residues_of("DEK", HELIX), capped("KS"), capped("SF", c_cap="NH2")]
    pdb = heavy_pdb(*(moved(chain, [25.0 * max(k - 1, 0), 0, 0]) for k, chain in enumerate(chains)))
    variants = {7: "HIP", 9: "ASH", 10: "GLH", 11: "LYN"}
    path = write(tmp_path / "all.pdb", *with_hydrogens(pdb, variants))
    read = app.PDBFile(str(path))
    # The same atoms and bonds with caps in their neighbours, as CHARMM's residues are.
    topology, same = app.Topology(), {}
    for chain in read.topology.chains():
        merged, residues = topology.addChain(), list(chain.residues())
        for k, residue in enumerate(residues):
            if residue.name not in ("NME", "NH2") and (k == 0 or residues[k - 1].name != "ACE"):
                own = topology.addResidue(residue.name, merged)
            for atom in residue.atoms():
                same[atom] = topology.addAtom(f"{atom.name}{residue.index}", atom.element, own)
    for bond in read.topology.bonds():
        topology.addBond(same[bond[0]], same[bond[1]])
    system = forcefield("charmm36-gbn2").createSystem(topology, constraints=app.HBonds)
    expected = energy_of(system, np.array(read.positions.value_in_unit(unit.nanometer)))
    (row,) = energy_table([path], "charmm36-gbn2").itertuples()
    assert (row.chains, row.residues, row.hydrogens) == (6, 16, "given")
    assert row.energy_kj_per_mol == pytest.approx(expected, abs=5e-3)


def charge(molecule, protocol):
    system = build_template(molecule, PROTOCOLS[protocol]).system
    (force,) = (f for f in system.getForces() if isinstance(f, openmm.NonbondedForce))
    return sum(force.getParticleParameters(k)[0]._value for k in range(force.getNumParticles()))


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "HIS": 0,
        "HID": 0,
        "HIE": 0,
        "HIP": 1,
        "HSD": 0,
        "HSE": 0,
        "HSP": 1,
        "ASP": -1,
        "ASH": 0,
        "ASPP": 0,
        "GLU": -1,
        "GLH": 0,
        "GLUP": 0,
        "LYS": 1,
        "LYN": 0,
    }.items(),
)
def test_names_fix_the_protonation_of_heavy_atoms(name, expected, protocol):
    letter = {"H": "H", "A": "D", "G": "E", "L": "K"}[name[0]]
    atoms = build(f"A{letter}A", STRAND).atoms
    named = Atoms(atoms.name, np.where(atoms.residue == 1, name, atoms.residue_name), atoms.residue)
    assert charge(named, protocol) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("names", [("HID", "HSD", "HIS"), ("HIE", "HSE", "HISE"), ("HIP", "HSP", "HISH")])
def test_a_protonation_has_one_energy_under_its_names(names):
    target = build("AHG", STRAND)
    atoms = target.atoms
    energies = [
        potential_energies(
            Atoms(atoms.name, np.where(atoms.residue == 1, name, atoms.residue_name), atoms.residue),
            target.native[None],
            OBC,
            minimise=False,
        )[0]
        for name in names
    ]
    assert energies == [energies[0]] * len(names)


def test_a_tautomer_is_not_the_other():
    target = build("AHG", STRAND)
    atoms = target.atoms
    energies = {
        name: potential_energies(
            Atoms(atoms.name, np.where(atoms.residue == 1, name, atoms.residue_name), atoms.residue),
            target.native[None],
            OBC,
        )[0]
        for name in ("HID", "HIE", "HIP")
    }
    assert abs(energies["HID"] - energies["HIE"]) > 1
    assert abs(energies["HID"] - energies["HIP"]) > 10


def test_chains_far_apart_have_the_sum_of_their_energies(tmp_path):
    one, other = residues_of("GSY"), residues_of("AKD", HELIX)
    (tmp_path / "one.pdb").write_text(heavy_pdb(one))
    (tmp_path / "other.pdb").write_text(heavy_pdb(other))
    (tmp_path / "both.pdb").write_text(heavy_pdb(one, moved(other, [0, 0, 900.0])))
    table = energy_table([tmp_path / f"{name}.pdb" for name in ("one", "other", "both")], OBC)
    first, second, both = table["energy_kj_per_mol"]
    assert both == pytest.approx(first + second, abs=0.02)
    assert table["chains"].tolist() == [1, 1, 2]
    assert table["residues"].tolist() == [3, 3, 6]


def test_heavy_atoms_of_two_chains_have_the_termini_of_both(tmp_path):
    pdb, _ = KINDS["two chains"]
    (tmp_path / "heavy.pdb").write_text(pdb)
    whole = all_atom("two chains", tmp_path)
    table = energy_table([tmp_path / "heavy.pdb", whole], OBC, minimise=True)
    assert table["energy_kj_per_mol"].to_numpy() == pytest.approx(table["energy_kj_per_mol"].mean(), abs=15)


def test_chains_without_identifiers_are_told_apart_by_their_ends(tmp_path):
    pdb = heavy_pdb(residues_of("GSY"), moved(residues_of("AKD", HELIX), [14.0, 2.0, 3.0]))
    blank = "".join(line[:21] + " " + line[22:] for line in pdb.splitlines(True) if line.startswith("ATOM"))
    (tmp_path / "named.pdb").write_text(pdb)
    (tmp_path / "blank.pdb").write_text(blank)
    (tmp_path / "ter.pdb").write_text(blank[: blank.index("ALA") - 17] + "TER\n" + blank[blank.index("ALA") - 17 :])
    named, ter, bare = (energy_table([tmp_path / f"{name}.pdb"], OBC).iloc[0] for name in ("named", "ter", "blank"))
    assert ter["energy_kj_per_mol"] == named["energy_kj_per_mol"]
    assert "gap" in bare["reason"]
    topology, positions = with_hydrogens(pdb)
    lines = write(tmp_path / "whole.pdb", topology, positions).read_text().splitlines(True)
    # An OXT or three hydrogens at N are ends, too.
    (tmp_path / "whole-blank.pdb").write_text(
        "".join(line[:21] + " " + line[22:] for line in lines if line.startswith("ATOM"))
    )
    table = energy_table([tmp_path / "whole.pdb", tmp_path / "whole-blank.pdb"], OBC)
    assert table["chains"].tolist() == [2, 2]
    assert table["energy_kj_per_mol"][0] == table["energy_kj_per_mol"][1]


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_a_head_to_tail_cycle_has_no_termini(protocol, tmp_path):
    topology, positions = cyclic()
    whole = write(tmp_path / "cycle.pdb", topology, positions)
    read = app.PDBFile(str(whole))
    ends = [next(a for a in r.atoms() if a.name == n) for r, n in zip(
        [list(read.topology.residues())[k] for k in (-1, 0)], ("C", "N"), strict=True)]  # fmt: skip
    read.topology.addBond(*ends)
    constraints = app.HBonds if PROTOCOLS[protocol].constrain_hydrogens else None
    system = forcefield(protocol).createSystem(read.topology, constraints=constraints)
    heavy = tmp_path / "heavy.pdb"
    heavy.write_text("".join(line for line in whole.read_text().splitlines(True) if line[76:78] != " H"))
    table = energy_table([whole, heavy], protocol)
    expected = energy_of(system, np.array(read.positions.value_in_unit(unit.nanometer)))
    assert table["energy_kj_per_mol"][0] == pytest.approx(expected, abs=5e-3)
    assert table["hydrogens"].tolist() == ["given", "placed"]
    # Placed hydrogens are not those of the file, but there are as many.
    assert table["energy_kj_per_mol"][1] == pytest.approx(expected, abs=150)


def gapped(drop=(2, 3)):
    return [row for row in residues_of("GASYGA") if row[2] - 1 not in drop]


@pytest.mark.parametrize("minimise", [False, True])
@pytest.mark.parametrize("with_oxt", [False, True])
def test_missing_residues_are_a_gap_without_energy(minimise, with_oxt, tmp_path):
    rows = gapped()
    if with_oxt:
        rows.append(("OXT", "ALA", 6, rows[-1][3] + np.array([1.2, 0.3, 0.2])))
    (tmp_path / "gap.pdb").write_text(heavy_pdb(rows))
    (row,) = energy_table([tmp_path / "gap.pdb"], OBC, minimise=minimise).itertuples()
    assert np.isnan(row.energy_kj_per_mol)
    assert "gap" in row.reason
    assert "ALA2" in row.reason
    assert "GLY5" in row.reason


def test_a_jump_of_residue_numbers_alone_is_no_gap(tmp_path):
    rows = residues_of("GASY")
    (tmp_path / "jump.pdb").write_text(heavy_pdb([(n, r, k + 10 * (k > 2), x) for n, r, k, x in rows]))
    (tmp_path / "plain.pdb").write_text(heavy_pdb(rows))
    table = energy_table([tmp_path / "jump.pdb", tmp_path / "plain.pdb"], OBC)
    assert table["energy_kj_per_mol"][0] == table["energy_kj_per_mol"][1]


def test_files_with_and_without_an_energy_stand_in_one_table(tmp_path):
    (tmp_path / "gap.pdb").write_text(heavy_pdb(gapped()))
    (tmp_path / "two.pdb").write_text(two_chains())
    table = energy_table([tmp_path / "gap.pdb", tmp_path / "two.pdb"], OBC)
    first, second = table.to_csv(index=False).splitlines()[1:]
    assert first.startswith(f"{tmp_path / 'gap.pdb'},1,,,,False,,,,gap in the chain")
    assert second.startswith(f"{tmp_path / 'two.pdb'},1,2,6,")


def test_one_torn_frame_is_one_reason(tmp_path):
    rows = residues_of("GASY")
    torn = [(n, r, k, x + (np.array([0, 0, 3.0]) if k > 2 else 0)) for n, r, k, x in rows]
    models = "".join(f"MODEL {k}\n{heavy_pdb(m)[:-4]}ENDMDL\n" for k, m in enumerate((rows, torn, rows), 1))
    (tmp_path / "three.pdb").write_text(models + "END\n")
    table = energy_table([tmp_path / "three.pdb"], OBC)
    assert table["frame"].tolist() == [1, 2, 3]
    assert np.isnan(table["energy_kj_per_mol"]).tolist() == [False, True, False]
    assert "gap" in table["reason"][1]


def with_name(rows, number, name):
    return [(n, name if k == number else r, k, x) for n, r, k, x in rows]


REFUSED = {
    "SEP2": heavy_pdb(with_name(residues_of("ASG"), 2, "SEP")),
    "MSE2": heavy_pdb(with_name(residues_of("AMG"), 2, "MSE")),
    "UNK1": heavy_pdb(with_name(residues_of("ASG"), 1, "UNK")),
    "FOR1": heavy_pdb([(n, r, k, x) for n, r, k, x in with_name(residues_of("GAG"), 1, "FOR")
                       if not (k == 1 and n in ("N", "CA"))]),
    "CYX2": heavy_pdb(with_name(residues_of("ACG"), 2, "CYX")),
    "DG": heavy_pdb(residues_of("AGA"), [(n, "DG", 1, np.array([x, 0, 0])) for n, x in (("P", 30.0), ("OP1", 31.5))]),
    "backbone": heavy_pdb([row for row in residues_of("AGA") if row[0] != "O"]),
    "no atom C": heavy_pdb([row for row in residues_of("AGA") if (row[0], row[2]) != ("C", 2)]),
    "more than once": heavy_pdb([*residues_of("AG"), ("CA", "GLY", 2, np.array([9.0, 9.0, 9.0]))]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_molecule_that_no_force_field_has_is_none(what, tmp_path):
    (tmp_path / "x.pdb").write_text(REFUSED[what])
    for protocol in PROTOCOLS:
        (row,) = energy_table([tmp_path / "x.pdb"], protocol).itertuples()
        assert np.isnan(row.energy_kj_per_mol)
        assert what in row.reason


def sidechain_bridge():
    """Lysine's NZ at the carboxyl carbon of an aspartate: a lactam."""
    rows = residues_of("KGGD", HELIX)
    (carbon,) = (x for n, _, k, x in rows if (n, k) == ("CG", 4))
    (oxygen,) = (x for n, _, k, x in rows if (n, k) == ("OD2", 4))
    place = carbon + 1.33 * (oxygen - carbon) / np.linalg.norm(oxygen - carbon)
    return heavy_pdb([(n, r, k, place if (n, k) == ("NZ", 1) else x) for n, r, k, x in rows if (n, k) != ("OD2", 4)])


def test_a_bond_between_side_chains_is_refused(tmp_path):
    (tmp_path / "lactam.pdb").write_text(sidechain_bridge())
    (row,) = energy_table([tmp_path / "lactam.pdb"], OBC).itertuples()
    assert np.isnan(row.energy_kj_per_mol)
    assert "CG of ASP4" in row.reason
    assert "NZ of LYS1" in row.reason


def het(name, number, atoms):
    return "".join(
        f"HETATM{900 + k:5d}  {atom:<3} {name:<3} A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
        f"          {element:>2}\n"
        for k, (atom, element, (x, y, z)) in enumerate(atoms)
    )


WATERS = "".join(het("HOH", 200 + k, [("O", "O", (30.0 + 3 * k, 0, 0))]) for k in range(3))
FREE_GLYCINE = het("GLY", 301, [("N", "N", (20, 20, 20)), ("CA", "C", (21.458, 20, 20)), ("C", "C", (22.0, 21.42, 20)),
                                ("O", "O", (21.25, 22.39, 20)), ("OXT", "O", (23.2, 21.5, 20))])  # fmt: skip


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (WATERS, "3 HOH"),
        (het("NA", 400, [("NA", "NA", (0, 30, 0))]), "NA400"),
        (het("CA", 401, [("CA", "CA", (0, 30, 0))]), "CA401"),
        (FREE_GLYCINE, "GLY301"),
        (het("ACT", 500, [("C", "C", (0, 40, 0)), ("O", "O", (1.2, 40, 0))]), "ACT500"),
    ],
)
def test_what_is_no_part_of_the_chains_is_left_out_and_told(others, named, tmp_path):
    rows = residues_of("GASY")
    (tmp_path / "plain.pdb").write_text(heavy_pdb(rows))
    (tmp_path / "others.pdb").write_text(heavy_pdb(rows, hetero=others))
    table = energy_table([tmp_path / "plain.pdb", tmp_path / "others.pdb"], OBC)
    assert table["energy_kj_per_mol"][0] == table["energy_kj_per_mol"][1]
    assert table["left_out"][0] == ""
    assert named in table["left_out"][1]
    (note,) = energy_notes(table)
    assert "others.pdb" in note
    assert named in note


def test_a_ligand_that_is_bonded_to_the_chain_is_refused(tmp_path):
    rows = residues_of("GSY")
    (oxygen,) = (x for n, _, k, x in rows if (n, k) == ("OG", 2))
    sugar = het(
        "NAG", 401, [("C1", "C", oxygen + np.array([0.0, 0.0, 1.43])), ("C2", "C", oxygen + np.array([0.0, 1.0, 2.4]))]
    )
    (tmp_path / "glycan.pdb").write_text(heavy_pdb(rows, hetero=sugar))
    (row,) = energy_table([tmp_path / "glycan.pdb"], OBC).itertuples()
    assert np.isnan(row.energy_kj_per_mol)
    assert "NAG401" in row.reason
    assert "OG of SER2" in row.reason


def atom_lines(path):
    return [line for line in path.read_text().splitlines(True) if line.startswith("ATOM")]


def test_the_order_and_the_names_of_given_hydrogens_do_not_matter(tmp_path):
    whole = write(tmp_path / "whole.pdb", *with_hydrogens(heavy_pdb(residues_of("GASYK"))))
    lines = atom_lines(whole)
    hydrogen = [line for line in lines if line[76:78] == " H"]
    last = [line for line in lines if line[76:78] != " H"] + hydrogen
    (tmp_path / "last.pdb").write_text("".join(last))
    old = {"HB1": " 1HB", "HB2": "HB1 ", "HB3": "2HB ", "HA3": "1HA ", "HA2": " HA1", "H": " HN ", "H2": "HT2 "}
    renamed = "".join(line[:12] + old.get(line[12:16].strip(), line[12:16]) + line[16:] for line in lines)
    (tmp_path / "renamed.pdb").write_text(renamed)
    table = energy_table([tmp_path / f"{name}.pdb" for name in ("whole", "last", "renamed")], OBC)
    assert table["hydrogens"].tolist() == ["given"] * 3
    np.testing.assert_allclose(table["energy_kj_per_mol"], energy_by_openmm(whole, OBC), atol=1e-3)


@pytest.mark.parametrize("what", ["one is missing", "only polar ones", "one lies elsewhere", "not those of the name"])
def test_hydrogens_that_do_not_fit_are_placed_anew_and_that_is_told(what, tmp_path):
    variants = {1: "HID"} if what == "not those of the name" else {}
    whole = write(tmp_path / "whole.pdb", *with_hydrogens(heavy_pdb(residues_of("AHSA")), variants))
    lines = atom_lines(whole)
    if what == "one is missing":
        lines = [line for line in lines if line[12:16] != " HG "]
    elif what == "only polar ones":
        lines = [line for line in lines if line[76:78] != " H" or line[12:16].strip() in ("H", "H2", "H3", "HG")]
    elif what == "one lies elsewhere":
        lines = [
            line[:30] + "   0.000  40.000   0.000" + line[54:] if line[12:16] == " HG " else line for line in lines
        ]
    else:
        lines = [line.replace("HIS", "HIE") for line in lines]
    (tmp_path / "given.pdb").write_text("".join(lines))
    (tmp_path / "heavy.pdb").write_text("".join(line for line in lines if line[76:78] != " H"))
    table = energy_table([tmp_path / "given.pdb", tmp_path / "heavy.pdb"], OBC)
    assert table["hydrogens"][0].startswith("placed anew")
    assert table["hydrogens"][1] == "placed"
    assert table["energy_kj_per_mol"][0] == table["energy_kj_per_mol"][1]
    assert any("placed anew" in note for note in energy_notes(table))


def test_models_with_other_hydrogens_are_told_where_hydrogens_are_placed_anew(tmp_path):
    whole = write(tmp_path / "whole.pdb", *with_hydrogens(heavy_pdb(residues_of("GHA"))))
    lines = atom_lines(whole)
    sites = [line for line in lines if line[12:16].strip() in ("HD1", "HE2")]
    models = []
    for name, hydrogen in (("HID", "HD1"), ("HIE", "HE2")):
        own = sites[0][:12] + f" {hydrogen}" + sites[0][16:]
        rows = [own if line == sites[0] else line for line in lines if line not in sites[1:]]
        models.append("MODEL\n" + "".join(rows).replace("HIS", name) + "ENDMDL\n")
    (tmp_path / "given.pdb").write_text("".join(models))
    told = energy_table([tmp_path / "given.pdb"], OBC)["hydrogens"][0]
    assert told.startswith("placed anew: ")
    assert "1 atoms that not all models have" in told


@pytest.mark.parametrize("residue", ["GLU", "ASP", "HIS"])
def test_a_hydrogen_far_from_its_heavy_atom_shows_no_protonation(residue, tmp_path):
    """In its residue it is nearest to a side-chain atom, which is not protonated for that."""
    letter = {"GLU": "E", "ASP": "D", "HIS": "H"}[residue]
    whole = write(tmp_path / "whole.pdb", *with_hydrogens(heavy_pdb(residues_of(f"G{letter}A"))))
    lines = atom_lines(whole)
    rows = {line[12:16].strip(): line for line in lines if line[17:20] == residue}
    outer = rows[{"GLU": "OE2", "ASP": "OD2", "HIS": "CE1"}[residue]]
    inner = rows["CA"]
    place = [float(outer[k : k + 8]) + 8 * (float(outer[k : k + 8]) - float(inner[k : k + 8])) for k in (30, 38, 46)]
    far = "".join(f"{x:8.3f}" for x in place)
    given = "".join(line[:30] + far + line[54:] if line == rows["HA"] else line for line in lines)
    (tmp_path / "given.pdb").write_text(given)
    (tmp_path / "heavy.pdb").write_text("".join(line for line in lines if line[76:78] != " H"))
    table = energy_table([tmp_path / "given.pdb", tmp_path / "heavy.pdb"], OBC)
    assert table["hydrogens"][0].startswith("placed anew")
    assert table["energy_kj_per_mol"][0] == table["energy_kj_per_mol"][1]


def test_waters_and_ions_alone_have_no_energy(tmp_path):
    (tmp_path / "x.pdb").write_text(WATERS + het("CA", 2, [("CA", "CA", (9, 0, 0))]) + "END\n")
    (row,) = energy_table([tmp_path / "x.pdb"], OBC).itertuples()
    assert np.isnan(row.energy_kj_per_mol)
    assert "no chain of amino acids" in row.reason


def test_nanometres_have_no_energy(tmp_path):
    chain = [(name, residue, number, x / 10) for name, residue, number, x in residues_of("GASYK")]
    (tmp_path / "x.pdb").write_text(heavy_pdb(chain))
    (row,) = energy_table([tmp_path / "x.pdb"], OBC).itertuples()
    assert np.isnan(row.energy_kj_per_mol)
    assert "nanometres" in row.reason


def test_a_cysteine_without_hydrogen_and_partner_is_no_thiolate(tmp_path):
    whole = write(tmp_path / "whole.pdb", *with_hydrogens(heavy_pdb(residues_of("ACA"))))
    (tmp_path / "torn.pdb").write_text("".join(line for line in atom_lines(whole) if line[12:16] != " HG "))
    (row,) = energy_table([tmp_path / "torn.pdb"], OBC).itertuples()
    assert row.hydrogens.startswith("placed anew: SG of CYS2")
    heavy = "".join(line for line in atom_lines(whole) if line[76:78] != " H")
    (tmp_path / "heavy.pdb").write_text(heavy)
    assert row.energy_kj_per_mol == energy_table([tmp_path / "heavy.pdb"], OBC)["energy_kj_per_mol"][0]
    (tmp_path / "named.pdb").write_text(heavy.replace("CYS", "CYM"))
    assert abs(energy_table([tmp_path / "named.pdb"], OBC)["energy_kj_per_mol"][0] - row.energy_kj_per_mol) > 10


@pytest.mark.parametrize("protonation", ["HIE", "HIP"])
def test_hydrogens_that_are_placed_anew_keep_the_protonation_of_the_file(protonation, tmp_path):
    whole = write(tmp_path / "whole.pdb", *with_hydrogens(heavy_pdb(residues_of("AHSA")), {1: protonation}))
    lines = [line for line in atom_lines(whole) if line[12:16] != " HG "]
    (tmp_path / "incomplete.pdb").write_text("".join(lines))
    heavy = [line.replace("HIS", protonation) for line in lines if line[76:78] != " H"]
    (tmp_path / "heavy.pdb").write_text("".join(heavy))
    table = energy_table([tmp_path / "incomplete.pdb", tmp_path / "heavy.pdb"], OBC)
    assert table["hydrogens"][0].startswith("placed anew")
    assert table["energy_kj_per_mol"][0] == table["energy_kj_per_mol"][1]


@pytest.mark.parametrize(("suffix", "tolerance"), [("dcd", 0.01), ("xtc", 30.0), ("trr", 0.01)])
def test_a_trajectory_has_the_energies_of_its_frames(suffix, tolerance, tmp_path):
    topology, positions = with_hydrogens(heavy_pdb(residues_of("GASY")))
    noise = 0.002 * np.random.default_rng(0).standard_normal((3, *positions.shape))
    frames = mdtraj.Trajectory((positions + noise).astype(np.float32), mdtraj.Topology.from_openmm(topology))
    frames.save(str(tmp_path / f"x.{suffix}"))
    write(tmp_path / "x.pdb", topology, positions)
    table = energy_table([tmp_path / f"x.{suffix}"], OBC)
    system = forcefield(OBC).createSystem(topology)
    expected = [energy_of(system, frame) for frame in frames.xyz.astype(float)]
    assert table["frame"].tolist() == [1, 2, 3]
    assert set(table["hydrogens"]) == {"given"}
    np.testing.assert_allclose(table["energy_kj_per_mol"], expected, atol=tolerance)


def test_a_dimer_that_a_periodic_boundary_cuts_is_made_whole(tmp_path):
    topology, positions = with_hydrogens(two_chains())
    drift = np.linspace(0, 4, 12)[:, None, None] * np.array([1.0, 0.7, 0.4])
    cut = (positions - positions.mean(0) + drift) % 4.0
    assert (np.ptp(cut, axis=1).max(1) > 3.5).sum() > 3
    frames = mdtraj.Trajectory(
        cut.astype(np.float32),
        mdtraj.Topology.from_openmm(topology),
        unitcell_lengths=np.full((12, 3), 4.0, np.float32),
        unitcell_angles=np.full((12, 3), 90.0, np.float32),
    )
    frames.save(str(tmp_path / "x.dcd"))
    # As a trajectory too: the thousandths of an angstrom of a PDB file move the energy by some kJ/mol.
    mdtraj.Trajectory(positions[None].astype(np.float32), frames.topology).save(str(tmp_path / "whole.dcd"))
    for name in ("x", "whole"):
        write(tmp_path / f"{name}.pdb", topology, positions)
    whole = energy_table([tmp_path / "whole.dcd"], OBC)["energy_kj_per_mol"][0]
    np.testing.assert_allclose(energy_table([tmp_path / "x.dcd"], OBC)["energy_kj_per_mol"], whole, atol=0.2)


def test_a_boundary_may_cut_hydrogens_off_and_the_structure_in_the_topology_too(tmp_path):
    """The farthest hydrogens of ARG, LYS and TRP are 8 angstrom and more from N."""
    topology, positions = with_hydrogens(heavy_pdb(residues_of("AKRW")))
    drift = np.linspace(0, 3, 12)[:, None, None] * np.array([1.0, 0.7, 0.4])
    cut = ((positions - positions.mean(0) + drift) % 3.0).astype(np.float32)
    box = {"unitcell_lengths": np.full((12, 3), 3.0), "unitcell_angles": np.full((12, 3), 90.0)}
    table = mdtraj.Topology.from_openmm(topology)
    frames = mdtraj.Trajectory(cut, table, **box)
    for name in ("x.dcd", "x.gro", "models.pdb"):
        one = frames[6] if name == "x.gro" else frames
        one.save(str(tmp_path / name))
    mdtraj.Trajectory(positions[None].astype(np.float32), table).save(str(tmp_path / "whole.dcd"))
    write(tmp_path / "whole.pdb", topology, positions)
    whole = energy_table([tmp_path / "whole.dcd"], OBC)["energy_kj_per_mol"][0]
    for name, tolerance in (("x.dcd", 0.2), ("models.pdb", 30)):
        found = energy_table([tmp_path / name], OBC)
        assert set(found["hydrogens"]) == {"given"}
        np.testing.assert_allclose(found["energy_kj_per_mol"], whole, atol=tolerance)


def test_a_crystals_box_moves_no_chain(tmp_path):
    """The chains are nearer to each other's images, and none is cut."""
    far = heavy_pdb(residues_of("GSY"), moved(residues_of("AKD", HELIX), [30.0, 0.0, 0.0]))
    path = write(tmp_path / "plain.pdb", *with_hydrogens(far))
    head = "CRYST1   40.000   40.000   40.000  90.00  90.00  90.00 P 1           1\n"
    (tmp_path / "crystal.pdb").write_text(head + "".join(line for line in path.open() if not line.startswith("CRYST1")))
    table = energy_table([tmp_path / "plain.pdb", tmp_path / "crystal.pdb"], OBC)
    assert table["energy_kj_per_mol"][0] == table["energy_kj_per_mol"][1]


@pytest.mark.parametrize("how", ["two chains without names", "without the chain's name", "under another residue name"])
def test_hydrogens_at_the_end_of_a_file_find_their_heavy_atoms(how, tmp_path):
    pdb = two_chains() if how == "two chains without names" else heavy_pdb(residues_of("GASK"))
    whole = write(tmp_path / "whole.pdb", *with_hydrogens(pdb))
    lines = [line if how == "under another residue name" else line[:21] + " " + line[22:] for line in atom_lines(whole)]
    last = [line for line in lines if line[76:78] == " H"]
    heavy = [line for line in atom_lines(whole) if line[76:78] != " H"]
    if how == "two chains without names":
        heavy = [line[:21] + " " + line[22:] for line in heavy]
    if how == "under another residue name":
        last = [line.replace("LYS", "LYN") for line in last]
    (tmp_path / "last.pdb").write_text("".join(heavy + last))
    table = energy_table([tmp_path / "whole.pdb", tmp_path / "last.pdb"], OBC)
    assert table["hydrogens"].tolist() == ["given"] * 2
    assert not table["left_out"].any()
    assert table["energy_kj_per_mol"][1] == pytest.approx(table["energy_kj_per_mol"][0], abs=1e-3)


def test_shares_of_two_chains_add_up(tmp_path):
    (tmp_path / "two.pdb").write_text(two_chains())
    (row,) = energy_table([tmp_path / "two.pdb"], OBC).itertuples()
    shares = decomposition_table([tmp_path / "two.pdb"], OBC)
    assert shares["chain"].tolist() == ["A"] * 3 + ["B"] * 3
    terms = shares.columns[5:-2]
    assert shares[terms].to_numpy().sum() == pytest.approx(row.energy_kj_per_mol, rel=1e-8)


def test_the_key_of_a_molecule_tells_it_from_all_others():
    atoms = build("GASG", STRAND).atoms
    plain = Molecule.of(atoms)
    named = Atoms(atoms.name, np.where(atoms.residue == 3, "HIP", atoms.residue_name), atoms.residue)
    others = [
        Molecule(atoms, (Chain(0, 1), Chain(2, 3))),
        Molecule(atoms, (Chain(0, 2), Chain(3, 3))),
        Molecule(atoms, (Chain(0, 3, cyclic=True),)),
        Molecule.of(named),
    ]
    assert plain.digest() == atoms.digest()
    assert len({one.digest() for one in [plain, *others]}) == 5
    assert Molecule(atoms, (Chain(0, 3, name="Q"),)).digest() == plain.digest()


def test_atoms_missing_from_one_of_two_chains_are_made_up(tmp_path):
    rows = residues_of("GSYAKDGSY")
    other = moved(residues_of("AKDGSYAKD", HELIX), [16.0, 2.0, 3.0])
    (tmp_path / "whole.pdb").write_text(heavy_pdb(rows, other))
    (tmp_path / "missing.pdb").write_text(heavy_pdb(rows, [row for row in other if (row[0], row[2]) != ("CE", 8)
                                                           and (row[0], row[2]) != ("NZ", 8)]))  # fmt: skip
    table = energy_table([tmp_path / "whole.pdb", tmp_path / "missing.pdb"], OBC, minimise=True)
    assert table["energy_kj_per_mol"][1] == pytest.approx(table["energy_kj_per_mol"][0], abs=60)
    assert table["heavy_atoms_added"].tolist() == [0, 2]
    (note,) = energy_notes(table)
    assert "2 heavy atoms" in note
