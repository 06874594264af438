"""Ensembles in npz files: what ``write_ensemble`` leaves, and the same arrays by anyone else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.chains import to_ensemble
from ebabench.io.frames import Frames, Rows, assemble
from ebabench.structures import Ensemble
from ebabench.structures.arrays import told_if_coarse
from ebabench.system.files import open_regular, replace_file

_REQUIRED = ("positions", "name", "residue_name", "residue")
_Arrays = dict[str, npt.NDArray[Any]]


def read_npz(path: Path) -> Frames:
    """Return the frames in an npz file.

    The file has ``positions`` [F, N, 3] in angstrom, and ``name``, ``residue_name`` and ``residue`` (an integer, one
    and the same for all atoms of a residue) [N]. ``weights`` [F] and ``chain`` [N] may be there, too.

    Raises:
        InputError: ``npz.broken``; ``npz.keys``, arrays are missing; ``npz.shape``; ``npz.held-out``, the file would
            choose the replicas that it is scored against.
    """
    arrays = read_arrays(path)
    if arrays.get("held_out", np.empty(0)).size:
        raise InputError(
            f"{path}: its array held_out would choose the replicas that the ensemble is scored against; take it out",
            code="npz.held-out",
            file=str(path),
        )
    return _frames(arrays, path)


def read_arrays(path: Path) -> _Arrays:
    """Return all arrays in an npz file. Nothing in it is executed.

    Raises:
        InputError: ``npz.broken``, the file is cut, damaged or of another format.
    """
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="file.missing", file=str(path)) from error
    except Exception as error:  # zipfile and numpy raise what they like on damaged files
        why = f"cut, damaged or of another format ({error or type(error).__name__})"
        if "Object arrays" in str(error):
            why = "an array holds Python objects, which are not loaded; write names as text, np.array(names, dtype=str)"
        raise InputError(
            f"{path}: cannot be read as npz: {why}",
            code="npz.broken",
            file=str(path),
        ) from error


def load_ensemble(path: Path | str, target: str) -> Ensemble:
    """Return the ensemble that ``write_ensemble`` left, with what a run keeps beside the conformations.

    Only files of ebabench's own run folders are read with this function. It believes the file which replicas of the
    reference it must not be scored against.

    Raises:
        InputError: what ``read_npz`` raises, or the file is no ensemble of one protein chain.
    """
    path = Path(path)
    arrays = read_arrays(path)
    ensemble = to_ensemble(_frames(arrays, path), target)
    held_out = tuple(int(number) for number in arrays.get("held_out", ()))
    batch_size = int(arrays["batch_size"]) if "batch_size" in arrays else None
    return replace(ensemble, held_out=held_out, batch_size=batch_size)


def write_ensemble(ensemble: Ensemble, path: Path | str) -> None:
    """Write an npz file that ``load_ensemble`` gives back unchanged; the same ensemble gives the same bytes."""
    path = Path(path)
    arrays: _Arrays = {
        "positions": ensemble.positions.astype(np.float32),
        "name": ensemble.atoms.name,
        "residue_name": ensemble.atoms.residue_name,
        "residue": ensemble.atoms.residue,
        "held_out": np.array(ensemble.held_out, np.int64),
        "random_weights": np.array(ensemble.random_weights),
    }
    if ensemble.weights is not None:
        arrays["weights"] = ensemble.weights
    if ensemble.batch_size is not None:
        arrays["batch_size"] = np.array(ensemble.batch_size)
    replace_file(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def _frames(arrays: _Arrays, path: Path) -> Frames:
    if missing := sorted(set(_REQUIRED) - arrays.keys()):
        raise InputError(
            f"{path}: lacks {', '.join(missing)}; an ensemble in npz has positions [F, N, 3] in angstrom, and name, "
            "residue_name and residue [N]",
            code="npz.keys",
            file=str(path),
        )
    if spelt := [key for key in arrays if key.lower() in ("weight", "weights") and key != "weights"]:
        raise InputError(
            f"{path}: its array {spelt[0]} is not read; statistical weights are the array weights: rename it, or leave "
            "it out",
            code="npz.keys",
            file=str(path),
        )
    positions, residue = arrays["positions"], arrays["residue"]
    size, frames = residue.size, len(positions) if positions.ndim else 0
    wrong = ""
    if positions.ndim != 3 or positions.shape[1:] != (size, 3) or not size:
        wrong = f"positions have shape {list(positions.shape)}, the table of atoms {size} rows"
    elif not frames:
        wrong = "no conformations"
    elif not np.issubdtype(positions.dtype, np.floating) or not np.issubdtype(residue.dtype, np.integer):
        wrong = f"positions are {positions.dtype} and residue is {residue.dtype}, not floating-point and integer"
    for key, length in (
        ("name", size),
        ("residue_name", size),
        ("residue", size),
        ("chain", size),
        ("weights", frames),
    ):
        if not wrong and key in arrays and arrays[key].shape != (length,):
            wrong = f"{key} has shape {list(arrays[key].shape)}, expected [{length}]"
    wrong = wrong or told_if_coarse(positions)
    if wrong:
        raise InputError(f"{path}: {wrong}", code="npz.shape", file=str(path))
    blank, zero = np.full(size, ""), np.zeros(size, np.int64)
    text = {key: np.char.strip(arrays[key].astype(np.str_)) for key in ("name", "residue_name")}
    chain = arrays["chain"].astype(np.str_) if "chain" in arrays else blank
    number = (residue + 1).astype(np.str_)
    rows = Rows(text["name"], text["residue_name"], chain, number, blank, blank, zero > 0, zero)
    atoms, kept = assemble(rows)
    random_weights = bool(np.any(arrays.get("random_weights", False)))
    read = Frames(str(path), atoms, positions[:, kept].astype(np.float32), random_weights=random_weights)
    return replace(read, weights=arrays.get("weights"))
