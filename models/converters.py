"""Convert the output of models to ensembles: one converter per format.

A converter gets the output folder and a target, and returns the target's ensemble. It raises an InputError that names
the file and what is wrong with it. ``ebabench.models.frames`` converts backbone frames and torsions.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.io.structure_files import find_ensembles, read_ensemble, read_topology
from ebabench.io.xtc import read_xtc
from ebabench.structures import Ensemble, Target
from ebabench.structures.arrays import Positions


def files(folder: Path, target: Target) -> Ensemble:
    """Return the ensemble in ``TARGET.pdb`` (many models), ``TARGET.xtc`` with its topology, or a folder ``TARGET/``.

    The name of a chain may lack its underscore (``6o2vA`` for ``6o2v_A``). The name of a file may begin with
    ``samples_``.

    Args:
        folder: The output of the model.
        target: The target.

    Raises:
        InputError: There is no file of the target (``output.missing``), or a file cannot be read.
    """
    found = find_ensembles(folder)
    for name in (target.name, target.name.replace("_", ""), f"samples_{target.name}"):
        if name in found:
            return read_ensemble(found[name], target.name)
    raise InputError(
        f"{folder}: nothing of {target.name} in it, but of {', '.join(list(found)[:5])}",
        code="output.missing",
        target=target.name,
    )


def samples(folder: Path, target: Target) -> Ensemble:
    """Return the ensemble in one PDB or mmCIF file per conformation, with all targets in one folder.

    The files are ``TARGET_3.pdb``, ``TARGET.3.pdb`` or ColabFold's ``TARGET_unrelaxed_rank_003_....pdb``. Relaxed
    copies and animations (``TARGET.3.anim.pdb``) are ignored.

    Args:
        folder: The output of the model.
        target: The target.

    Raises:
        InputError: There is no file of the target (``output.missing``), files have different atoms
            (``output.atoms``), or a file cannot be read.
    """
    name = re.compile(rf"{re.escape(target.name)}[._](?:(\d+)|unrelaxed_rank_(\d+)_[\w.-]+)\.(?:pdb|cif)(?:\.gz)?")
    numbers = {path: match for path in folder.glob("*") if (match := name.fullmatch(path.name))}
    if not numbers:
        raise InputError(
            f"{folder}: no conformations of {target.name} ({target.name}_1.pdb, {target.name}.1.pdb)",
            code="output.missing",
            target=target.name,
        )
    ordered = sorted(numbers, key=lambda path: int(numbers[path][1] or numbers[path][2]))
    read = [read_ensemble(path, target.name) for path in ordered]
    for path, one in zip(ordered, read, strict=True):
        if one.atoms.digest() != read[0].atoms.digest():
            raise InputError(
                f"{path}: other atoms than {ordered[0].name} ({len(one.atoms)}, {len(read[0].atoms)})",
                code="output.atoms",
                file=path,
            )
    return Ensemble(target.name, read[0].atoms, np.concatenate([one.positions for one in read]))


def trajectory(folder: Path, target: Target) -> Ensemble:
    """Return the ensemble in ``TARGET.xtc`` with the topology ``TARGET.pdb``, or in that PDB file alone.

    Args:
        folder: The output of the model.
        target: The target.

    Raises:
        InputError: A file is missing or cannot be read.
    """
    path = folder / f"{target.name}.xtc"
    if not path.exists():
        return read_ensemble(path.with_suffix(".pdb"), target.name)
    atoms, heavy, total, _ = read_topology(path.with_suffix(".pdb"))
    return Ensemble(target.name, atoms, np.concatenate([block[:, heavy] for block in read_xtc(path, total)]))


def array(folder: Path, target: Target) -> Ensemble:
    """Return the ensemble in ``TARGET.npy``: nanometres, [S, A, 3] or [S, 3A].

    Args:
        folder: The output of the model. ``TARGET.pdb`` in it has the A atoms, with hydrogens.
        target: The target.

    Raises:
        InputError: The file cannot be read (``output.unreadable``) or has another shape (``output.shape``).
    """
    atoms, heavy, total, _ = read_topology(folder / f"{target.name}.pdb")
    path = folder / f"{target.name}.npy"
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as npy ({error})", code="output.unreadable", file=path) from error
    if values.ndim not in (2, 3) or values[:1].size != 3 * total or not np.issubdtype(values.dtype, np.floating):
        raise InputError(
            f"{path}: {values.dtype} of shape {values.shape} is not positions of {total} atoms",
            code="output.shape",
            file=path,
        )
    positions: Positions = values.reshape(-1, total, 3)[:, heavy].astype(np.float32) * np.float32(10)
    return Ensemble(target.name, atoms, positions)
