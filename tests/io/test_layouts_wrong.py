"""Folders that hold something else beside the conformations, hold them twice, or may be meant in two ways."""

import gzip
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from layout_files import (
    NAME,
    OTHER,
    SECOND,
    TARGETS,
    array,
    atom37,
    cif,
    pdb,
    some,
    text,
    topology,
    trajectory,
    zipped,
)

from ebabench.errors import InputError
from ebabench.io.layouts import Source, find_sources, read_source
from ebabench.io.structure_files import read_frames


def source(root: Path) -> Source:
    return find_sources(root, TARGETS).sources[NAME]


def read(root: Path) -> list[str]:
    """The names of the files that are read; the source is without doubt."""
    found = source(root)
    assert found.fault is None, found.fault
    return [path.name for path in found.paths]


def left_out(root: Path) -> set[str]:
    return {one.path.name for one in source(root).left_out}


def doubt(root: Path) -> InputError:
    fault = source(root).fault
    assert fault is not None
    assert fault.code == "ensembles.ambiguous"
    return fault


def samples(folder: Path, count: int = 5, name: str = "sample_{}.pdb") -> None:
    for k in range(count):
        pdb(folder / name.format(k), k)


@pytest.mark.parametrize(
    "native",
    [f"{NAME}.pdb", "native.pdb", "input.cif", f"{NAME}_native.pdb", "template_1abc.cif", "reference.pdb", "init.pdb",
     "templates/1abc.cif", "inputs/start.pdb", "crystal-structure.ent"],
)  # fmt: skip
def test_the_input_structure_is_no_sample(tmp_path: Path, native: str) -> None:
    samples(tmp_path / NAME)
    (cif if native.endswith("cif") else pdb)(tmp_path / NAME / native, 20)
    assert len(read(tmp_path)) == 5
    assert left_out(tmp_path) == {Path(native).name}


@pytest.mark.parametrize("odd", ["1ake.pdb", "best_of_all_x.pdb", "final.pdb"])
def test_a_structure_without_a_number_among_numbered_ones_is_a_doubt(tmp_path: Path, odd: str) -> None:
    samples(tmp_path / NAME)
    pdb(tmp_path / NAME / odd, 20)
    if odd.startswith("best"):  # a word for copies
        assert len(read(tmp_path)) == 5
    else:
        assert odd in str(doubt(tmp_path))


def test_an_input_structure_of_the_targets_name_in_one_folder_for_all(tmp_path: Path) -> None:
    samples(tmp_path, name=f"{NAME}_{{}}.pdb")
    pdb(tmp_path / f"{NAME}.pdb", 20)
    assert f"{NAME}.pdb" in str(doubt(tmp_path))  # it may be the first sample as well
    (tmp_path / f"{NAME}.pdb").rename(tmp_path / f"{NAME}_native.pdb")
    assert len(read(tmp_path)) == 5


def test_an_input_structure_beside_one_file_with_all_conformations(tmp_path: Path) -> None:
    pdb(tmp_path / NAME / "ensemble.pdb", 0, 6)
    pdb(tmp_path / NAME / "1ake.pdb", 20)
    assert read(tmp_path) == ["ensemble.pdb"]
    assert left_out(tmp_path) == {"1ake.pdb"}


@pytest.mark.parametrize(
    "name", ["sample_0_traj.pdb", "x0_traj.pdb", "traj/denoising_0.pdb", "diffusion/sample_0.pdb", f"{NAME}.3.anim.pdb"]
)
def test_a_denoising_trajectory_is_no_sample(tmp_path: Path, name: str) -> None:
    samples(tmp_path / NAME)
    pdb(tmp_path / NAME / name, 20, 10)
    assert len(read(tmp_path)) == 5
    assert left_out(tmp_path) == {Path(name).name}


def test_a_denoising_trajectory_beside_one_file_with_all_conformations(tmp_path: Path) -> None:
    pdb(tmp_path / f"{NAME}.pdb", 0, 6)
    pdb(tmp_path / f"{NAME}_traj.pdb", 10, 20)
    assert read(tmp_path) == [f"{NAME}.pdb"]


def test_words_mean_nothing_where_all_files_have_them(tmp_path: Path) -> None:
    samples(tmp_path / "start_from_native" / NAME)
    assert len(read(tmp_path)) == 5
    pdb(tmp_path / "alone" / f"{NAME}_traj.pdb", 0, 6)
    assert read(tmp_path / "alone") == [f"{NAME}_traj.pdb"]


def test_relaxed_twins_count_once(tmp_path: Path) -> None:
    samples(tmp_path / NAME, name="unrelaxed_{}.pdb")
    samples(tmp_path / NAME, 3, name="relaxed_{}.pdb")
    assert read(tmp_path) == [f"unrelaxed_{k}.pdb" for k in range(5)]
    assert left_out(tmp_path) == {f"relaxed_{k}.pdb" for k in range(3)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sample_{}.pdb", "sample_{}_relaxed.pdb"),
        ("raw/{}.pdb", "relaxed/{}.pdb"),
        ("{}.pdb", "{}_H.pdb"),
        ("bb_{}.pdb", "aa_{}.pdb"),
        ("x-pred-{}/x.pdb", "x-rank{}/x.pdb"),
    ],
)
def test_two_series_of_the_same_numbers_are_a_doubt(tmp_path: Path, one: str, other: str) -> None:
    samples(tmp_path / NAME, name=one)
    samples(tmp_path / NAME, name=other)
    message = str(doubt(tmp_path))
    assert one.format(0) in message
    assert other.format(0) in message


@pytest.mark.parametrize("other", ["sample_0_relaxed.pdb", "sample_0_H.pdb", "relaxed/sample_0.pdb"])
@pytest.mark.parametrize("more", [(), ("sample_1.pdb", "sample_1_min.pdb")])
def test_one_sample_that_may_be_there_twice_is_a_doubt(tmp_path: Path, other: str, more: tuple[str, ...]) -> None:
    for k, name in enumerate(("sample_0.pdb", other, *more)):
        pdb(tmp_path / NAME / name, k)
    assert other in str(doubt(tmp_path))


def test_two_structures_with_names_of_their_own_are_two_conformations(tmp_path: Path) -> None:
    for k, name in enumerate(("open.pdb", "closed.pdb")):
        pdb(tmp_path / NAME / name, k)
    assert len(read(tmp_path)) == 2


def test_two_series_of_other_numbers_are_joined(tmp_path: Path) -> None:
    samples(tmp_path / NAME, name="first_{}.pdb")
    for k in range(5, 9):
        pdb(tmp_path / NAME / f"more_{k}.pdb", k)
    assert len(read(tmp_path)) == 9


@pytest.mark.parametrize("names", [("nvt", "npt", "md"), ("traj_1", "traj_2", "traj_all"), ("R1", "R1_ext", "R2")])
def test_trajectories_whose_names_differ_in_more_than_a_number_are_a_doubt(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        trajectory(tmp_path / NAME / f"{name}.dcd", 0, 5)
    pdb(tmp_path / NAME / "top.pdb")
    assert "differ in a number only" in str(doubt(tmp_path))


def test_relaxed_alone_are_read(tmp_path: Path) -> None:
    for k in range(5):
        pdb(tmp_path / f"{NAME}_relaxed_rank_00{k + 1}_alphafold2_ptm_model_{k + 1}_seed_000.pdb", k)
    assert len(read(tmp_path)) == 5


@pytest.mark.parametrize("taken", ["unrelaxed", "relaxed", "ranked"])
def test_of_alphafold2_the_largest_set_is_read(tmp_path: Path, taken: str) -> None:
    names = {
        "unrelaxed": "unrelaxed_model_{}_pred_0.pdb",
        "relaxed": "relaxed_model_{}_pred_0.pdb",
        "ranked": "ranked_{}.pdb",
    }
    for state, name in names.items():
        samples(tmp_path / NAME, 5 if state == taken else 2, name)
    assert all(name.startswith(taken) for name in read(tmp_path))
    assert len(left_out(tmp_path)) == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{NAME}.pdb", f"{NAME}.npz"),
        (f"{NAME}.pdb", f"{NAME}/run.pdb"),
        (f"{NAME}/open.pdb", f"{NAME}/closed.pdb"),
        (f"{NAME}/whole.xtc", f"{NAME}/aligned.xtc"),
        (f"{NAME}/run.xtc", f"{NAME}/sample_0.pdb"),
        (f"{NAME}/sample_0.pdb", f"{NAME}/sample_0.cif"),
    ],
)
def test_two_ways_are_refused_and_both_are_named(tmp_path: Path, one: str, other: str) -> None:
    for path in (tmp_path / one, tmp_path / other):
        if path.suffix == ".npz":
            made = {"positions": [[[0.0] * 3]], "name": ["CA"], "residue_name": ["GLY"], "residue": [0]}
            array(path, **made)
        elif path.suffix == ".xtc":
            trajectory(path, 0, 6)
            pdb(path.with_name("topology.pdb"))
        elif "sample" in path.name:
            for k in range(4):
                (cif if path.suffix == ".cif" else pdb)(path.with_name(f"sample_{k}{path.suffix}"), k)
        else:
            pdb(path, 0, 6)
    message = str(doubt(tmp_path))
    assert str(tmp_path / one) in message
    assert str(tmp_path / other) in message


def test_codings_of_an_accent_are_one_name(tmp_path: Path) -> None:
    """A file that came from macOS, beside one of the same name that did not."""
    composed, decomposed = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"
    pdb(tmp_path / f"{decomposed}.pdb", 0, 5)
    targets = {composed: TARGETS[NAME], "other": TARGETS[NAME]}  # the sequence does not tell them apart
    assert find_sources(tmp_path, targets).sources.keys() == {composed}
    pdb(tmp_path / f"{composed}.pdb", 0, 6)
    fault = find_sources(tmp_path, targets).sources[composed].fault
    assert fault is not None
    assert fault.code == "ensembles.ambiguous"


def test_runs_in_folders_below_a_target_are_joined(tmp_path: Path) -> None:
    for k in (1, 2, 10):
        trajectory(tmp_path / NAME / f"run{k}" / "samples.xtc", k, 5)
        pdb(tmp_path / NAME / f"run{k}" / "topology.pdb", k)
    found = source(tmp_path)
    assert found.fault is None
    assert [path.parent.name for path in found.paths] == ["run1", "run2", "run10"]
    assert list(find_sources(tmp_path).sources) == [NAME]


def test_alphafold3_run_again_with_other_seeds_is_one_source(tmp_path: Path) -> None:
    """Where the folder of a job is there, AlphaFold 3 adds the time to its name."""
    for seed, folder in enumerate((NAME.lower(), f"{NAME.lower()}_20250102_120000", f"{NAME.lower()}_20250103_120000")):
        for k in range(2):
            cif(tmp_path / folder / f"seed-{seed}_sample-{k}" / "model.cif", 2 * seed + k)
    assert len(read(tmp_path)) == 6
    assert list(find_sources(tmp_path).sources) == [NAME.lower()]
    cif(tmp_path / folder / "seed-0_sample-0" / "model.cif", 0)
    doubt(tmp_path)


def test_trajectories_of_one_topology_are_joined(tmp_path: Path) -> None:
    for name in ("a", "b"):
        trajectory(tmp_path / NAME / f"{name}.dcd", 0, 5)
    pdb(tmp_path / NAME / "top.pdb")
    assert read(tmp_path) == ["a.dcd", "b.dcd"]


def test_runs_in_two_formats_are_joined_unless_one_is_there_twice(tmp_path: Path) -> None:
    for name in (f"{NAME}_1.xtc", f"{NAME}_2.dcd", f"{NAME}_3.xtc"):
        trajectory(tmp_path / name, 0, 5)
    pdb(tmp_path / f"{NAME}.pdb")
    assert sorted(read(tmp_path)) == [f"{NAME}_1.xtc", f"{NAME}_2.dcd", f"{NAME}_3.xtc"]
    trajectory(tmp_path / f"{NAME}_3.dcd", 0, 5)
    assert f"{NAME}_3" in str(doubt(tmp_path))


def test_runs_of_several_targets_in_one_folder(tmp_path: Path) -> None:
    for name, sequence in TARGETS.items():
        for k in range(2):
            pdb(tmp_path / f"{name}_run{k}.pdb", 0, 5, sequence)
    found = find_sources(tmp_path, TARGETS).sources
    assert {name: len(one.parts) for name, one in found.items()} == dict.fromkeys(TARGETS, 2)
    assert find_sources(tmp_path).sources.keys() == TARGETS.keys()


def test_a_number_of_the_target_is_no_running_number(tmp_path: Path) -> None:
    targets = {"gly_1": "GAIHWKSTV", "gly_2": OTHER}
    for name, sequence in targets.items():
        pdb(tmp_path / f"{name}.pdb", 0, 5, sequence)
    assert {name: len(one.parts) for name, one in find_sources(tmp_path, targets).sources.items()} == {
        "gly_1": 1,
        "gly_2": 1,
    }
    assert find_sources(tmp_path).sources.keys() == targets.keys()  # their sequences tell them apart


@pytest.mark.parametrize(
    "name", [f"{NAME}.PDB", f"{NAME}.Ent", f"{NAME.upper()}.pdb", f"{NAME.replace('_', '')}.pdb", f"samples_{NAME}.pdb"]
)
def test_spellings_of_a_name(tmp_path: Path, name: str) -> None:
    pdb(tmp_path / name, 0, 5)
    assert read(tmp_path) == [name]


def test_one_file_is_enough(tmp_path: Path) -> None:
    path = pdb(tmp_path / "whatever.pdb", 0, 5)
    pdb(tmp_path / "another.pdb", 0, 5)
    assert read(path) == ["whatever.pdb"]


def test_one_file_of_a_layout_is_read_as_in_its_folder(tmp_path: Path) -> None:
    path = trajectory(tmp_path / "samples.xtc", 0, 8)
    cif(tmp_path / "topology.cif")
    text(tmp_path / "physicality.json", "[]")
    (part,) = source(path).parts
    assert part.topology is not None
    assert part.report == tmp_path / "physicality.json"


def test_what_a_layout_leaves_out_is_read_if_it_is_named(tmp_path: Path) -> None:
    samples(tmp_path, name="unrelaxed_model_{}_pred_0.pdb")
    path = pdb(tmp_path / "ranked_0.pdb", 0, 1)
    assert read(path) == ["ranked_0.pdb"]


def test_structures_in_the_folder_of_one_target(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        pdb(tmp_path / f"{name}.pdb", ord(name) - 97)
    assert read(tmp_path) == ["a.pdb", "b.pdb", "c.pdb"]
    assert list(find_sources(tmp_path).sources) == [tmp_path.name]


def test_what_is_of_no_target_is_told(tmp_path: Path) -> None:
    pdb(tmp_path / f"{NAME}.pdb", 0, 5)
    pdb(tmp_path / f"{SECOND}.pdb", 0, 5, OTHER)
    found = find_sources(tmp_path, {NAME: TARGETS[NAME]})
    assert list(found.sources) == [NAME]
    assert [one.names[0] for one in found.strangers] == [SECOND]


def test_a_trajectory_without_a_topology_is_a_fault_of_its_target(tmp_path: Path) -> None:
    trajectory(tmp_path / NAME / "run.xtc", 0, 5)
    pdb(tmp_path / f"{SECOND}.pdb", 0, 5, OTHER)
    found = find_sources(tmp_path, TARGETS)
    fault = found.sources[NAME].fault
    assert fault is not None
    assert fault.code == "topology.missing"
    assert found.sources[SECOND].fault is None


@pytest.mark.parametrize("name", ["x.tng", "x.pt", "x.npy", "notes.txt"])
def test_a_format_that_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    text(tmp_path / name, "something")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(InputError) as error:
            find_sources(path, TARGETS)
        assert error.value.code == "ensembles.none"
        assert name in str(error.value)


def test_half_precision_far_from_the_origin_is_refused(tmp_path: Path) -> None:
    path = atom37(tmp_path / f"{NAME}.npz", 0, 4)
    with np.load(path) as arrays:
        far = dict(arrays) | {"atom37": (arrays["atom37"] + 300).astype(np.float16)}
    np.savez(path, **far)
    with pytest.raises(InputError, match=r"0\.25 angstrom apart.*float32") as raised:
        read_source(source(tmp_path), NAME)
    assert raised.value.code == "atom37.shape"
    assert str(path) in str(raised.value)


def test_bioemu_that_was_interrupted_says_what_to_do(tmp_path: Path) -> None:
    array(tmp_path / NAME / "batch_0000000_0000010.npz", pos=[[0.0]], node_orientations=[[0.0]])
    with pytest.raises(InputError) as error:
        find_sources(tmp_path, TARGETS)
    assert error.value.code == "ensembles.none"
    assert "samples.xtc" in str(error.value)


def test_bioemu_that_rejected_all_is_told(tmp_path: Path) -> None:
    trajectory(tmp_path / NAME / "samples_unphysical.xtc", 0, 5)
    pdb(tmp_path / NAME / "topology.pdb")
    with pytest.raises(InputError) as error:
        find_sources(tmp_path, TARGETS)
    assert "samples_unphysical.xtc" in str(error.value)


def test_a_missing_folder_and_an_empty_one(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none", "ensembles.missing"), (tmp_path, "ensembles.none")):
        with pytest.raises(InputError) as error:
            find_sources(path)
        assert error.value.code == code


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    text(tmp_path / "fold_x.zip", "PK")
    with pytest.raises(InputError) as error:
        find_sources(tmp_path)
    assert error.value.code == "archive.broken"


def test_a_zip_of_a_trajectory_and_its_topology_is_read(tmp_path: Path) -> None:
    run = trajectory(tmp_path / "run" / "traj.xtc", 0, 5)
    native = some(0, 1)
    mdtraj.Trajectory(native.positions / 10, topology(native.atoms)).save(str(run.with_suffix(".gro")))
    text(run.with_name("traj.weights.csv"), "weight\n" + "1\n" * 4 + "4\n")
    made = read_source(source(zipped(tmp_path / f"{NAME}.zip", tmp_path / "run")), NAME)
    assert len(made) == 5
    assert made.effective_samples == pytest.approx(3.2)


def test_a_tar_archive_is_told_and_what_to_do(tmp_path: Path) -> None:
    for name in ("x.tar.gz", "x.tgz", "x.tar"):
        path = text(tmp_path / name.replace(".", "_") / name, "")
        for place in (path, path.parent):
            with pytest.raises(InputError, match=r"x.*: a tar archive, which is not read: unpack it"):
                find_sources(place)


@pytest.mark.parametrize("suffix", ["xtc", "dcd"])
def test_a_gzipped_trajectory_is_told_and_what_to_do(tmp_path: Path, suffix: str) -> None:
    plain = trajectory(tmp_path / NAME / f"traj.{suffix}", 0, 5)
    packed = plain.with_name(f"{plain.name}.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    pdb(tmp_path / NAME / "top.pdb")
    for look in (lambda: read_source(source(tmp_path), NAME), lambda: read_frames(packed)):
        with pytest.raises(InputError) as raised:
            look()
        assert f"gunzip {packed.name}" in str(raised.value)


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    samples(tmp_path / NAME)
    (tmp_path / NAME / "again").symlink_to(tmp_path / NAME)
    assert len(read(tmp_path)) == 5


def test_files_are_not_compared_pair_by_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples(tmp_path / NAME, name="unrelaxed_{}.pdb")
    samples(tmp_path / NAME, name="relaxed_{}.pdb")
    pdb(tmp_path / NAME / "native.pdb", 20)
    monkeypatch.setattr(Source, "__eq__", lambda *_: pytest.fail("compared"))
    assert len(read(tmp_path)) == 5
    assert len(left_out(tmp_path)) == 6


@pytest.mark.parametrize("name", [f"{NAME}.weights.csv", "all_weights.csv", "weights.csv"])
def test_weights_beside_an_archive_are_refused(tmp_path: Path, name: str) -> None:
    samples(tmp_path / "run")
    packed = zipped(tmp_path / "zips" / f"{NAME}.zip", tmp_path / "run")
    text(packed.with_name(name), "file,weight\n" + "".join(f"sample_{k}.pdb,{k}\n" for k in range(5)))
    for path in (packed, packed.parent):
        with pytest.raises(InputError, match=name) as error:
            read_source(source(path), NAME)
        assert error.value.code in ("weights.unused", "weights.count")
    text(tmp_path / "run" / "weights.csv", packed.with_name(name).read_text())
    packed.with_name(name).unlink()
    found = source(zipped(packed, tmp_path / "run"))
    np.testing.assert_allclose(read_source(found, NAME).weights, np.arange(5) / 10)
