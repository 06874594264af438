"""References as others lay them out: all their replicas, in angstrom, and a fault of theirs under their own name."""

import json
import pickle
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from proteins import build, wobble

from ebabench.datasets.reference_layouts import find_references
from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.io.structure_files import write_pdb
from ebabench.scoring.pair import make_pair
from ebabench.structures import Ensemble, Reference
from ebabench.workflows.targets import select_targets

h5py = pytest.importorskip("h5py")

SUITE = """
id = "own-v1"
title = "Own"
split = "test"
family = "peptides"
tier = "folder"
protocol = "corrected"
samples = 4
seed = 1
[[targets]]
name = "{name}"
sequence = "{sequence}"
"""
SEQUENCE = "GAIHWKSTV"
TARGET = build(SEQUENCE)
FRAMES = [wobble(TARGET, 12 + k, seed=k).round(3) for k in range(3)]


def pdb(path: Path, frames: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pdb(Ensemble("x", TARGET.atoms, frames), path)
    return path


def trajectory(path: Path, frames: np.ndarray) -> Path:
    topology = mdtraj.load_pdb(str(pdb(path.with_suffix(".made"), frames[:1]).rename(path.with_suffix(".made.pdb"))))
    path.with_suffix(".made.pdb").unlink()
    mdtraj.Trajectory(frames / 10, topology.topology).save(str(path))
    return path


def atlas(root: Path) -> Path:
    for k, frames in enumerate(FRAMES, 1):
        trajectory(root / "x" / f"x_prod_R{k}_fit.xtc", frames)
    pdb(root / "x" / "x.pdb", FRAMES[0][:1])
    return root


def atlas_one(root: Path) -> Path:
    return atlas(root) / "x"


def mdgen(root: Path) -> Path:
    pdb(root / "x" / "x.pdb", FRAMES[0][:1])
    trajectory(root / "x" / "x.xtc", FRAMES[0])
    return root


def flat(root: Path) -> Path:
    pdb(root / "x.pdb", FRAMES[0][:1])
    trajectory(root / "x.dcd", FRAMES[0])
    return root


def runs(root: Path) -> Path:
    pdb(root / "x" / "x.pdb", FRAMES[0][:1])
    for k, frames in enumerate(FRAMES):
        trajectory(root / "x" / f"x_{k}.xtc", frames)
    return root


def timewarp(root: Path) -> Path:
    pdb(root / "x-traj-state0.pdb", FRAMES[0][:1])
    arrays = {"step": np.arange(12), "energies": np.zeros((12, 2)), "velocities": FRAMES[0] * 0}
    np.savez(root / "x-traj-arrays.npz", positions=FRAMES[0] / 10, **arrays)
    return root


def mdcath(root: Path, prefix: str = "", suffix: str = "") -> Path:
    text = pdb(root / "x.pdb", FRAMES[0][:1]).read_text().replace("HIS A", "HSD A")
    (root / "x.pdb").unlink()
    with h5py.File(root / "mdcath_dataset_x.h5", "w") as file:
        file.attrs["layout"] = "mdcath-only-protein-v1.0"
        domain = file.create_group("x")
        domain["pdbProteinAtoms"] = text
        domain["chain"] = np.array(["A"], "S1")
        for temperature in (320, 450):
            for k, frames in enumerate(FRAMES):
                group = domain.create_group(f"{prefix}{temperature}{suffix}/{2 * k}")  # replica 1 is missing
                group.attrs["numFrames"] = len(frames)
                group["coords"] = frames + np.float32(temperature - 320)
                group["coords"].attrs["unit"] = "Angstrom"
    return root


def listed(root: Path) -> Path:
    pdb(root / "a" / "top.pdb", FRAMES[0][:1])
    names = [trajectory(root / "b" / f"{k}.xtc", frames).name for k, frames in enumerate(FRAMES)]
    table = f'tier = "mine"\n[targets.x]\ntopology = "a/top.pdb"\nreplicas = ["b/{names[0]}", ["b/1.xtc", "b/2.xtc"]]\n'
    (root / "references.toml").write_text(table)
    return root


LAYOUTS = {
    # layout, tier, frames of each replica by its number
    atlas: ("ATLAS", "folder", {1: 12, 2: 13, 3: 14}),
    atlas_one: ("ATLAS", "folder", {1: 12, 2: 13, 3: 14}),
    mdgen: ("trajectories", "folder", {1: 12}),
    flat: ("trajectories", "folder", {1: 12}),
    runs: ("trajectories", "folder", {1: 12, 2: 13, 3: 14}),
    timewarp: ("Timewarp", "timewarp", {1: 12}),
    mdcath: ("mdCATH", "mdcath-320K", {1: 12, 3: 13, 5: 14}),
    listed: ("listed in a TOML file", "mine", {1: 12, 2: 27}),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "reference"
    folder.mkdir()
    return folder


def frames(reference: Reference) -> dict[int, int]:
    return {number: len(one) for number, one in zip(reference.numbers, reference.replicas, strict=True)}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_layout_is_read(make, root: Path) -> None:
    found = find_references(make(root), temperature=320 if make is mdcath else None)
    layout, tier, expected = LAYOUTS[make]
    assert (found.layout, found.tier, found.names) == (layout, tier, ("x",))
    reference = pickle.loads(pickle.dumps(found))("x")
    assert (reference.tier, frames(reference)) == (tier, expected)
    assert reference.target.sequence == SEQUENCE
    np.testing.assert_allclose(reference.target.native, FRAMES[0][0], atol=0.01)
    np.testing.assert_allclose(reference.replicas[0], FRAMES[0], atol=0.02)


@pytest.mark.parametrize(("prefix", "suffix"), [("", ""), ("sims", "K")])
def test_a_temperature_of_mdcath_is_chosen(root: Path, prefix: str, suffix: str) -> None:
    mdcath(root, prefix, suffix)
    warm = find_references(root, temperature=450)("x")
    np.testing.assert_allclose(warm.replicas[1], FRAMES[1] + 130, atol=0.02)
    for temperature in (None, 300):
        with pytest.raises(InputError) as error:
            find_references(root / "mdcath_dataset_x.h5", temperature=temperature)
        assert error.value.code == "reference.temperature"
        assert error.value.named["temperatures"] == [320, 450]


@pytest.mark.parametrize("make", [atlas, mdgen, timewarp, listed])
def test_a_temperature_without_mdcath_is_refused(make, root: Path) -> None:
    with pytest.raises(InputError) as error:
        find_references(make(root), temperature=320)
    assert error.value.code == "reference.temperature"


@pytest.mark.parametrize(
    ("make", "file"),
    [(mdcath, "mdcath_dataset_x.h5"), (timewarp, "x-traj-arrays.npz"), (listed, "references.toml"), (flat, "x.dcd")],
)
def test_the_file_itself_is_as_good_as_its_folder(make, file: str, root: Path) -> None:
    make(root)
    found = find_references(root / file, temperature=320 if make is mdcath else None)
    assert found.names == ("x",)
    np.testing.assert_allclose(found("x").replicas[0], FRAMES[0], atol=0.02)


@pytest.mark.parametrize("make", [atlas, mdgen, timewarp, listed, flat])
@pytest.mark.parametrize("name", ["weights.csv", "x_weights.csv"])
def test_weights_beside_a_reference_are_refused(make, name: str, root: Path) -> None:
    make(root)
    for folder in {path.parent for path in root.rglob("*") if path.is_file()}:
        (folder / name).write_text("file,weight\n")
    with pytest.raises(InputError, match="draw frames by their weights") as error:
        find_references(root)("x")
    assert error.value.code == "reference.weights"


def test_a_folder_of_dynamicpdb_is_called_after_its_protein(root: Path) -> None:
    folder = root / "1abc_A_npt100000.0_ts0.001"
    pdb(folder / "1abc_A.pdb", FRAMES[0][:1])
    trajectory(folder / "1abc_A_T.dcd", FRAMES[0])
    assert find_references(root).names == ("1abc_A",)


def test_a_replica_of_one_frame_is_a_fault_of_the_reference(root: Path) -> None:
    atlas(root)
    trajectory(root / "x" / "x_prod_R2_fit.xtc", FRAMES[0][:1])
    with pytest.raises(InputError) as error:
        make_pair(Ensemble("x", TARGET.atoms, FRAMES[1]), find_references(root)("x"))
    assert error.value.code == "reference.too-short"
    assert "the reference of x: replica 2" in str(error.value)


def test_a_replica_that_a_boundary_cuts_later_on_is_a_fault_of_the_reference(root: Path) -> None:
    atlas(root)
    cut = FRAMES[1].copy()
    cut[-1, TARGET.atoms.residue > 4] += 60
    trajectory(root / "x" / "x_prod_R2_fit.xtc", cut)
    with pytest.raises(InputError) as error:
        _ = make_pair(Ensemble("x", TARGET.atoms, FRAMES[0]), find_references(root)("x")).md_ca
    assert str(error.value).startswith("the reference of x: replica 2")


@pytest.mark.parametrize("name", ["x_prod_R4.xtc", "x_prod_R04_fit.xtc", "x_prod_R4_fit.dcd", "run4/x_prod_R4_fit.xtc"])
def test_a_trajectory_beside_replicas_is_not_left_out_in_silence(name: str, root: Path) -> None:
    atlas(root)
    (root / "x" / "run4").mkdir()
    trajectory(root / "x" / name, FRAMES[0])
    with pytest.raises(InputError, match=r"references\.toml") as error:
        find_references(root)("x")
    assert error.value.code == "reference.others"
    assert name in str(error.value)


def swapped(text: str) -> str:
    """The atoms of a PDB file in another order: as many, with other bonds."""
    lines = [line for line in text.splitlines() if line.startswith("ATOM")]
    return "\n".join(lines[::2] + lines[1::2]) + "\nEND\n"


@pytest.mark.parametrize("make", [atlas, mdgen, timewarp, listed, mdcath])
def test_a_structure_of_another_order_is_a_fault_of_the_reference(make, root: Path) -> None:
    make(root)
    if make is mdcath:
        with h5py.File(root / "mdcath_dataset_x.h5", "r+") as file:
            text = file["x"]["pdbProteinAtoms"][()].decode()
            del file["x"]["pdbProteinAtoms"]
            file["x"]["pdbProteinAtoms"] = swapped(text)
    for path in root.rglob("*.pdb"):
        path.write_text(swapped(path.read_text()))
    with pytest.raises(InputError) as error:
        find_references(root, temperature=320 if make is mdcath else None)("x")
    assert error.value.code == "topology.other-atoms"
    assert "the reference of x" in str(error.value)
    assert str(root) in str(error.value)


def test_two_chains_are_a_fault_of_the_reference_until_one_is_named(root: Path) -> None:
    two = np.concatenate([FRAMES[0], FRAMES[0] + 30], axis=1)
    for name in ("x.pdb", "both.pdb"):
        first = pdb(root / "one.pdb", FRAMES[0][:1]).read_text().split("TER")[0]
        second = pdb(root / "two.pdb", FRAMES[0][:1] + 30).read_text().split("TER")[0].partition("\n")[2]
        (root / name).write_text(first + "TER\n" + second.replace(" A ", " B ") + "TER\nENDMDL\nEND\n")
    made = mdtraj.load_pdb(str(root / "both.pdb"))
    mdtraj.Trajectory(two / 10, made.topology).save_xtc(str(root / "x.xtc"))
    for name in ("one.pdb", "two.pdb", "both.pdb"):
        (root / name).unlink()
    with pytest.raises(InputError) as error:
        find_references(root)("x")
    assert error.value.code == "structure.several-chains"
    assert "the reference of x" in str(error.value)
    chosen = find_references(root, chain="B")("x")
    np.testing.assert_allclose(chosen.replicas[0], FRAMES[0] + 30, atol=0.02)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"positions": FRAMES[0][:, :-1] / 10}, "x-traj-arrays.npz"),
        ({"positions": FRAMES[0][0] / 10}, "x-traj-arrays.npz"),
        ({}, "x-traj-arrays.npz"),
    ],
)
def test_arrays_of_timewarp_that_do_not_fit(root: Path, change: dict[str, np.ndarray], named: str) -> None:
    timewarp(root)
    np.savez(root / "x-traj-arrays.npz", step=np.arange(12), **change)
    with pytest.raises(InputError) as error:
        find_references(root)("x")
    assert error.value.code == "reference.shape"
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("[targets.x]\nreplicas = ['a.xtc']", "targets.x.topology"),
        ("[targets.x]\ntopology = 'a.pdb'\nreplicas = []", "targets.x.replicas"),
        ("[targets.x]\ntopology = 'a.pdb'\nreplicas = ['a.xtc']\ncolour = 1", "targets.x.colour"),
        ("targets = 3", "targets"),
        ("[targets]", "targets"),
        ("not toml", ""),
    ],
)
def test_a_table_that_breaks_the_schema_names_the_field(root: Path, table: str, field: str) -> None:
    (root / "mine.toml").write_text(table)
    with pytest.raises(InputError) as error:
        find_references(root / "mine.toml")
    assert error.value.code == "reference.table"
    assert f"{root / 'mine.toml'}: {field}" in str(error.value)


def test_replicas_of_other_atoms_are_named(root: Path) -> None:
    mdgen(root)
    other = build("GAIHWKSTA")
    write_pdb(Ensemble("y", other.atoms, other.native[None]), root / "other.pdb")
    write_pdb(Ensemble("y", other.atoms, np.repeat(other.native[None], 3, 0)), root / "y.pdb")
    table = '[targets.x]\ntopology = "x/x.pdb"\nreplicas = ["x/x.xtc", "y.pdb"]\n'
    (root / "references.toml").write_text(table)
    with pytest.raises(InputError) as error:
        find_references(root)("x")
    assert error.value.code == "reference.atoms"
    assert "y.pdb" in str(error.value)


def test_no_references_and_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text(json.dumps({}))
    for path, code in ((tmp_path / "none", "reference.missing"), (tmp_path, "reference.none")):
        with pytest.raises(InputError) as error:
            find_references(path)
        assert error.value.code == code


COMPOSED, DECOMPOSED = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"


def renamed(root: Path, name: str) -> None:
    """Give the target x another name."""
    for path in sorted(root.rglob("x*"), reverse=True):
        path.rename(path.with_name(name + path.name[1:]))


@pytest.mark.parametrize("lay", [atlas, mdgen, flat])
def test_codings_of_an_accent_are_one_name_of_a_reference(tmp_path: Path, lay) -> None:
    """A folder that came from macOS, of a target that its suite spells otherwise, or a user."""
    root = lay(tmp_path / "md")
    renamed(root, DECOMPOSED)
    found = find_references(root)
    assert found.names == (COMPOSED,)
    for name in (COMPOSED, DECOMPOSED):
        assert found(name).target.name == COMPOSED
        assert found.files(name).size
    lay(root)
    renamed(root, COMPOSED)
    with pytest.raises(InputError) as refused:
        find_references(root)(COMPOSED)
    assert refused.value.code in ("reference.twice", "ensembles.ambiguous")


def test_a_suite_finds_references_by_any_coding_of_an_accent(tmp_path: Path) -> None:
    root = atlas(tmp_path / "md")
    renamed(root, DECOMPOSED)
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / "own-v1.toml").write_text(SUITE.format(name=name, sequence=SEQUENCE), encoding="utf-8")
        suite = load_suite(str(tmp_path / "own-v1.toml"))
        read = reference_reader(suite, root)
        assert read.here() == [COMPOSED]
        assert len(read(DECOMPOSED).replicas) == len(FRAMES)
        assert suite.target(DECOMPOSED).name == COMPOSED
        assert select_targets(read.names, [DECOMPOSED]) == [COMPOSED]
