"""What models leave in their own layouts comes back as the ensemble it is; what is not that is named."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch
from proteins import build, ensemble

from ebabench.errors import InputError
from ebabench.generators.cards import CARDS
from ebabench.generators.converters import convert
from ebabench.io.structure_files import write_pdb
from ebabench.models import converters, frames
from ebabench.models.eba import internal
from ebabench.models.eba.zmatrix import atoms_of
from ebabench.structures import Atoms, Ensemble, Target

SYNTHETIC = build("GAIHWKSTV")
TARGET = Target("6o2v_A", SYNTHETIC.sequence, SYNTHETIC.atoms, SYNTHETIC.native)
MADE = Ensemble(TARGET.name, TARGET.atoms, ensemble(SYNTHETIC, frames=5).positions.round(3))
BACKBONE = ("N", "CA", "C", "O")


def part(*names: str) -> Ensemble:
    """The conformations with some of their atoms only."""
    kept = TARGET.atoms.select(*names)
    return Ensemble(TARGET.name, TARGET.atoms.take(kept), MADE.positions[:, kept])


def one_by_one(made: Ensemble, name: str, folder: Path) -> None:
    """A file a conformation, at ``name`` with its number in it."""
    for number in range(len(made)):
        path = folder / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pdb(Ensemble(made.target, made.atoms, made.positions[number : number + 1]), path)


def from_zero(path: Path) -> None:
    """Numbers the residues of a PDB file from 0."""
    lines = path.read_text().splitlines(True)
    path.write_text(
        "".join(
            f"{line[:22]}{int(line[22:26]) - 1:4d}{line[26:]}" if line.startswith("ATOM") else line for line in lines
        )
    )


def converted(model: str, folder: Path) -> Ensemble:
    """What the card's converter makes of the folder, as `ebabench score --model` would take it."""
    kept: list[Ensemble] = []
    (outcome,) = convert(CARDS.load(model), folder, [TARGET], lambda name: None, kept.append)
    assert outcome.error is None, outcome.error
    return kept[0]


def same(found: Ensemble, expected: Ensemble) -> None:
    assert found.atoms.digest() == expected.atoms.digest()
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-3)


def test_models_in_one_file(tmp_path: Path) -> None:
    write_pdb(MADE, tmp_path / "6o2v_A.pdb")
    same(converted("alphaflow-md", tmp_path), MADE)


def test_residues_that_count_from_zero(tmp_path: Path) -> None:
    write_pdb(MADE, tmp_path / "6o2v_A.pdb")
    from_zero(tmp_path / "6o2v_A.pdb")
    same(converted("mdgen", tmp_path), MADE)


def test_backbone_only(tmp_path: Path) -> None:
    write_pdb(part(*BACKBONE), tmp_path / "6o2v_A.pdb")
    for model in ("str2str", "esmdiff"):
        same(converted(model, tmp_path), part(*BACKBONE))


def test_a_folder_a_chain_named_without_its_underscore(tmp_path: Path) -> None:
    (tmp_path / "6o2vA").mkdir()
    write_pdb(part(*BACKBONE), tmp_path / "6o2vA" / "sampled_conformations.pdb")
    same(converted("bbflow", tmp_path), part(*BACKBONE))


def test_a_file_named_as_bbflow_names_it(tmp_path: Path) -> None:
    write_pdb(part(*BACKBONE), tmp_path / "samples_6o2v_A.pdb")
    same(converted("bbflow-mini", tmp_path), part(*BACKBONE))


def test_one_cif_a_sample_under_seeds(tmp_path: Path) -> None:
    gemmi = pytest.importorskip("gemmi")
    one_by_one(MADE, "6o2v_A/seed_42/predictions/6o2v_A_sample_{}.pdb", tmp_path)
    for path in tmp_path.rglob("*.pdb"):
        gemmi.read_structure(str(path)).make_mmcif_document().write_file(str(path.with_suffix(".cif")))
        path.unlink()
    same(converters.files(tmp_path, TARGET), MADE)


def test_one_pdb_a_sample_in_a_folder_a_chain(tmp_path: Path) -> None:
    one_by_one(MADE, "6o2v_A/6o2v_A_sample{}.pdb", tmp_path)
    same(converted("confdiff-of-r3-md", tmp_path), MADE)


def test_samples_are_ordered_by_number_and_not_by_name(tmp_path: Path) -> None:
    many = Ensemble(TARGET.name, TARGET.atoms, ensemble(SYNTHETIC, frames=12).positions.round(3))
    kept = many.atoms.select("N", "CA", "C")
    triads = Ensemble(many.target, many.atoms.take(kept), many.positions[:, kept])
    one_by_one(triads, "6o2v_A_{}.pdb", tmp_path)
    (tmp_path / "6o2v_A_0_final_state.npz").write_bytes(b"")
    same(converted("dig", tmp_path), triads)


def test_c_alphas_only_and_no_pictures_of_how_they_came_about(tmp_path: Path) -> None:
    one_by_one(part("CA"), "6o2v_A.{}.pdb", tmp_path)
    write_pdb(part("CA"), tmp_path / "6o2v_A.0.anim.pdb")
    same(converted("eigenfold", tmp_path), part("CA"))


def test_colabfold_ranks_without_their_relaxed_copies(tmp_path: Path) -> None:
    one_by_one(MADE, "6o2v_A_unrelaxed_rank_{:03d}_alphafold2_ptm_model_1_seed_007.pdb", tmp_path)
    one_by_one(MADE, "6o2v_A_relaxed_rank_{:03d}_alphafold2_ptm_model_1_seed_007.pdb", tmp_path)
    one_by_one(MADE, "6o2v_B_unrelaxed_rank_{:03d}_alphafold2_ptm_model_1_seed_007.pdb", tmp_path)
    same(converted("af2-msa32", tmp_path), MADE)


def test_trajectory_with_a_pdb_file_as_its_topology(tmp_path: Path) -> None:
    write_pdb(MADE, tmp_path / "all.pdb")
    trajectory = mdtraj.load_pdb(str(tmp_path / "all.pdb"), standard_names=False)
    trajectory.save_xtc(str(tmp_path / "6o2v_A.xtc"))
    trajectory[0].save_pdb(str(tmp_path / "6o2v_A.pdb"))
    found = converters.trajectory(tmp_path, TARGET)
    assert found.atoms.digest() == MADE.atoms.digest()
    np.testing.assert_allclose(found.positions, MADE.positions, atol=0.01)  # what XTC rounds to


def with_hydrogens(path: Path, made: Ensemble) -> np.ndarray:
    """A topology with a hydrogen after every heavy atom, and all positions in nanometres."""
    atoms = made.atoms
    doubled = Atoms(
        np.array([name for one in atoms.name for name in (one, f"H{one}"[:4])]),
        np.repeat(atoms.residue_name, 2),
        np.repeat(atoms.residue, 2),
    )
    positions = np.repeat(made.positions, 2, axis=1)
    positions[:, 1::2] += 1
    write_pdb(Ensemble(made.target, doubled, positions[:1]), path)
    return positions / 10


@pytest.mark.parametrize("flat", [True, False])
def test_arrays_of_all_atoms_in_nanometres(tmp_path: Path, flat: bool) -> None:
    values = with_hydrogens(tmp_path / "6o2v_A.pdb", MADE)
    np.save(tmp_path / "6o2v_A.npy", values.reshape(len(values), -1) if flat else values)
    same(converted("boltzmann-bgflow", tmp_path), MADE)


def test_arrays_of_other_atoms_are_named(tmp_path: Path) -> None:
    values = with_hydrogens(tmp_path / "6o2v_A.pdb", MADE)
    np.save(tmp_path / "6o2v_A.npy", values[:, :-1])
    with pytest.raises(InputError, match=r"6o2v_A\.npy: float.*is not positions of"):
        converters.array(tmp_path, TARGET)
    (tmp_path / "6o2v_A.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="cannot be read as npy"):
        converters.array(tmp_path, TARGET)


def internal_target(sequence: str) -> tuple[Target, internal.Layout]:
    """A target in the Z-matrix's order of atoms."""
    built = build(sequence)
    atoms = atoms_of(sequence)
    rows = {(int(r), str(n)): k for k, (r, n) in enumerate(zip(built.atoms.residue, built.atoms.name, strict=True))}
    kept = np.array([k for k in range(len(atoms)) if (int(atoms.residue[k]), str(atoms.name[k])) in rows])
    atoms = atoms.take(kept)
    order = [rows[int(r), str(n)] for r, n in zip(atoms.residue, atoms.name, strict=True)]
    return Target("x", sequence, atoms, built.native[order]), internal.Layout.of(atoms)


def write_frames(path: Path, positions: np.ndarray, layout: internal.Layout, torsions: bool = True) -> None:
    """Frames and torsions of conformations, by the compact model's own code, in the arrays of MDGen's network."""
    padded = layout.pad(torch.from_numpy(positions))
    rotations, origins = internal.frames(padded)
    angles = internal.torsions(padded, layout).numpy()[..., [2, 0, 1, 3, 4, 5, 6]]  # omega, phi, psi, chi1 ...
    waves = {"torsions": np.stack([np.sin(angles), np.cos(angles)], -1)} if torsions else {}
    np.savez(path, trans=origins.numpy(), rots=rotations.numpy(), **waves)


def test_frames_and_torsions_rebuild_every_atom(tmp_path: Path) -> None:
    # Every amino acid, torsions turned and residues moved at random, at the native's lengths and angles.
    target, layout = internal_target("ACDEFGHIKLMNPQRSTVWYA")
    rng = np.random.default_rng(0)
    native = layout.pad(torch.from_numpy(target.native[None]))
    rotations, origins = internal.frames(native)
    turns = torch.from_numpy(np.linalg.qr(rng.standard_normal((6, len(target.sequence), 3, 3)))[0].astype(np.float32))
    turns = turns * torch.linalg.det(turns)[..., None, None]
    shifts = torch.from_numpy(rng.standard_normal((6, len(target.sequence), 3)).astype(np.float32))
    angles = internal.torsions(native, layout)
    angles = angles + torch.from_numpy(rng.uniform(-3, 3, (6, *angles.shape[1:])).astype(np.float32))
    geometry = internal.Geometry.measure([(layout, torch.from_numpy(target.native[None]))])
    made = layout.unpad(geometry.on_frames(turns @ rotations, origins + shifts, angles, layout)).numpy()
    write_frames(tmp_path / "x.npz", made, layout)
    found = frames.convert(tmp_path, target)
    assert found.atoms.digest() == target.atoms.digest()
    np.testing.assert_allclose(found.positions, made, atol=0.02)


def test_frames_of_the_native_are_the_native(tmp_path: Path) -> None:
    target, layout = internal_target("GAIHWKSTV")
    write_frames(tmp_path / "x.npz", target.native[None], layout)
    np.testing.assert_allclose(frames.convert(tmp_path, target).positions[0], target.native, atol=1e-3)


def test_frames_alone_are_a_backbone_without_oxygen(tmp_path: Path) -> None:
    target, layout = internal_target("GAIHWKSTV")
    write_frames(tmp_path / "x.npz", target.native[None], layout, torsions=False)
    found = frames.convert(tmp_path, target)
    kept = target.atoms.select("N", "CA", "C")
    assert set(found.atoms.name.tolist()) == {"N", "CA", "C"}
    np.testing.assert_allclose(found.positions[0], target.native[kept], atol=1e-3)


def test_frames_that_are_none_are_named(tmp_path: Path) -> None:
    target, _ = internal_target("GAIHWKSTV")
    eye = np.broadcast_to(np.eye(3), (2, 9, 3, 3))
    for arrays, message in (
        ({"trans": np.zeros((2, 9, 3))}, "lacks rots"),
        ({"trans": np.zeros((2, 8, 3)), "rots": eye}, r"trans has shape \(2, 8, 3\)"),
        ({"trans": np.zeros((2, 9, 3)), "rots": 2 * eye}, "rots are not rotations"),
    ):
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(InputError, match=message):
            frames.convert(tmp_path, target)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    other = build("WWWWWWWW")
    write_pdb(Ensemble("1abc_A", other.atoms, other.native[None]), tmp_path / "1abc_A.pdb")
    for convert_one in (converters.files, converters.samples, converters.trajectory):
        with pytest.raises(InputError) as error:
            convert_one(tmp_path, TARGET)
        assert error.value.code == "output.missing"
        assert "6o2v_A" in str(error.value)
        assert "1abc_A" in str(error.value)


def test_samples_of_other_atoms_are_named(tmp_path: Path) -> None:
    one_by_one(MADE, "6o2v_A_{}.pdb", tmp_path)
    one_by_one(part(*BACKBONE), "6o2v_A_{}9.pdb", tmp_path)
    with pytest.raises(InputError) as error:
        converters.samples(tmp_path, TARGET)
    assert error.value.code == "structure.models-differ"


def test_another_sequence_is_refused(tmp_path: Path) -> None:
    other = build("GAIHWKSTW")
    write_pdb(Ensemble("6o2v_A", other.atoms, other.native[None]), tmp_path / "6o2v_A.pdb")
    (outcome,) = convert(CARDS.load("alphaflow-md"), tmp_path, [TARGET], lambda name: None, lambda made: None)
    assert outcome.error is not None
    assert "sequence is another one" in outcome.error


def test_every_card_of_the_kind_names_a_converter_that_is_tested_here() -> None:
    cards = [card for card in map(CARDS.load, CARDS) if card.environment.kind == "ensembles"]
    tested = {f"ebabench.models.converters:{name}" for name in ("files", "samples", "trajectory", "array")}
    assert {card.converter for card in cards} == tested
    assert len(cards) > 25


def with_topology(made: Ensemble, trajectory: Path, topology: Path) -> None:
    """A trajectory in the format of its suffix, beside a topology of its first frame."""
    trajectory.parent.mkdir(parents=True, exist_ok=True)
    write_pdb(Ensemble(made.target, made.atoms, made.positions[:1]), topology)
    named = mdtraj.load_pdb(str(topology)).topology
    mdtraj.Trajectory(made.positions / 10, named).save(str(trajectory))


def test_trajectories_of_asam(tmp_path: Path) -> None:
    with_topology(MADE, tmp_path / "6o2v_A.traj.dcd", tmp_path / "6o2v_A.top.pdb")
    same(converted("asam", tmp_path), MADE)


def test_independent_samples_of_confrover(tmp_path: Path) -> None:
    folder = tmp_path / "6o2v_A"
    with_topology(MADE, folder / "6o2v_A.xtc", folder / "6o2v_A.pdb")
    write_pdb(MADE, folder / "6o2v_A_preview.pdb")
    np.testing.assert_allclose(converted("confrover", tmp_path).positions, MADE.positions, atol=0.01)


def test_the_input_structure_of_biokinema_is_left_out(tmp_path: Path) -> None:
    gemmi = pytest.importorskip("gemmi")
    one_by_one(MADE, "6o2v_A_R1_0/predictions/6o2v_A_R1_0_s0_f{}.pdb", tmp_path)
    for path in tmp_path.rglob("*.pdb"):
        gemmi.read_structure(str(path)).make_mmcif_document().write_file(str(path.with_suffix(".cif")))
        path.unlink()
    same(converted("biokinema", tmp_path), Ensemble(MADE.target, MADE.atoms, MADE.positions[1:]))
