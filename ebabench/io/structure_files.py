"""Reading and writing ensembles and structures, whatever the format of the file.

What is read is the heavy atoms of one protein chain under PDB version 3 names, in angstrom. Residue numbers of a file
only tell one residue from the next. Waters, ions, ligands and caps are left out.
Every reader raises InputError that names the file and what is wrong with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.chains import chain_rows, heavy_atoms, select_chain, to_ensemble
from ebabench.io.content import suffix_of
from ebabench.io.frames import Frames
from ebabench.io.models import join_models
from ebabench.io.npz import load_ensemble, read_npz, write_ensemble
from ebabench.io.structures import is_structure, parse_models, read_structures
from ebabench.io.topologies import read_topology as _topology
from ebabench.io.trajectories import TRAJECTORY_SUFFIXES, is_trajectory, read_trajectory
from ebabench.io.weights import read_weights
from ebabench.structures import Atoms, Ensemble
from ebabench.structures.arrays import Positions

__all__ = [
    "load_ensemble", "read_ensemble", "read_frames", "read_structure", "read_topology",
    "write_ensemble", "write_pdb",
]  # fmt: skip


def read_frames(path: Path | str) -> Frames:
    """Return all frames of one file with all of its atoms: a structure file, a trajectory, or an npz file.

    A trajectory needs its topology beside it (``find_topology``). Tables of weights beside the file are not read.

    Raises:
        InputError: the file is missing, damaged, or of a format that is not read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file", code="file.missing", file=str(path))
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the files in it", code="file.folder", file=str(path))
    if not path.is_file():  # reading a pipe waits for ever
        raise InputError(f"{path}: not a regular file", code="file.broken", file=str(path))
    if suffix_of(path) == ".npz":
        return read_npz(path)
    if is_trajectory(path):
        return read_trajectory(path)
    if is_structure(path):
        return read_structures(path)
    raise InputError(
        f"{path}: not a format that is read: PDB, mmCIF or BinaryCIF (.pdb, .ent, .cif, .bcif, each also .gz), npz, "
        f"or a trajectory with its topology ({', '.join(TRAJECTORY_SUFFIXES)})",
        code="file.format",
        file=str(path),
    )


def read_structure(path: Path | str) -> tuple[Atoms, Positions]:
    """The first model of a PDB or mmCIF file, plain or gzipped.

    Returns:
        The heavy atoms, and their positions [N, 3] in angstrom.
    """
    first = parse_models(Path(path))[:1]
    frames, atoms = heavy_atoms(select_chain(join_models(first, str(path))))
    return atoms, np.asarray(frames.positions[:1])[0]


def read_ensemble(
    path: Path | str, target: str, *, chain: str | None = None, modified_as_parent: bool = False
) -> Ensemble:
    """Return all conformations of one target: the heavy atoms of one protein chain.

    Args:
        path: a file that ``read_frames`` reads; statistical weights may lie beside it, in ``NAME.weights.csv``. Folders
            are read by ``ebabench.io.layouts``.
        target: the target's name.
        chain: the identifier of the chain that is meant; None for the only one.
        modified_as_parent: take a modified residue for the amino acid that it derives from.

    Raises:
        InputError: the file is missing, damaged or of another format; there is no protein chain in it, or several and
            none is named; a model lacks atoms that another has; a trajectory is of other atoms than its topology.
    """
    frames = read_weights(read_frames(path), Path(path))
    return to_ensemble(frames, target, chain=chain, modified_as_parent=modified_as_parent)


def read_topology(path: Path | str) -> tuple[Atoms, npt.NDArray[np.int64], int, Positions]:
    """What the frames of a trajectory are made of.

    Returns:
        The heavy atoms, their indices among all atoms of the file, the number of all atoms, and the positions [N, 3] of
        the heavy ones in the file's first model, in angstrom.
    """
    topology = _topology(Path(path))
    size = len(topology.atoms)
    if topology.positions is None:
        raise InputError(f"{path}: has no positions; a PDB, mmCIF or GRO file is needed here")
    frames = Frames(str(path), topology.atoms, topology.positions[None])
    rows = chain_rows(frames)
    heavy = rows[~topology.atoms.hydrogen[rows]]
    return heavy_atoms(frames.take(rows))[1], heavy, size, topology.positions[heavy]


def write_pdb(ensemble: Ensemble, path: Path | str) -> None:
    """Writes a PDB file with one model a conformation, residues numbered from 1, chain A."""
    atoms = ensemble.atoms
    if not (np.abs(ensemble.positions) < 999.9995).all():
        raise InputError(f"{ensemble.target}: positions do not fit into a PDB file")
    heads = [
        f"ATOM  {serial % 100000:5d} {name if len(name) == 4 else ' ' + name:<4} {residue_name:<3} A{number % 10000:4d}"
        for serial, (name, residue_name, number) in enumerate(
            zip(atoms.name.tolist(), atoms.residue_name.tolist(), (atoms.residue + 1).tolist(), strict=True), 1
        )
    ]
    tails = [f"  1.00  0.00          {name[0]:>2}\n" for name in atoms.name.tolist()]
    with Path(path).open("w") as file:
        for number, frame in enumerate(ensemble.positions.tolist(), 1):
            file.write(f"MODEL {number:8d}\n")
            file.writelines(
                f"{head}    {x:8.3f}{y:8.3f}{z:8.3f}{tail}"
                for head, (x, y, z), tail in zip(heads, frame, tails, strict=True)
            )
            file.write("TER\nENDMDL\n")
        file.write("END\n")
