"""The kinds of files that are damaged, each as small as it can be, and what may become of a damaged one."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from damage import Format
from molecule_files import Table, cif_text, molecule, pdb_text, topology_file
from synthetic_runs import TOY, make_run, suite

from ebabench.io.structure_files import load_ensemble, read_ensemble, write_ensemble
from ebabench.structures.validation import validate

FRAMES = 4


@cache
def table() -> Table:
    return molecule("GAKS", FRAMES, hydrogens=False)


def _ensemble(path: Path) -> dict[str, Any]:
    found = read_ensemble(path, "x")
    positions = np.asarray(found.positions[:])
    validate("x", found.atoms, np.arange(found.atoms.residue[-1] + 1), positions)  # as before it is scored
    return {"positions": positions, "names": found.atoms.name.tolist(), "weights": found.weights}


def _of_a_run(path: Path) -> dict[str, Any]:
    found = load_ensemble(path, "damaged")
    return {"positions": np.asarray(found.positions), "names": found.atoms.name.tolist(), "held": found.held_out}


def unchanged(expected: Any, found: Any, cut: bool) -> str:
    """For formats with a digest."""
    return "" if expected is found else "read with a change, though the format has a digest"


def plausible(expected: Any, found: Any, cut: bool) -> str:
    """For files that people write: another value is another value."""
    return ""


def one_frame(expected: dict[str, Any], found: dict[str, Any], cut: bool) -> str:
    """For coordinates: finite, in at most one frame others than they were; of a cut file, whole frames are missing."""
    old, new = expected["positions"], found["positions"]
    if not np.isfinite(new).all():
        return "coordinates that are not finite"
    if expected["names"] != found["names"]:
        return f"other atoms: {len(found['names'])} in place of {len(expected['names'])}"
    if cut:
        return "" if len(new) < len(old) and np.array_equal(new, old[: len(new)]) else "a cut frame was read"
    if len(new) != len(old):
        return f"{len(new)} frames in place of {len(old)}"
    changed = (new != old).any(axis=(1, 2)).sum()
    return "" if changed <= 1 else f"{changed} frames differ"


def no_end(expected: dict[str, Any], found: dict[str, Any], cut: bool) -> str:
    """For mmCIF, which marks no end: cut between two lines of the first model, it is a molecule of fewer atoms."""
    size = len(found["names"])
    if cut and len(found["positions"]) == 1 and found["names"] == expected["names"][:size]:
        return "" if np.array_equal(found["positions"], expected["positions"][:1, :size]) else "other coordinates"
    return one_frame(expected, found, cut)


def _written(name: str, text: Callable[[], bytes]) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / name).write_bytes(text())

    return prepare


def _trajectory(name: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        from mdtraj import formats

        topology_file(table(), folder / f"{Path(name).stem}.top.pdb")
        positions, path = np.asarray(table().positions, np.float32), str(folder / name)
        if name.endswith("dcd"):
            with formats.DCDTrajectoryFile(path, "w") as file:
                file.write(positions)
        else:
            opened = formats.XTCTrajectoryFile if name.endswith("xtc") else formats.TRRTrajectoryFile
            with opened(path, "w") as file:
                file.write(positions / 10)

    return prepare


def _npz(folder: Path) -> None:
    (folder / "x.pdb").write_text(pdb_text(table()))
    write_ensemble(read_ensemble(folder / "x.pdb", "damaged"), folder / "x.npz")
    (folder / "x.pdb").unlink()


def _weights(folder: Path) -> None:
    from ebabench.models.eba.denoiser import InternalDenoiser
    from ebabench.system.registry import folder as installed

    shipped = installed("ebabench.models.eba") / "checkpoints" / "sft-v1" / "model.safetensors"
    model = InternalDenoiser.fresh(0, {"width": 8, "depth": 1, "heads": 1, "pair": 4})
    model.geometry = InternalDenoiser.load(shipped).geometry
    model.save(folder / "x.safetensors", {})


def _read_weights(path: Path) -> dict[str, Any]:
    from ebabench.models.eba.denoiser import InternalDenoiser

    model = InternalDenoiser.load(path)
    return {name: tensor.numpy() for name, tensor in model.network.state_dict().items()}


def finite(expected: dict[str, Any], found: dict[str, Any], cut: bool) -> str:
    """For weights: finite, of the same shapes, one other at most."""
    if expected.keys() != found.keys() or any(expected[name].shape != found[name].shape for name in expected):
        return "other tensors"
    if not all(np.isfinite(array).all() for array in found.values()):
        return "weights that are not finite"
    changed = sum(int((expected[name] != found[name]).sum()) for name in expected)
    return "" if changed <= 1 else f"{changed} weights differ"


def _card(path: Path) -> Any:
    from ebabench.generators.cards import load_card

    return repr(load_card(str(path)))


def _suite(path: Path) -> Any:
    from ebabench.datasets.suites import load_suite

    return repr(load_suite(str(path)))


def _run(folder: Path) -> None:
    make_run(folder / "run")


def _records(path: Path) -> list[str]:
    from ebabench.results.runs import Run

    return [record.to_json() for record in Run.read(path.parents[1]).records()]


def _figures(lines: Any) -> list[dict[str, str]]:
    """The figures of official rows."""
    names = [name for spec in TOY.specs for name in (spec.key, f"{spec.key}_low", f"{spec.key}_high")]
    official = [line for line in lines if line["status"] == "official"]
    return [{name: line[name] for name in names if line.get(name)} for line in official]


def _manifest(path: Path) -> list[dict[str, str]]:
    from ebabench.results.leaderboard import board_of
    from ebabench.results.runs import Run

    return _figures(board_of(suite(), [Run.read(path.parent)], TOY.specs).lines)


def _board(folder: Path) -> None:
    from ebabench.results.leaderboard import rebuild

    rebuild(suite(), [make_run(folder / "run")], TOY.specs, folder)


def _lines(path: Path) -> list[dict[str, str]]:
    from ebabench.results.board import read_board

    return _figures(read_board(path, suite(), TOY.specs).lines)


def no_new_rows(expected: list[Any], found: list[Any], cut: bool) -> str:
    """For boards: every official row has the figures that it had."""
    return "" if all(line in expected for line in found) else "an official row with other figures"


CARD = """
name = "x"
title = "X"
family = "test"
paper = "none"
licence = "MIT"
entry = "ebabench.models.static:build"
[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"
[[checkpoints]]
name = "main"
url = "https://example.org/w.bin"
sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
size = 12
[sampling]
amplitude = 0.1
"""


def formats(suite_text: str) -> dict[str, Format]:
    """All kinds, by name."""
    return {
        "PDB": Format("x.pdb", _written("x.pdb", lambda: pdb_text(table()).encode()), _ensemble, one_frame),
        "PDB, gzipped": Format(
            "x.pdb.gz", _written("x.pdb.gz", lambda: gzip.compress(pdb_text(table()).encode())), _ensemble, unchanged
        ),
        "mmCIF": Format("x.cif", _written("x.cif", lambda: cif_text(table()).encode()), _ensemble, no_end),
        "XTC": Format("x.xtc", _trajectory("x.xtc"), _ensemble, one_frame),
        "DCD": Format("x.dcd", _trajectory("x.dcd"), _ensemble, one_frame),
        "TRR": Format("x.trr", _trajectory("x.trr"), _ensemble, one_frame),
        "npz of anyone": Format("x.npz", _npz, _ensemble, unchanged),
        "npz of a run": Format("x.npz", _npz, _of_a_run, unchanged),
        "safetensors": Format("x.safetensors", _weights, _read_weights, finite),
        "card": Format("x.toml", _written("x.toml", CARD.encode), _card, plausible),
        "suite": Format("tiny-v1.toml", _written("tiny-v1.toml", suite_text.encode), _suite, plausible),
        "record": Format("run/records/one.json", _run, _records, unchanged),
        "manifest": Format("run/manifest.json", _run, _manifest, no_new_rows),
        "leaderboard": Format("toy-v1.csv", _board, _lines, no_new_rows),
    }
