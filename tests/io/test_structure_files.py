"""Reading ensembles: what goes out comes back, and what is broken is named."""

import gzip

import numpy as np
import pytest
from proteins import build, ensemble

from ebabench.errors import InputError
from ebabench.io.structure_files import (
    load_ensemble,
    read_ensemble,
    read_structure,
    write_ensemble,
    write_pdb,
)
from ebabench.io.xtc import XtcFrames, read_xtc
from ebabench.structures import Ensemble

TARGET = build("GAIHWK")


@pytest.fixture
def made() -> Ensemble:
    one = ensemble(TARGET, frames=5)
    return Ensemble(one.target, one.atoms, one.positions.round(3), held_out=(2,))


@pytest.fixture
def pdb(made, tmp_path):
    path = tmp_path / "x.pdb"
    write_pdb(made, path)
    return path


def same(one: Ensemble, other: Ensemble) -> None:
    assert one.atoms.digest() == other.atoms.digest()
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-4)


def test_npz_gives_back_what_was_written(made, tmp_path):
    write_ensemble(made, tmp_path / "x.npz")
    back = load_ensemble(tmp_path / "x.npz", "x")
    assert back.held_out == (2,)
    assert not back.random_weights
    np.testing.assert_array_equal(back.positions, made.positions)
    same(back, made)


def test_the_replicas_to_score_against_are_not_the_file_s_to_choose(made, tmp_path):
    write_ensemble(made, tmp_path / "x.npz")
    with pytest.raises(InputError) as error:
        read_ensemble(tmp_path / "x.npz", "x")
    assert error.value.code == "npz.held-out"


def test_npz_has_the_same_bytes_each_time(made, tmp_path):
    write_ensemble(made, tmp_path / "a.npz")
    write_ensemble(made, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_pdb_plain_and_gzipped(made, pdb, tmp_path):
    same(read_ensemble(pdb, "x"), made)
    packed = tmp_path / "y.pdb.gz"
    packed.write_bytes(gzip.compress(pdb.read_bytes()))
    same(read_ensemble(packed, "y"), made)


def test_xtc_with_hydrogens_in_the_topology(made, tmp_path):
    import mdtraj

    heavy = mdtraj.load_pdb(_written(made, tmp_path / "h.pdb"))
    topology, n = heavy.topology.copy(), heavy.n_atoms
    topology.add_atom("H", mdtraj.element.hydrogen, topology.residue(0))
    order = [atom.index for atom in topology.atoms]
    xyz = np.concatenate([heavy.xyz, np.zeros((len(made), 1, 3), np.float32)], axis=1)
    everything = mdtraj.Trajectory(xyz[:, np.argsort(np.argsort(order))], topology)
    everything[0].save_pdb(str(tmp_path / "t.top.pdb"))
    everything.save_xtc(str(tmp_path / "t.xtc"))
    written = mdtraj.load_pdb(str(tmp_path / "t.top.pdb"))
    assert written.n_atoms == n + 1
    back = read_ensemble(tmp_path / "t.xtc", "t")
    assert len(back.atoms) == n
    blocks = list(read_xtc(tmp_path / "t.xtc", n + 1, chunk=2))
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate(blocks), everything.xyz * 10, atol=0.01)


def _written(made, path):
    write_pdb(made, path)
    return str(path)


def test_numbers_and_chains_of_a_file_are_not_believed(made, pdb):
    text = pdb.read_text().splitlines(keepends=True)
    shifted = [f"{x[:21]}Q{int(x[22:26]) + 41:4d}{x[26:]}" if x.startswith("ATOM") else x for x in text]
    pdb.write_text("".join(shifted))
    same(read_ensemble(pdb, "x"), made)


def test_waters_ions_ligands_and_hydrogens_are_left_out(made, pdb):
    extra = (
        "ATOM      9 1HB  LYS A   6       1.000   2.000   3.000  1.00  0.00           H\n"
        "HETATM  900  O   HOH A 900       1.000   2.000   3.000  1.00  0.00           O\n"
        "HETATM  901 CA    CA A 901       1.000   2.000   3.000  1.00  0.00          CA\n"
    )
    pdb.write_text(pdb.read_text().replace("TER\n", extra))
    same(read_ensemble(pdb, "x"), made)


def test_first_alternate_location_counts(made, pdb):
    lines = pdb.read_text().splitlines(keepends=True)
    out = []
    for line in lines:
        if line[12:16] == " CB ":
            out += [f"{line[:16]}B{line[17:]}", f"{line[:16]}C{line[17:30]}   0.000{line[38:]}"]
        else:
            out.append(line)
    pdb.write_text("".join(out))
    same(read_ensemble(pdb, "x"), made)


def test_aliases_come_under_their_usual_names(made, pdb):
    text = pdb.read_text().replace(" CD1 ILE", " CD  ILE").replace("HIS", "HSD")
    pdb.write_text(text)
    same(read_ensemble(pdb, "x"), made)


@pytest.mark.parametrize("separator", ["END\n", "ENDMDL\nEND\n", "TER\nEND\nENDMDL\n"])
def test_frames_after_an_end_record_are_read(made, pdb, separator):
    text = pdb.read_text().removesuffix("END\n").replace("TER\nENDMDL\n", separator)
    if separator == "END\n":
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("MODEL"))
    pdb.write_text(text)
    same(read_ensemble(pdb, "x"), made)


def test_read_structure_is_the_first_model(made, pdb):
    atoms, positions = read_structure(pdb)
    assert atoms.sequence == "GAIHWK"
    np.testing.assert_allclose(positions, made.positions[0], atol=1e-4)


def edits():
    def cut(text):
        return text[: len(text) * 2 // 3 + 20]

    def drop(text):
        at = text.rindex("ATOM")
        return text[:at] + text[text.index("\n", at) + 1 :]

    def rename(text):
        at = text.rindex(" CB ")
        return text[:at] + " CX " + text[at + 4 :]

    def overflow(text):
        lines = text.splitlines(keepends=True)
        return "".join(f"{line[:30]}********{line[38:]}" if k == 7 else line for k, line in enumerate(lines))

    return [
        ("truncated", cut, "structure.cut"),
        ("atom missing in a model", drop, "structure.models-differ"),
        ("atom renamed in a model", rename, "structure.models-differ"),
        ("empty", lambda text: "", "structure.no-atoms"),
        ("no protein", lambda text: "HELLO\nWORLD\n", "structure.no-atoms"),
        ("overflow", overflow, "structure.not-a-number"),
        ("atom twice", lambda text: text.replace(" CB ", " CA "), "structure.duplicate-atom"),
        ("no C-alpha", lambda text: text.replace(" CA ", " CX "), "structure.no-protein"),
    ]


@pytest.mark.parametrize(("edit", "code"), [e[1:] for e in edits()], ids=[e[0] for e in edits()])
def test_broken_pdb_is_named(pdb, edit, code):
    pdb.write_text(edit(pdb.read_text()))
    with pytest.raises(InputError) as error:
        read_ensemble(pdb, "x")
    assert error.value.code == code
    assert "x.pdb" in str(error.value)


@pytest.mark.parametrize("name", ["x.pdb.gz", "x.cif", "x.npz", "x.xtc"])
def test_rubbish_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x00rubbish" * 50)
    (tmp_path / "x.top.pdb").write_text("ATOM      1  CA  GLY A   1       0.000   0.000   0.000\n")
    with pytest.raises(InputError, match=name):
        read_ensemble(path, "x")


def test_truncated_trajectory_is_named(made, tmp_path):
    import mdtraj

    trajectory = mdtraj.load_pdb(_written(made, tmp_path / "t.top.pdb"))[[0] * 300]
    trajectory.save_xtc(str(tmp_path / "t.xtc"))
    data = (tmp_path / "t.xtc").read_bytes()
    (tmp_path / "t.xtc").write_bytes(data[: len(data) - 30])
    with pytest.raises(InputError, match="truncated after frame"):
        read_ensemble(tmp_path / "t.xtc", "t")


@pytest.fixture
def trajectory(made, tmp_path):
    import mdtraj

    frames = mdtraj.load_pdb(_written(made, tmp_path / "x.pdb"))[[k % 5 for k in range(300)]]
    frames.xyz += np.arange(300, dtype=np.float32)[:, None, None]
    frames.save_xtc(str(tmp_path / "x.xtc"))
    return tmp_path / "x.xtc", frames.xyz * 10


def test_frames_on_disk_behave_as_an_array(trajectory):
    path, xyz = trajectory
    atoms = np.array([0, 3, 4, 20])
    frames, array = XtcFrames(path, xyz.shape[1], atoms), xyz[:, atoms]
    assert (len(frames), frames.shape) == (300, (300, 4, 3))
    for key in (slice(None), slice(7, 9), slice(250, None), slice(0, 300, 50), slice(0, 0), [5, 299, 5, 0], -1, 17):
        np.testing.assert_allclose(frames[key], array[key], atol=0.02)
        assert frames[key].shape == array[key].shape
        assert frames[key].dtype == np.float32
    with pytest.raises(IndexError):
        frames[300]


def test_frames_on_disk_are_known_by_their_content(trajectory, tmp_path):
    path, xyz = trajectory
    one = XtcFrames(path, xyz.shape[1], np.arange(3)).digest()
    assert one == XtcFrames(path, xyz.shape[1], np.arange(3)).digest()
    assert one != XtcFrames(path, xyz.shape[1], np.arange(4)).digest()
    copy = tmp_path / "y.xtc"
    copy.write_bytes(path.read_bytes())
    assert one == XtcFrames(copy, xyz.shape[1], np.arange(3)).digest()


@pytest.mark.parametrize("atoms", [3, 9, 10, 20])
def test_frames_on_disk_cut_at_any_byte_are_named(atoms, tmp_path):
    from mdtraj.formats import XTCTrajectoryFile

    path = tmp_path / "x.xtc"
    xyz = np.random.default_rng(1).normal(size=(3, atoms, 3)).astype(np.float32)
    ends = []
    for frames in (1, 2, 3):
        with XTCTrajectoryFile(str(path), "w") as file:
            file.write(xyz[:frames])
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    np.testing.assert_allclose(XtcFrames(path, atoms, np.arange(2))[:], 10 * xyz[:, :2], atol=0.01)
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        if kept in ends:
            assert len(XtcFrames(path, atoms, np.arange(2))) == 1 + ends.index(kept)
        else:
            with pytest.raises(InputError, match=r"x\.xtc: (truncated after frame|no frames)"):
                XtcFrames(path, atoms, np.arange(2))
    path.write_bytes(whole + b"tail" * 40)
    with pytest.raises(InputError, match=r"x\.xtc: broken after frame 3"):
        XtcFrames(path, atoms, np.arange(2))


def test_trajectory_of_other_atoms_is_named(made, tmp_path):
    import mdtraj

    trajectory = mdtraj.load_pdb(_written(made, tmp_path / "t.top.pdb"))
    trajectory.atom_slice(range(trajectory.n_atoms - 1)).save_xtc(str(tmp_path / "t.xtc"))
    with pytest.raises(InputError, match="the topology has"):
        read_ensemble(tmp_path / "t.xtc", "t")
    (tmp_path / "t.top.pdb").unlink()
    with pytest.raises(InputError, match="needs its topology"):
        read_ensemble(tmp_path / "t.xtc", "t")


def test_npz_without_its_arrays_is_named(tmp_path, made):
    np.savez(tmp_path / "x.npz", positions=made.positions)
    with pytest.raises(InputError, match=r"x\.npz: lacks name, residue, residue_name"):
        read_ensemble(tmp_path / "x.npz", "x")
    table = {"name": made.atoms.name, "residue_name": made.atoms.residue_name, "residue": made.atoms.residue}
    np.savez(tmp_path / "x.npz", positions=made.positions[:, :-1], **table)
    with pytest.raises(InputError, match="shape"):
        read_ensemble(tmp_path / "x.npz", "x")
    np.savez(tmp_path / "x.npz", positions=made.positions[:0], **table)
    with pytest.raises(InputError, match="no conformations"):
        read_ensemble(tmp_path / "x.npz", "x")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError) as error:
        read_ensemble(tmp_path / "x.pdb", "x")
    assert error.value.code == "file.missing"
    assert "x.pdb" in str(error.value)


def test_positions_that_do_not_fit_a_pdb_are_refused(made, tmp_path):
    far = Ensemble("x", made.atoms, made.positions + np.float32(2000))
    with pytest.raises(InputError, match="do not fit"):
        write_pdb(far, tmp_path / "x.pdb")
