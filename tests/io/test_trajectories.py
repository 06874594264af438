"""Trajectories of every format: the columns are the topology's atoms in file order, whole, in angstrom, or refused."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from molecule_files import Table, cif_text, gro_text, molecule, same_as, topology_file, water

from ebabench.errors import InputError
from ebabench.io.structure_files import read_ensemble, read_frames
from ebabench.io.topologies import find_topology, read_topology
from ebabench.io.trajectories import read_trajectory

MOLECULE = molecule(frames=12)
FORMATS = ("xtc", "trr", "dcd", "nc", "h5")
PRECISION = 0.006  # angstrom, of XTC


def box_of(side):
    return np.diag([side] * 3) if np.ndim(side) == 0 else np.asarray(side, float)


def netcdf(path, positions, box):
    """AMBER's convention, as the writers of MDAnalysis, cpptraj and mdtraj follow it."""
    from scipy.io import netcdf_file

    with netcdf_file(path, "w", version=2) as file:
        file.Conventions, file.ConventionVersion, file.program = b"AMBER", b"1.0", b"test"
        for name, size in (("frame", None), ("spatial", 3), ("atom", positions.shape[1])):
            file.createDimension(name, size)
        coordinates = file.createVariable("coordinates", "f", ("frame", "atom", "spatial"))
        coordinates[:] = positions.astype(np.float32)
        coordinates.units = b"angstrom"
        if box is not None:
            file.createDimension("cell_spatial", 3)
            for name, values in (("cell_lengths", np.linalg.norm(box, axis=1)), ("cell_angles", [90.0] * 3)):
                cell = file.createVariable(name, "d", ("frame", "cell_spatial"))
                cell[:] = np.repeat(np.asarray(values)[None], len(positions), axis=0)


def write(path, positions, box=None):
    """The positions [F, N, 3] in angstrom, by the libraries that write such files."""
    from mdtraj import formats

    positions = np.asarray(positions, np.float32)
    count = len(positions)
    vectors = None if box is None else np.repeat(box_of(box)[None], count, axis=0).astype(np.float32)
    match path.suffix:
        case ".xtc" | ".trr":
            opened = formats.XTCTrajectoryFile if path.suffix == ".xtc" else formats.TRRTrajectoryFile
            with opened(str(path), "w") as file:
                file.write(positions / 10, box=None if vectors is None else vectors / 10)
        case ".dcd":
            cell = {}
            if box is not None:
                lengths = np.repeat(np.linalg.norm(box_of(box), axis=1)[None], count, axis=0).astype(np.float32)
                cell = {"cell_lengths": lengths, "cell_angles": np.full_like(lengths, 90)}
            with formats.DCDTrajectoryFile(str(path), "w") as file:
                file.write(positions, **cell)
        case ".nc":
            netcdf(path, positions, None if box is None else box_of(box))
        case ".h5":
            h5py = pytest.importorskip("h5py")
            with h5py.File(path, "w") as file:
                file["coordinates"] = positions / 10
                file["coordinates"].attrs["units"] = "nanometers"
                if box is not None:
                    file["cell_lengths"] = np.repeat(np.linalg.norm(box_of(box), axis=1)[None] / 10, count, axis=0)
                    file["cell_lengths"].attrs["units"] = "nanometers"
                    file["cell_angles"] = np.full((count, 3), 90.0)
                file["topology"] = np.array([topology_json(MOLECULE)], dtype="S")
    return path


def topology_json(table):
    """mdtraj's topology in JSON: atoms under residues, with their columns."""
    import json

    residues = {}
    for row in range(len(table)):
        residues.setdefault(int(table.number[row]), (str(table.residue_name[row]), []))[1].append(
            {"index": row, "name": str(table.name[row]), "element": str(table.element[row])}
        )
    listed = [
        {"index": k, "resSeq": number, "name": name, "segmentID": "", "atoms": atoms}
        for k, (number, (name, atoms)) in enumerate(residues.items())
    ]
    return json.dumps({"chains": [{"index": 0, "residues": listed}], "bonds": []})


def refused(code, path, *named):
    with pytest.raises(InputError) as error:
        read_ensemble(path, "x")
    assert error.value.code == code
    for text in named:
        assert text in str(error.value)


@pytest.fixture
def folder(tmp_path):
    topology_file(MOLECULE, tmp_path / "x.top.pdb")
    return tmp_path


# Formats


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_read(folder, suffix):
    path = write(folder / f"x.{suffix}", MOLECULE.positions)
    same_as(read_ensemble(path, "x"), MOLECULE, atol=PRECISION)


@pytest.mark.parametrize("suffix", FORMATS)
def test_frames_stay_on_disk_and_behave_as_an_array(folder, suffix):
    path = write(folder / f"x.{suffix}", MOLECULE.positions)
    atoms = np.array([3, 0, 20, 7])
    stored = read_trajectory(path, None if suffix == "h5" else folder / "x.top.pdb").positions.take(atoms)
    array = MOLECULE.positions[:, atoms]
    assert stored.shape == array.shape
    for key in (slice(None), slice(2, 5), slice(0, 12, 5), slice(0, 0), [7, 2, 7, 0], -1, 4):
        np.testing.assert_allclose(stored[key], array[key], atol=PRECISION)
        assert stored[key].dtype == np.float32
    with pytest.raises(IndexError):
        stored[12]
    assert stored.digest() != stored.take(np.array([1, 0])).digest()


@pytest.mark.parametrize("suffix", ["XTC", "Dcd"])
def test_suffixes_in_any_case(folder, suffix):
    written = write(folder / f"x.{suffix.lower()}", MOLECULE.positions)
    same_as(read_ensemble(written.rename(folder / f"x.{suffix}"), "x"), MOLECULE, atol=PRECISION)


def test_several_trajectories_of_one_topology_are_joined(folder):
    parts = [write(folder / f"{k}.xtc", MOLECULE.positions[4 * k : 4 * k + 4]) for k in range(3)]
    joined = read_trajectory(parts, folder / "x.top.pdb").positions
    assert len(joined) == 12
    np.testing.assert_allclose(joined[:], MOLECULE.positions, atol=PRECISION)
    np.testing.assert_allclose(joined[[11, 0, 5]], MOLECULE.positions[[11, 0, 5]], atol=PRECISION)
    np.testing.assert_allclose(joined.take(np.array([5]))[-1], MOLECULE.positions[-1, [5]], atol=PRECISION)


def test_a_trr_of_double_precision_with_velocities(folder):
    """As GROMACS writes it: velocities between frames, some frames of velocities alone."""
    atoms = len(MOLECULE)
    data = b""
    for k, frame in enumerate(MOLECULE.positions / 10):
        with_positions = k % 3 != 1
        sizes = [0, 0, 72, 0, 0, 0, 0, 24 * atoms if with_positions else 0, 24 * atoms, 0]
        data += struct.pack(">3i12s", 1993, 13, 12, b"GMX_trn_file") + struct.pack(">13i", *sizes, atoms, k, 0)
        data += struct.pack(">2d", 0.1 * k, 0) + np.eye(3).astype(">f8").tobytes()
        data += frame.astype(">f8").tobytes() if with_positions else b""
        data += np.zeros((atoms, 3), ">f8").tobytes()
    (folder / "x.trr").write_bytes(data)
    ensemble = read_ensemble(folder / "x.trr", "x")
    kept = [k for k in range(12) if k % 3 != 1]
    np.testing.assert_allclose(ensemble.positions, MOLECULE.positions[kept][:, MOLECULE.heavy], atol=1e-5)


def dcd(positions, cells=None, order="<", declared=None):
    """The bytes of a DCD file, with the six numbers of the unit cell [F, 6] where there are any."""

    def record(data):
        return struct.pack(f"{order}i", len(data)) + data + struct.pack(f"{order}i", len(data))

    frames, atoms = positions.shape[:2]
    flags = [frames if declared is None else declared, 0, 1, *[0] * 7, int(cells is not None), *[0] * 8, 24]
    data = record(b"CORD" + struct.pack(f"{order}20i", *flags)) + record(struct.pack(f"{order}i", 1) + b" " * 80)
    data += record(struct.pack(f"{order}i", atoms))
    for k, frame in enumerate(positions):
        if cells is not None:
            data += record(struct.pack(f"{order}6d", *cells[k]))
        data += b"".join(record(frame[:, axis].astype(f"{order}f4").tobytes()) for axis in range(3))
    return data


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("cell", ["degrees", "cosines", "none"])
def test_dcd_of_either_byte_order(folder, order, cell):
    angle = 90.0 if cell == "degrees" else 0.0
    cells = None if cell == "none" else [(80, angle, 80, angle, angle, 80)] * len(MOLECULE.positions)
    (folder / "x.dcd").write_bytes(dcd(MOLECULE.positions, cells, order))
    same_as(read_ensemble(folder / "x.dcd", "x"), MOLECULE)


def test_a_dcd_with_fewer_frames_than_its_header_tells_is_refused_with_the_remedy(folder):
    (folder / "x.dcd").write_bytes(dcd(MOLECULE.positions, declared=500))
    with pytest.raises(InputError, match=r"500 frames, 12 are there: .*mdconvert"):
        read_ensemble(folder / "x.dcd", "x")


def test_the_factor_of_a_netcdf_array_counts(folder):
    from scipy.io import netcdf_file

    netcdf(folder / "x.nc", np.mod(MOLECULE.positions + 19.0, 40.0) / 1.25, box_of(40.0) / 1.25)
    with netcdf_file(folder / "x.nc", "a") as file:
        for name in ("coordinates", "cell_lengths"):
            file.variables[name].scale_factor = np.float32(1.25)
    same_as_moved(read_ensemble(folder / "x.nc", "x"), MOLECULE)


def test_half_precision_far_from_the_origin_is_refused(folder):
    h5py = pytest.importorskip("h5py")
    for far, name in ((0, "near.h5"), (30, "x.h5")):
        with h5py.File(write(folder / name, MOLECULE.positions), "a") as file:
            del file["coordinates"]
            file["coordinates"] = (MOLECULE.positions / 10 + far).astype(np.float16)
            file["coordinates"].attrs["units"] = "nanometers"
    assert len(read_ensemble(folder / "near.h5", "x")) == len(MOLECULE.positions)
    refused("trajectory.broken", folder / "x.h5", "x.h5", "0.156 angstrom apart", "float32")


def test_hdf5_without_its_package_is_told(folder, monkeypatch):
    path = write(folder / "x.h5", MOLECULE.positions)
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused("structure.package-missing", path, "x.h5", "pip install 'ebabench[formats]'")


# Order of atoms


def test_columns_are_the_topology_s_atoms_in_file_order(tmp_path):
    """Hydrogens at the end: a parser that puts them beside their residue takes other columns."""
    last = MOLECULE.take(np.argsort(MOLECULE.element == "H", kind="stable"))
    for name, table in (("plain", MOLECULE), ("last", last)):
        topology_file(table, tmp_path / f"{name}.top.pdb")
        write(tmp_path / f"{name}.xtc", table.positions)
    plain, hydrogens_last = (read_ensemble(tmp_path / f"{name}.xtc", "x") for name in ("plain", "last"))
    assert plain.atoms.digest() == hydrogens_last.atoms.digest()
    np.testing.assert_array_equal(plain.positions, hydrogens_last.positions)


@pytest.mark.parametrize("suffix", ["xtc", "dcd"])
@pytest.mark.parametrize("kept", ["all", "heavy"])
def test_a_trajectory_in_another_order_is_refused(tmp_path, suffix, kept):
    table = MOLECULE if kept == "all" else MOLECULE.take(MOLECULE.heavy)
    topology_file(table.take(np.argsort(table.element == "H", kind="stable")), tmp_path / "x.top.pdb")
    order = np.arange(len(table))
    if kept == "heavy":  # side chains behind backbones
        order = np.argsort(~np.isin(table.name, ("N", "CA", "C", "O")), kind="stable")
    write(tmp_path / f"x.{suffix}", table.take(order).positions)
    refused("topology.other-atoms", tmp_path / f"x.{suffix}", f"x.{suffix}", "x.top.pdb", "angstrom")


@pytest.mark.parametrize("residue", ["HIS", "TRP", "LYS"])
def test_a_single_residue_in_another_order_is_refused(tmp_path, residue):
    table = MOLECULE.take(MOLECULE.heavy)
    topology_file(table, tmp_path / "x.top.pdb")
    rows = np.flatnonzero(table.residue_name == residue)
    order = np.arange(len(table))
    order[rows[4:]] = np.roll(rows[4:], 1)
    write(tmp_path / "x.xtc", table.take(order).positions)
    refused("topology.other-atoms", tmp_path / "x.xtc", residue)


def test_equivalent_atoms_in_another_order_are_no_fault(tmp_path):
    """The two carbons of valine: names are exchanged, bonds are whole."""
    table = MOLECULE.take(MOLECULE.heavy)
    topology_file(table, tmp_path / "x.top.pdb")
    rows = np.flatnonzero((table.residue_name == "VAL") & np.isin(table.name, ("CG1", "CG2")))
    order = np.arange(len(table))
    order[rows] = rows[::-1]
    write(tmp_path / "x.xtc", table.take(order).positions)
    assert len(read_ensemble(tmp_path / "x.xtc", "x")) == 12


def test_a_few_broken_frames_are_the_trajectory_s_own(folder):
    positions = MOLECULE.positions.copy()
    positions[7, 10:14] += 2.5
    write(folder / "x.xtc", positions)
    assert len(read_ensemble(folder / "x.xtc", "x")) == 12


@pytest.mark.parametrize("suffix", ["dcd", "nc"])
def test_nanometres_in_a_format_of_angstrom_are_refused(folder, suffix):
    write(folder / f"x.{suffix}", MOLECULE.positions / 10)
    refused("trajectory.nanometres", folder / f"x.{suffix}", "nanometres")


@pytest.mark.parametrize("suffix", FORMATS)
def test_another_number_of_atoms_is_refused(folder, suffix):
    path = write(folder / f"x.{suffix}", MOLECULE.positions[:, :-1])
    if suffix == "h5":
        pytest.skip("it brings its own topology")
    refused("trajectory.atoms", path, f"{len(MOLECULE) - 1} atoms", f"{len(MOLECULE)}", "x.top.pdb")


@pytest.mark.parametrize("suffix", ["xtc", "trr"])
def test_angstrom_in_a_format_of_nanometres_are_refused(folder, suffix):
    write(folder / f"x.{suffix}", MOLECULE.positions * 10)
    refused("trajectory.nanometres", folder / f"x.{suffix}", "divide")


@pytest.mark.parametrize("suffix", ["xtc", "dcd"])
def test_atoms_padded_with_zeros_are_no_other_order(folder, suffix):
    positions = MOLECULE.positions.copy()
    positions[:, MOLECULE.number == 9] = 0
    write(folder / f"x.{suffix}", positions)
    refused("trajectory.padded", folder / f"x.{suffix}", "VAL 9")


# Topologies


def topologies(table, folder):
    """The molecule in every format of a topology."""
    numbers, names = sorted(set(table.number.tolist())), dict(zip(table.number, table.residue_name, strict=True))
    starts = [int(np.flatnonzero(table.number == number)[0]) + 1 for number in numbers]

    def section(flag, kind, values, width, per_line):
        lines = ["".join(f"{v:<{width}}" if kind == "a" else f"{v:>{width}}" for v in values[k : k + per_line])
                 for k in range(0, len(values), per_line)]  # fmt: skip
        return "\n".join([f"%FLAG {flag}", f"%FORMAT({per_line}{kind}{width})", *lines])

    psf = "\n".join(
        f"{k + 1:8d} PROA {table.number[k]:<4d} {table.residue_name[k]:<4} {table.name[k]:<4} X  0.0  12.0  0"
        for k in range(len(table))
    )
    texts = {
        "gro": gro_text(table),
        "cif": cif_text(table.frame(0)),
        "psf": f"PSF\n\n       1 !NTITLE\n REMARKS made\n\n{len(table):8d} !NATOM\n{psf}\n\n       0 !NBOND\n",
        "prmtop": "%VERSION  VERSION_STAMP = V0001.000\n"
        + "\n".join(
            [
                section("ATOM_NAME", "a", table.name.tolist(), 4, 20),
                section("RESIDUE_LABEL", "a", [names[n] for n in numbers], 4, 20),
                section("RESIDUE_POINTER", "I", starts, 8, 10),
            ]
        )
        + "\n",
    }
    return {suffix: (folder / f"x.{suffix}", text) for suffix, text in texts.items()}


@pytest.mark.parametrize("suffix", ["gro", "cif", "psf", "prmtop"])
def test_every_format_of_a_topology(tmp_path, suffix):
    path, text = topologies(MOLECULE, tmp_path)[suffix]
    path.write_text(text)
    write(tmp_path / "x.xtc", MOLECULE.positions)
    same_as(read_ensemble(tmp_path / "x.xtc", "x"), MOLECULE, atol=PRECISION)
    assert (read_topology(path).positions is None) == (suffix in ("psf", "prmtop"))


@pytest.mark.parametrize(("segment", "chain"), [("    ", ""), ("1   ", "1")])
def test_the_segment_of_a_psf_may_be_blank(tmp_path, segment, chain):
    path, text = topologies(MOLECULE, tmp_path)["psf"]
    path.write_text(text.replace("PROA", segment))
    write(tmp_path / "x.xtc", MOLECULE.positions)
    same_as(read_ensemble(tmp_path / "x.xtc", "x"), MOLECULE, atol=PRECISION)
    assert set(read_topology(path).atoms.chain.tolist()) == {chain}


@pytest.mark.parametrize("suffix", ["gro", "cif", "psf", "prmtop", "pdb"])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_topology_that_is_cut_is_refused(tmp_path, suffix, share):
    files = topologies(MOLECULE, tmp_path)
    path, text = files.get(suffix, (tmp_path / "x.pdb", ""))
    if suffix == "pdb":
        text = topology_file(MOLECULE, path).read_text()
    path.write_text(text[: int(share * len(text))])
    write(tmp_path / "x.xtc", MOLECULE.positions)
    with pytest.raises(InputError) as error:
        read_ensemble(tmp_path / "x.xtc", "x")
    assert "x." in str(error.value)


def test_waters_beyond_the_numbers_of_a_gro_file(tmp_path):
    """Residue numbers wrap at 99999, positions may have more decimals."""
    full = MOLECULE.joined(water(5, 12))
    lines = gro_text(full).splitlines()
    lines[-6:-1] = [f"{99999 - 4 + k if k < 4 else 0:5d}{line[5:]}" for k, line in enumerate(lines[-6:-1])]
    (tmp_path / "x.gro").write_text("\n".join(lines) + "\n")
    write(tmp_path / "x.xtc", full.positions)
    same_as(read_ensemble(tmp_path / "x.xtc", "x"), MOLECULE, atol=PRECISION)


@pytest.mark.parametrize(
    ("trajectory", "beside", "expected"),
    [
        ("x.xtc", ["x.top.pdb", "x.pdb", "topology.pdb"], "x.top.pdb"),
        ("x.xtc", ["x.pdb", "topology.pdb", "y.pdb"], "x.pdb"),
        ("X.dcd", ["x.GRO", "y.pdb"], "x.GRO"),
        ("samples.xtc", ["topology.pdb", "y.pdb"], "topology.pdb"),
        ("samples.xtc", ["top.cif", "y.pdb"], "top.cif"),
        ("frame0_md_traj.xtc", ["frame0_md_top.pdb", "frame1_md_top.pdb"], "frame0_md_top.pdb"),
        ("NAME_prod_R2_fit.xtc", ["NAME.pdb", "OTHER.pdb"], "NAME.pdb"),
        ("samples.nc", ["whatever.prmtop"], "whatever.prmtop"),
        ("x.xtc", ["x.cif.gz", "y.cif"], "x.cif.gz"),
    ],
)
def test_the_topology_beside_a_trajectory(tmp_path, trajectory, beside, expected):
    for name in beside:
        (tmp_path / name).write_text("")
    assert find_topology(tmp_path / trajectory).name == expected


@pytest.mark.parametrize("above", ["X.pdb", "topology.cif", "top.gro", "run.top.pdb", "run.psf"])
def test_the_folder_above_has_the_topology_of_several_runs(tmp_path, above, monkeypatch):
    for path in (tmp_path / "X" / above, tmp_path / "X" / "other.pdb", tmp_path / "X" / "run_1" / "run.xtc"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert find_topology(tmp_path / "X" / "run_1" / "run.xtc") == tmp_path / "X" / above
    monkeypatch.chdir(tmp_path / "X" / "run_1")
    assert find_topology(Path("run.xtc")).samefile(tmp_path / "X" / above)
    (tmp_path / "X" / "run_1" / "beside.gro").write_text("")
    assert find_topology(tmp_path / "X" / "run_1" / "run.xtc").name == "beside.gro"


def test_a_structure_above_that_has_another_name_is_no_topology(tmp_path):
    (tmp_path / "run_1").mkdir()
    (tmp_path / "other.pdb").write_text("")
    with pytest.raises(InputError) as error:
        find_topology(tmp_path / "run_1" / "run.xtc")
    assert error.value.code == "topology.missing"


@pytest.mark.parametrize(
    ("beside", "code"),
    [
        ([], "topology.missing"),
        ([".x.pdb", "notes.txt", "y.xtc"], "topology.missing"),
        (["x.pdb", "x.gro"], "topology.ambiguous"),
        (["topology.pdb", "top.pdb"], "topology.ambiguous"),
        (["y.pdb", "z.pdb"], "topology.ambiguous"),
    ],
)
def test_no_topology_or_two_are_refused(tmp_path, beside, code):
    for name in beside:
        (tmp_path / name).write_text("")
    with pytest.raises(InputError) as error:
        find_topology(tmp_path / "x.xtc")
    assert error.value.code == code
    assert "x.xtc" in str(error.value)
    if code == "topology.ambiguous":
        assert all(name in str(error.value) for name in beside)


@pytest.mark.parametrize("suffix", ["psf", "prmtop", "gro"])
def test_two_topologies_of_one_name_and_the_same_atoms_are_no_doubt(tmp_path, suffix):
    """CHARMM-GUI writes step3_input.psf and step3_input.pdb, AmberTools a prmtop beside the PDB file."""
    path, text = topologies(MOLECULE, tmp_path)[suffix]
    path.write_text(text)
    pdb = topology_file(MOLECULE, tmp_path / "x.pdb")
    assert find_topology(tmp_path / "x.xtc") == find_topology(tmp_path / "other.dcd") == pdb
    topology_file(MOLECULE.take(np.arange(len(MOLECULE))[::-1]), pdb)
    with pytest.raises(InputError, match=f"x.{suffix}"):
        find_topology(tmp_path / "x.xtc")


# Boxes


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("full", [True, False], ids=["with hydrogens", "heavy atoms"])
def test_a_molecule_that_the_box_cuts_is_made_whole(tmp_path, suffix, full):
    table = MOLECULE if full or suffix == "h5" else MOLECULE.take(MOLECULE.heavy)
    topology_file(table, tmp_path / "x.top.pdb")
    side = 40.0
    drift = np.linspace(0, 2 * side, 12)[:, None, None] * np.array([1.0, 0.5, -1.0])
    write(tmp_path / f"x.{suffix}", np.mod(table.positions + drift, side), side)
    same_as_moved(read_ensemble(tmp_path / f"x.{suffix}", "x"), table)


def test_a_box_with_slanted_sides(tmp_path):
    topology_file(MOLECULE, tmp_path / "x.top.pdb")
    box = np.array([[40.0, 0, 0], [13, 38, 0], [-13, 19, 33]])
    drift = np.linspace(0, 90, 12)[:, None, None] * np.array([1.0, 0.5, -1.0])
    inside = np.mod((MOLECULE.positions + drift) @ np.linalg.inv(box), 1) @ box
    write(tmp_path / "x.xtc", inside, box)
    same_as_moved(read_ensemble(tmp_path / "x.xtc", "x"), MOLECULE)


@pytest.mark.parametrize("off", [(-8.0, -8.0, -8.0), (11.0, -2.0, 11.0), (0.0, 0.0, 9.0)])
def test_a_dcd_whose_cell_is_charmm_s_symmetric_matrix(tmp_path, off):
    topology_file(MOLECULE, tmp_path / "x.top.pdb")
    xy, xz, yz = off
    box = np.array([[42.0, xy, xz], [xy, 42.0, yz], [xz, yz, 42.0]])
    drift = np.linspace(0, 90, 12)[:, None, None] * np.array([1.0, 0.5, -1.0])
    inside = np.mod((MOLECULE.positions + drift) @ np.linalg.inv(box), 1) @ box
    (tmp_path / "x.dcd").write_bytes(dcd(inside, [(42.0, xy, 42.0, xz, yz, 42.0)] * 12))
    same_as_moved(read_ensemble(tmp_path / "x.dcd", "x"), MOLECULE)


@pytest.mark.parametrize("side", [40.0, 36.0])
def test_a_chain_with_a_gap_that_the_box_cuts_is_made_whole(tmp_path, side):
    """The gap is wider than any bond reaches: the structure in the topology tells how wide."""
    long = molecule("GAIHWKSTVGAIHWKSTV", 12)
    table = long.take(np.flatnonzero((long.number < 5) | (long.number > 13)))
    topology_file(table, tmp_path / "x.top.pdb")
    drift = np.linspace(0, 2 * side, 12)[:, None, None] * np.array([1.0, 0.5, -1.0])
    write(tmp_path / "x.dcd", np.mod(table.positions + drift, side), side)
    same_as_moved(read_ensemble(tmp_path / "x.dcd", "x"), table)


def test_a_pdb_file_with_a_box(tmp_path):
    from molecule_files import pdb_text

    wrapped = Table(**{**vars(MOLECULE), "positions": np.mod(MOLECULE.positions + 19.0, 40.0)})
    (tmp_path / "x.pdb").write_text(
        pdb_text(wrapped, head="CRYST1   40.000   40.000   40.000  90.00  90.00  90.00 P 1\n")
    )
    same_as_moved(read_ensemble(tmp_path / "x.pdb", "x"), MOLECULE)


def centered(table):
    return table.positions - table.positions.mean((0, 1))


def same_as_moved(ensemble, table):
    """The table's heavy atoms, every frame moved as a whole."""
    from scipy.spatial.distance import pdist

    heavy = table.positions[:, table.heavy]
    assert ensemble.positions.shape == heavy.shape
    for one, other in zip(ensemble.positions, heavy, strict=True):
        np.testing.assert_allclose(pdist(one), pdist(other), atol=0.03)


def test_a_whole_molecule_in_a_box_keeps_its_bits(folder):
    plain = read_ensemble(write(folder / "x.xtc", MOLECULE.positions), "x").positions
    boxed = read_ensemble(write(folder / "x.xtc", MOLECULE.positions, 30.0), "x").positions
    np.testing.assert_array_equal(plain, boxed)


@pytest.mark.parametrize("box", [3.0, 5.0, np.array([[30.0, 0, 0], [0, 4.9, 0], [0, 0, 23.0]])], ids=str)
@pytest.mark.parametrize("suffix", ["xtc", "dcd", "pdb"])
def test_a_whole_molecule_in_the_cell_of_a_crystal_or_in_another_unit_stays_whole(folder, box, suffix):
    """In a cell narrower than two bonds, the nearest image of a neighbour is another molecule's."""
    from molecule_files import pdb_text

    if suffix == "pdb":
        sides = np.diag(np.broadcast_to(box, (3, 3)) if np.ndim(box) else np.eye(3) * box)
        head = f"CRYST1{sides[0]:9.3f}{sides[1]:9.3f}{sides[2]:9.3f}  90.00  90.00  90.00 P 1\n"
        (folder / "x.pdb").write_text(pdb_text(MOLECULE, head=head))
    else:
        write(folder / f"x.{suffix}", MOLECULE.positions, box)
    same_as_moved(read_ensemble(folder / f"x.{suffix}", "x"), MOLECULE)


def test_a_cut_molecule_without_a_box_is_refused(folder):
    write(folder / "x.xtc", np.mod(centered(MOLECULE), 40.0))
    refused("trajectory.cut", folder / "x.xtc", "periodic boundary")


def test_a_molecule_that_is_cut_in_few_frames_is_refused_when_it_is_scored(folder):
    from proteins import build, reference

    from ebabench.scoring.pair import make_pair

    positions = np.where(np.arange(12)[:, None, None] == 5, np.mod(centered(MOLECULE), 40.0), MOLECULE.positions)
    write(folder / "x.xtc", positions)
    with pytest.raises(InputError, match=r"frame 6.*periodic boundary"):
        make_pair(read_ensemble(folder / "x.xtc", "x"), reference(build("GAIHWKSTV")))


# Damage


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_trajectory_cut_anywhere_is_refused_or_ends_with_a_whole_frame(folder, suffix):
    path = write(folder / f"x.{suffix}", MOLECULE.positions)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for kept in rng.integers(0, len(whole), 25).tolist():
        path.write_bytes(whole[:kept])
        try:
            found = read_frames(path).positions
            assert len(found) <= 12
            np.testing.assert_allclose(found[:], MOLECULE.positions[: len(found)], atol=PRECISION)
        except InputError as error:
            assert f"x.{suffix}" in str(error)  # noqa: PT017


@pytest.mark.parametrize("suffix", ["dcd", "trr", "nc"])
def test_rubbish_is_refused(folder, suffix):
    (folder / f"x.{suffix}").write_bytes(b"\x00\x01rubbish" * 100)
    refused("trajectory.broken", folder / f"x.{suffix}", f"x.{suffix}")


def test_a_restart_file_is_no_trajectory(folder):
    from scipy.io import netcdf_file

    with netcdf_file(folder / "x.nc", "w") as file:
        file.createDimension("atom", len(MOLECULE))
        file.createDimension("spatial", 3)
        file.createVariable("coordinates", "d", ("atom", "spatial"))[:] = MOLECULE.positions[0]
    refused("trajectory.broken", folder / "x.nc", "restart")
