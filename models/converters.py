"""Convert the output of models to ensembles: one converter per format.

A converter gets the output folder and a target, and returns the target's ensemble. It raises an InputError that names
the file and what is wrong with it. ``ebabench.models.frames`` converts backbone frames and torsions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.io.layouts import find_sources, read_source
from ebabench.io.structure_files import read_topology
from ebabench.structures import Ensemble, Target
from ebabench.structures.arrays import Positions


def files(folder: Path, target: Target) -> Ensemble:
    """Return the conformations of a target in any layout that ``ebabench.io.layouts`` recognises.

    Args:
        folder: The output folder.
        target: The target; files are known by its name, else by its sequence.

    Raises:
        InputError: The folder holds nothing of the target (``output.missing``), or it cannot be read.
    """
    found = find_sources(folder, {target.name: target.sequence})
    if target.name not in found.sources:
        others = ", ".join(one.names[0] for one in found.strangers[:5])
        raise InputError(
            f"{folder}: nothing of {target.name} in it, but of {others}", code="output.missing", target=target.name
        )
    return read_source(found.sources[target.name], target.name)


samples = trajectory = files
"""Names that cards use for what one function reads: one file per conformation, and a trajectory with its topology."""


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
