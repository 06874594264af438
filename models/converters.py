"""What models leave in their own formats, as ensembles: one converter a format, not one a model.

Each is called with the folder that holds the output and a target, and reads that target's part of it; all raise
InputError that names the file and what is wrong with it. Frames and torsions are in ``ebabench.models.frames``.
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
    """``TARGET.pdb`` with many models, ``TARGET.xtc`` with its topology, or PDB or mmCIF files under ``TARGET/``.

    Names of chains may lack their underscore (``6o2vA`` for ``6o2v_A``), and of files begin with ``samples_``.
    """
    found = find_ensembles(folder)
    for name in (target.name, target.name.replace("_", ""), f"samples_{target.name}"):
        if name in found:
            return read_ensemble(found[name], target.name)
    raise InputError(f"{folder}: nothing of {target.name} in it, but of {', '.join(list(found)[:5])}")


def samples(folder: Path, target: Target) -> Ensemble:
    """One PDB or mmCIF file a conformation, all targets in one folder.

    ``TARGET_3.pdb``, ``TARGET.3.pdb`` and ColabFold's ``TARGET_unrelaxed_rank_003_....pdb``; relaxed copies and
    files of how a sample came about (``TARGET.3.anim.pdb``) are left out.
    """
    name = re.compile(rf"{re.escape(target.name)}[._](?:(\d+)|unrelaxed_rank_(\d+)_[\w.-]+)\.(?:pdb|cif)(?:\.gz)?")
    numbers = {path: match for path in folder.glob("*") if (match := name.fullmatch(path.name))}
    if not numbers:
        raise InputError(f"{folder}: no conformations of {target.name} ({target.name}_1.pdb, {target.name}.1.pdb)")
    ordered = sorted(numbers, key=lambda path: int(numbers[path][1] or numbers[path][2]))
    read = [read_ensemble(path, target.name) for path in ordered]
    for path, one in zip(ordered, read, strict=True):
        if one.atoms.digest() != read[0].atoms.digest():
            raise InputError(f"{path}: other atoms than {ordered[0].name} ({len(one.atoms)}, {len(read[0].atoms)})")
    return Ensemble(target.name, read[0].atoms, np.concatenate([one.positions for one in read]))


def trajectory(folder: Path, target: Target) -> Ensemble:
    """``TARGET.xtc`` whose topology is ``TARGET.pdb``; or that PDB file alone, with many models."""
    path = folder / f"{target.name}.xtc"
    if not path.exists():
        return read_ensemble(path.with_suffix(".pdb"), target.name)
    atoms, heavy, total, _ = read_topology(path.with_suffix(".pdb"))
    return Ensemble(target.name, atoms, np.concatenate([block[:, heavy] for block in read_xtc(path, total)]))


def array(folder: Path, target: Target) -> Ensemble:
    """``TARGET.npy``, nanometres, [S, A, 3] or flat [S, 3A]; ``TARGET.pdb`` has its A atoms, hydrogens included."""
    atoms, heavy, total, _ = read_topology(folder / f"{target.name}.pdb")
    path = folder / f"{target.name}.npy"
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as npy ({error})") from error
    if values.ndim not in (2, 3) or values[:1].size != 3 * total or not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"{path}: {values.dtype} of shape {values.shape} is not positions of {total} atoms")
    positions: Positions = values.reshape(-1, total, 3)[:, heavy].astype(np.float32) * np.float32(10)
    return Ensemble(target.name, atoms, positions)
