"""Energies of structures: what they must not depend on, what has none and why, and that nothing is computed twice."""

import re
import signal
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import openmm
import pytest
from openmm import app, unit
from proteins import STRAND, build, turned

from ebabench.errors import InputError
from ebabench.io import structure_files
from ebabench.physics import accelerate, evaluation, store
from ebabench.physics.energy import export_energies, potential_energies, prepare_energies
from ebabench.physics.evaluation import constrain_hydrogens
from ebabench.physics.files import energy_table
from ebabench.physics.hydrogens import plan_placement
from ebabench.physics.preparation import build_template, disulfides
from ebabench.physics.protocols import PROTOCOLS
from ebabench.structures import Atoms, Ensemble

OBC = "amber99sbildn-obc"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def peptide():
    """A tetrapeptide and eight slightly distorted frames of it."""
    target = build("GASY", STRAND)
    noise = 0.05 * np.random.default_rng(0).standard_normal((8, *target.native.shape))
    return target.atoms, (target.native + noise).astype(np.float32)


def test_moving_a_molecule_leaves_its_energy(peptide):
    atoms, frames = peptide
    given = potential_energies(atoms, frames, OBC, minimise=False)
    # Single precision of the coordinates is all that differs; bonds are stiff.
    np.testing.assert_allclose(potential_energies(atoms, turned(frames), OBC, minimise=False), given, atol=0.05)
    # A minimisation may stop elsewhere inside its tolerance.
    relaxed = potential_energies(atoms, frames, OBC)
    np.testing.assert_allclose(potential_energies(atoms, turned(frames), OBC), relaxed, atol=3.0)
    assert np.median(np.abs(potential_energies(atoms, turned(frames, 1), OBC) - relaxed)) < 1.0


def test_thermal_noise_of_stiff_bonds_is_relaxed_away(peptide):
    atoms, frames = peptide
    given = potential_energies(atoms, frames, OBC, minimise=False)
    relaxed = potential_energies(atoms, frames, OBC)
    assert (relaxed < given).all()
    assert relaxed.std() < 0.2 * given.std()


def test_a_frame_has_its_energy_whatever_is_beside_it(peptide):
    atoms, frames = peptide
    together = potential_energies(atoms, frames, OBC)
    for folder, order in (("a", [3]), ("b", [7, 3, 0, 3])):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EBABENCH_CACHE", folder)
            patch.setattr(store, "remember", lambda *_: None)
            np.testing.assert_allclose(potential_energies(atoms, frames[order], OBC), together[order], atol=1e-6)


def test_the_order_of_atoms_does_not_matter(peptide):
    atoms, frames = peptide
    # As AlphaFold writes them: CB before O.
    order = np.lexsort((atoms.name != "N", atoms.residue))
    expected = potential_energies(atoms, frames[:2], OBC, minimise=False)
    np.testing.assert_allclose(
        potential_energies(atoms.take(order), frames[:2, order], OBC, minimise=False), expected, atol=1e-6
    )


def test_hydrogens_lie_where_chemistry_wants_them():
    target = build("ACDEFGHIKLMNPQRSTVWY", STRAND)
    template = build_template(target.atoms, PROTOCOLS[OBC])
    positions = template.complete(target.native[None])[0]
    np.testing.assert_allclose(positions[template.given], target.native / 10.0, atol=1e-6)
    atoms = list(template.topology.atoms())
    partners = {k: [] for k in range(len(atoms))}
    for bond in template.topology.bonds():
        partners[bond.atom1.index].append(bond.atom2.index)
        partners[bond.atom2.index].append(bond.atom1.index)
    hydrogens = [a.index for a in atoms if a.element is app.element.hydrogen]
    # Of residues in a chain: charged D, E, K, R, neutral histidine; the ends bring two more.
    assert len(hydrogens) == sum({"A": 5, "C": 5, "D": 4, "E": 6, "F": 9, "G": 3, "H": 7, "I": 11, "K": 13, "L": 11,
                                  "M": 9, "N": 6, "P": 7, "Q": 8, "R": 13, "S": 5, "T": 7, "V": 9, "W": 10,
                                  "Y": 9}.values()) + 2  # fmt: skip
    for k in hydrogens:
        (parent,) = partners[k]
        length = np.linalg.norm(positions[k] - positions[parent])
        assert 0.09 < length < 0.14
        for other in partners[parent]:
            if other != k:
                u, v = positions[k] - positions[parent], positions[other] - positions[parent]
                angle = np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))
                assert 98 < angle < 132, (atoms[parent], atoms[k], atoms[other], angle)


def test_a_parent_without_a_rule_is_refused():
    with pytest.raises(ValueError, match="no rule"):
        plan_placement(["C", "H", "H", "H", "H"], [(0, k) for k in range(1, 5)], [True] + [False] * 4)


@pytest.mark.parametrize("protocol", ["amber14-gbn2", "charmm36-gbn2"])
def test_constraints_are_those_of_openmm(protocol):
    target = build("GAVS", STRAND)
    template = build_template(target.atoms, PROTOCOLS[protocol])
    theirs = app.ForceField(*PROTOCOLS[protocol].forcefield).createSystem(
        template.topology, constraints=app.HBonds, removeCMMotion=False
    )
    ours = constrain_hydrogens(template)
    pairs = [
        {
            (min(i, j), max(i, j)): round(d._value, 9)
            for i, j, d in map(system.getConstraintParameters, range(system.getNumConstraints()))
        }
        for system in (ours, theirs)
    ]
    assert pairs[0] == pairs[1]
    positions = template.complete(target.native[None])[0]
    values = []
    for system in (ours, theirs):
        reference = openmm.Platform.getPlatformByName("Reference")
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), reference)
        context.setPositions(positions)
        values.append(context.getState(getEnergy=True).getPotentialEnergy()._value)
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_a_missing_oxt_is_added():
    whole = build("GASY", STRAND)
    assert "OXT" not in whole.atoms.name
    template = build_template(whole.atoms, PROTOCOLS[OBC])
    (nonbonded,) = (f for f in template.system.getForces() if isinstance(f, openmm.NonbondedForce))
    charge = sum(nonbonded.getParticleParameters(k)[0]._value for k in range(nonbonded.getNumParticles()))
    assert charge == pytest.approx(0.0, abs=1e-6)


def test_disulfides_are_found_frame_by_frame_the_nearest_first():
    atoms = Atoms(np.array(["SG"] * 3), np.array(["CYS"] * 3), np.arange(3))
    frames = np.zeros((3, 3, 3), np.float32)
    frames[0, :, 0] = [0.0, 2.05, 4.5]
    frames[1, :, 0] = [0.0, 9.0, 11.0]
    frames[2, :, 0] = [0.0, 4.0, 8.0]
    assert disulfides(atoms, frames) == [((0, 1),), ((1, 2),), ()]
    cysteines = build("CGGC", STRAND).atoms
    first, last = np.flatnonzero(cysteines.name == "SG").tolist()
    free, bridged = (build_template(cysteines, PROTOCOLS[OBC], pattern) for pattern in ((), ((first, last),)))
    assert free.topology.getNumAtoms() == bridged.topology.getNumAtoms() + 2


def bad(atoms, frames, what):
    """A frame that cannot have an energy, between two that can."""
    frames = frames[:3].copy()
    if what == "not finite":
        frames[1, 5, 0] = np.nan
    elif what == "fused|upon each other|beyond repair":
        frames[1, atoms.name == "CA"] = frames[1, 0]
    return atoms, frames


@pytest.mark.parametrize("what", ["not finite", "fused|upon each other|beyond repair"])
def test_one_hopeless_frame_is_one_reason(peptide, what):
    atoms, frames = bad(*peptide, what)
    found = prepare_energies(atoms, frames, OBC)
    np.testing.assert_array_equal(np.isnan(found.values), [False, True, False])
    assert list(found.reasons) == [1]
    assert re.search(what, found.reasons[1])


def test_mild_clashes_are_mended(peptide):
    atoms, frames = peptide
    shaken = frames + 0.3 * np.random.default_rng(1).standard_normal(frames.shape).astype(np.float32)
    energies = potential_energies(atoms, shaken, OBC)
    assert np.isfinite(energies).all()
    assert (energies < potential_energies(atoms, frames, OBC).mean() + 1000).all()


def test_molecules_that_cannot_be_built_say_why(peptide):
    atoms, frames = peptide
    strange = Atoms(atoms.name, np.where(atoms.residue == 1, "SEP", atoms.residue_name), atoms.residue)
    found = prepare_energies(strange, frames[:2], OBC)
    assert np.isnan(found.values).all()
    assert "SEP" in found.reasons[0]
    backbone = np.flatnonzero(np.isin(atoms.name, ["N", "CA", "C", "O", "CB"]))
    for kept, why in (
        (np.flatnonzero(~((atoms.residue == 2) & (atoms.name == "C"))), "backbone .* SER3 C"),
        (backbone, "heavy atoms are missing"),
    ):
        found = prepare_energies(atoms.take(kept), frames[:2, kept], OBC)
        assert np.isnan(found.values).all()
        assert re.search(why, found.reasons[1])


def test_an_atom_of_a_side_chain_is_made_up(peptide):
    atoms, frames = peptide
    kept = np.flatnonzero(atoms.name != "OH")
    made_up = potential_energies(atoms.take(kept), frames[:2, kept], OBC)
    np.testing.assert_allclose(made_up, potential_energies(atoms, frames[:2], OBC), atol=15.0)


def test_an_unknown_protocol_names_its_neighbours(peptide):
    with pytest.raises(InputError, match="did you mean charmm36-gbn2"):
        potential_energies(*peptide, "charm36-gbn2")


def test_nothing_is_computed_twice(peptide, monkeypatch):
    atoms, frames = peptide
    first = potential_energies(atoms, frames[:4], OBC)
    seen = []
    original = evaluation.Evaluator.__call__
    monkeypatch.setattr(evaluation.Evaluator, "__call__", lambda self, x: seen.append(len(x)) or original(self, x))
    np.testing.assert_array_equal(potential_energies(atoms, frames[:4], OBC), first)
    potential_energies(atoms, frames[2:6], OBC)
    potential_energies(atoms, frames[:4], OBC, minimise=False)
    assert seen == [2, 4]


@pytest.mark.parametrize("protocol", ["amber14-gbn2-restrained", "amber14-gbn2-restrained@2nm"])
def test_an_interruption_is_no_energy_that_is_missing(protocol):
    """Whenever it comes: in the compiled kernel, which OpenMM calls, or in OpenMM's own minimisation."""
    target = build("A" * 10)
    moved = target.native + 0.05 * np.random.default_rng(0).standard_normal((30, *target.native.shape))
    potential_energies(target.atoms, moved[:1].astype(np.float32), protocol)  # prepared and compiled
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for moment in (0.01, 0.05, 0.09):
            signal.setitimer(signal.ITIMER_REAL, moment)
            with pytest.raises(KeyboardInterrupt):
                potential_energies(target.atoms, moved.astype(np.float32), protocol)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("raised", [MemoryError(), openmm.OpenMMException("std::bad_alloc")])
def test_memory_that_runs_out_is_no_energy_that_is_missing(peptide, monkeypatch, raised):
    def fails(*_):
        raise raised

    monkeypatch.setattr(accelerate.Terms, "__call__", fails)
    with pytest.raises(MemoryError):
        potential_energies(peptide[0], peptide[1][:1], OBC)


def test_a_file_tells_how_many_frames_are_done(peptide, tmp_path):
    structure_files.write_pdb(Ensemble("x", *peptide), tmp_path / "x.pdb")
    told = []
    energy_table([tmp_path / "x.pdb"], OBC, progress=lambda *one: told.append(one[1:]))
    assert told[0] == (0, len(peptide[1]))
    assert told[-1] == (len(peptide[1]), len(peptide[1]))


def test_a_long_chain_is_stored_frame_by_frame():
    """One frame of 700 residues takes minutes, and nothing that is finished is computed again."""
    assert [len(one) for one in store.portions(np.arange(3), 5500)] == [1, 1, 1]
    assert sum(len(one) for one in store.portions(np.arange(1000), 60)) == 1000


def test_exported_energies_are_found_where_they_are_shipped(peptide, tmp_path, monkeypatch):
    atoms, frames = peptide
    export_energies(atoms, frames[:3], OBC, tmp_path / "shipped")
    expected = potential_energies(atoms, frames[:3], OBC)
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "fresh"))
    monkeypatch.setattr(store, "shipped_folder", lambda: tmp_path / "shipped")
    monkeypatch.setattr(evaluation.Evaluator, "__call__", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(potential_energies(atoms, frames[:3], OBC), expected)


def test_a_broken_store_is_made_again(peptide, tmp_path):
    atoms, frames = peptide
    expected = potential_energies(atoms, frames[:2], OBC)
    (path,) = (tmp_path / "cache" / "energies").iterdir()
    kept = path.read_bytes()
    for damaged in (kept[:-5], kept[:-40] + bytes([kept[-40] ^ 64]) + kept[-39:]):
        path.write_bytes(damaged)
        np.testing.assert_allclose(potential_energies(atoms, frames[:2], OBC), expected, atol=1e-9)
        assert len(np.load(path)) == 2


def _write(arguments):
    start, folder = arguments
    for k in range(start, start + 40):
        store.remember("p", "m", np.array([k], np.uint64), np.array([float(k)]), folder)


def test_writers_at_the_same_time_are_all_remembered(tmp_path):
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(_write, [(100 * k, tmp_path) for k in range(3)]))
    (path,) = tmp_path.iterdir()
    rows = np.load(path)
    assert len(rows) == 120
    np.testing.assert_array_equal(rows["frame"].astype(float), rows["energy"])
    assert (np.diff(rows["frame"].astype(np.int64)) > 0).all()


def write_pdb(path, template, frames):
    with path.open("w") as file:
        app.PDBFile.writeHeader(template.topology, file)
        for number, frame in enumerate(frames, 1):
            app.PDBFile.writeModel(template.topology, frame * unit.nanometer, file, number)
        app.PDBFile.writeFooter(template.topology, file)


def test_a_table_has_a_row_a_structure_and_keeps_given_hydrogens(peptide, tmp_path):
    atoms, frames = peptide
    template = build_template(atoms, PROTOCOLS[OBC])
    whole = template.complete(frames[:3])
    write_pdb(tmp_path / "whole.pdb", template, whole)
    turned_hydroxyl = whole[:1].copy()
    (hydroxyl,) = (a.index for a in template.topology.atoms() if a.name == "HG")
    (oxygen,) = (a.index for a in template.topology.atoms() if a.name == "OG")
    turned_hydroxyl[0, hydroxyl] = whole[0, oxygen] + 0.096 * np.array([0.0, 0.0, 1.0])
    write_pdb(tmp_path / "turned.pdb", template, turned_hydroxyl)
    table = energy_table([tmp_path / "turned.pdb", tmp_path / "whole.pdb"], OBC)
    assert table["frame"].tolist() == [1, 1, 2, 3]
    assert set(table["hydrogens"]) == {"given"}
    assert table["file"].tolist() == [str(tmp_path / "turned.pdb")] + [str(tmp_path / "whole.pdb")] * 3
    values = table["energy_kj_per_mol"].to_numpy()
    # Three decimals of an angstrom in the file.
    np.testing.assert_allclose(values[1:], potential_energies(atoms, frames[:3], OBC, minimise=False), atol=2.0)
    assert abs(values[0] - values[1]) > 1


def test_a_file_that_cannot_be_read_stops_the_table(tmp_path):
    (tmp_path / "broken.pdb").write_text("ATOM      1  N   ALA A   1      xx")
    with pytest.raises(InputError, match=r"broken\.pdb"):
        energy_table([tmp_path / "broken.pdb"], OBC)
    with pytest.raises(InputError, match="did you mean"):
        energy_table([tmp_path / "broken.pdb"], "amber99sbildn-obd")
