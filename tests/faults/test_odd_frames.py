"""Frames that no molecule has, and files that change while they are read: refused by file and frame, or no energy."""

from __future__ import annotations

import struct
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from harness import Tally
from proteins import STRAND, build, wobble

import ebabench
from ebabench.datasets.references import read_reference
from ebabench.errors import InputError
from ebabench.io.structure_files import read_ensemble, read_frames, write_pdb
from ebabench.physics.files import energy_table
from ebabench.structures import Ensemble
from ebabench.training.data import load

SMALL, TARGET = build("GG"), build("GASVK", STRAND)  # an XTC of nine atoms or fewer holds plain numbers
BAD = {"NaN": np.nan, "infinite": np.inf, "1e30 angstrom": 1e30, "10 micrometres": 1e5}
SUITE = """
id = "odd-v1"
title = "Odd"
split = "train"
family = "peptides"
tier = "folder"
protocol = "corrected"
energy = "amber99sbildn-obc"
samples = 4
seed = 1
[[targets]]
name = "x"
sequence = "GG"
"""


def write_xtc(path: Path, frames: np.ndarray, cell: float | None = None) -> None:
    box = None if cell is None else np.repeat(np.eye(3, dtype=np.float32)[None] * cell / 10, len(frames), 0)
    with mdtraj.formats.XTCTrajectoryFile(str(path), "w") as file:
        file.write(frames / 10, box=box)


def write_reference(folder: Path, value: float) -> None:
    """Three replicas, in frame 8 of the second of which one coordinate is ``value``."""
    (folder / "x").mkdir(parents=True)
    write_pdb(Ensemble("x", SMALL.atoms, SMALL.native[None]), folder / "x" / "x.pdb")
    for number in (1, 2, 3):
        frames = wobble(SMALL, 12, number, 0.3, 0.05)
        if number == 2:
            frames[7, 3, 1] = value
        write_xtc(folder / "x" / f"x_prod_R{number}_fit.xtc", frames)


def refused(act, *named: str) -> str:
    """What is wrong with how ``act`` ends, which must refuse and name some things."""
    try:
        act()
    except InputError as error:
        missing = [one for one in named if one not in str(error)]
        return f"names no {', '.join(missing)}: {error}" if missing else ""
    return "not refused"


@pytest.mark.parametrize("kind", BAD)
def test_a_frame_of_no_molecule(kind: str, tmp_path: Path, tally: Tally) -> None:
    """In references, in training data, and in files whose energies are asked for."""
    value = BAD[kind]
    write_reference(tmp_path / "md", value)
    (tmp_path / "odd-v1.toml").write_text(SUITE)
    model = Ensemble("x", SMALL.atoms, wobble(SMALL, 12, 9, 0.3, 0.05))
    frames = np.repeat(TARGET.native[None], 3, 0)
    frames[1, 3, 1] = value
    write_pdb(Ensemble("x", TARGET.atoms, TARGET.native[None]), tmp_path / "y.pdb")
    with mdtraj.formats.DCDTrajectoryFile(str(tmp_path / "y.dcd"), "w") as file:
        file.write(frames)

    def score() -> object:
        return ebabench.score(model, read_reference(tmp_path / "md", "x", "folder"), metrics=["rmsf_r"])

    def train() -> object:
        return load([str(tmp_path / "odd-v1.toml")], tmp_path / "md", 1)[0].read()

    with tally.case(f"a coordinate in one frame: {kind}") as case:
        case.note("score, a reference", refused(score, "x_prod_R2_fit.xtc", "frame 8"))
        case.note("align --data", refused(train, "x_prod_R2_fit.xtc", "frame 8"))
        table = energy_table([tmp_path / "y.dcd"], "amber99sbildn-obc")
        energies = table["energy_kj_per_mol"].tolist()
        told = table["reason"].tolist()[1] != "" or energies[1] > 1e9  # as given, bonds are that long
        case.note("energy", "" if told and np.isfinite(energies[::2]).all() else f"energies of {energies}")


@pytest.mark.parametrize("precision", [0.0, -1000.0, np.nan, np.inf, 1e30, 1e-30, 1.0, 1e9])
def test_an_absurd_precision_in_a_header(precision: float, tmp_path: Path, tally: Tally) -> None:
    """Coordinates of XTC are integers over the precision, which each frame tells."""
    frames = wobble(TARGET, 6, 1, 0.3, 0.03)
    (tmp_path / "md" / "x").mkdir(parents=True)
    for number in (1, 2):
        write_xtc(tmp_path / "md" / "x" / f"x_prod_R{number}_fit.xtc", wobble(TARGET, 6, number, 0.3, 0.03))
    for folder in (tmp_path, tmp_path / "md" / "x"):
        write_pdb(Ensemble("x", TARGET.atoms, TARGET.native[None]), folder / "x.pdb")
    write_xtc(tmp_path / "x.xtc", frames)
    for path in (tmp_path / "x.xtc", tmp_path / "md" / "x" / "x_prod_R2_fit.xtc"):
        data = bytearray(path.read_bytes())
        at = data.index(struct.pack(">f", 1000.0), 100)  # of the second frame
        data[at : at + 4] = struct.pack(">f", precision)
        path.write_bytes(data)
    model = Ensemble("x", TARGET.atoms, frames)
    acts = {
        "an ensemble": lambda: read_ensemble(tmp_path / "x.xtc", "x"),
        "a reference": lambda: ebabench.score(
            model, read_reference(tmp_path / "md", "x", "folder"), metrics=["rmsf_r"]
        ),
        "energies": lambda: energy_table([tmp_path / "x.xtc"], "amber99sbildn-obc"),
    }
    with tally.case("an absurd precision in the header of an XTC frame") as case:
        for what, act in acts.items():
            case.note(f"{precision} {what}", refused(act, ".xtc", "damaged in frame 2"))


@pytest.mark.parametrize("cell", [5.0, 12.0, 15.9])
def test_a_molecule_that_a_narrow_cell_cuts(cell: float, tmp_path: Path) -> None:
    """In less than 16 angstrom the nearest image may be another residue's: nothing is put together."""
    frames = np.repeat(TARGET.native[None], 3, 0) % cell
    write_xtc(tmp_path / "x.xtc", frames, cell)
    write_pdb(Ensemble("x", TARGET.atoms, TARGET.native[None]), tmp_path / "x.pdb")
    with pytest.raises(InputError) as caught:
        read_ensemble(tmp_path / "x.xtc", "x")
    assert "x.xtc" in str(caught.value)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "x.xtc"
    write_pdb(Ensemble("x", TARGET.atoms, TARGET.native[None]), tmp_path / "x.pdb")
    frames = wobble(TARGET, 8, 1, 0.3, 0.03)
    write_xtc(path, frames)
    whole = path.read_bytes()
    with tally.case("a file that changes while it is read") as case:
        opened = read_frames(path)
        with path.open("ab") as file:
            file.write(whole[: len(whole) // 3])
        read = np.asarray(opened.positions[:])
        same = len(opened) == len(frames) and np.allclose(read, frames, atol=0.01)
        case.note("it grows", "" if same else f"{len(read)} frames")
        case.note("it has grown by a part of a frame", refused(lambda: read_ensemble(path, "x"), "x.xtc", "frame"))
        path.write_bytes(whole)
        opened = read_frames(path)
        path.write_bytes(whole[: len(whole) // 2])
        case.note("it shrinks", refused(lambda: np.asarray(opened.positions[:]), "x.xtc", "frame"))
