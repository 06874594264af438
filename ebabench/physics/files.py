"""Structures in files as energies need them: with the hydrogens that they bring, if they bring any."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.io.structure_files import read_ensemble
from ebabench.structures import THREE_TO_ONE, Atoms
from ebabench.structures.arrays import Positions
from ebabench.structures.nomenclature import canonical, is_hydrogen

_STRUCTURE = re.compile(r"\.(?:(pdb|ent)|(cif|mmcif))(\.gz)?$")


def read_structures(path: Path) -> tuple[Atoms, Positions]:
    """All conformations in a file: the table of atoms, and positions [S, N, 3] in angstrom.

    Hydrogens of a PDB or mmCIF file are kept; they must then be complete, since none are added. Raises InputError for
    a file that cannot be read.
    """
    match = _STRUCTURE.search(path.name)
    whole = _read_whole(path, is_pdb=match[1] is not None) if match else None
    if whole is None or not is_hydrogen(whole[0].name).any():
        ensemble = read_ensemble(path, path.name)
        return ensemble.atoms, ensemble.positions
    return whole


def _read_whole(path: Path, *, is_pdb: bool) -> tuple[Atoms, Positions] | None:
    """The amino acids of the file with all their atoms; None where there are none."""
    from openmm import app

    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = io.StringIO(data.decode())
        file = app.PDBFile(text) if is_pdb else app.PDBxFile(text)
        frames = [file.getPositions(asNumpy=True, frame=k)._value for k in range(file.getNumFrames())]
        positions = np.array(frames, dtype=float) * 10
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: broken, truncated or of another format ({error})") from error
    rows = [(atom.name, atom.residue.name, atom.residue.index) for atom in file.topology.atoms()]
    name, residue_name, residue = (np.array(column) for column in zip(*rows, strict=True))
    kept = np.flatnonzero(np.isin(canonical(Atoms(name, residue_name, residue)).residue_name, list(THREE_TO_ONE)))
    if not len(kept):
        return None
    _, counted = np.unique(residue[kept], return_inverse=True)
    return canonical(Atoms(name[kept], residue_name[kept], counted)), positions[:, kept].astype(np.float32)
