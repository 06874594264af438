"""Adds what is missing of side chains, with PDBFixer, to structures that are otherwise whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from openmm import Platform, unit

from ebabench.io.structure_files import write_pdb
from ebabench.physics.preparation import CannotPrepare
from ebabench.structures import Atoms, Ensemble
from ebabench.structures.arrays import Positions

_MOST_ADDED = 0.1  # of all heavy atoms; beyond, an energy would be PDBFixer's and not the structure's
_BACKBONE = {"N", "CA", "C", "O"}


def add_missing_atoms(atoms: Atoms, frame: Positions) -> tuple[Atoms, Positions]:
    """All heavy atoms of the chain, and their places [M, 3] in angstrom, from those of ``frame`` [N, 3], centred.

    The same table comes out for every frame of the same table. Raises CannotPrepare where the backbone has a gap, or
    where much of the side chains is missing.
    """
    from pdbfixer import PDBFixer

    centred = frame - frame.mean(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.pdb"
        write_pdb(Ensemble("frame", atoms, centred[None]), path)
        # Its own choice would be the fastest platform here, and what it makes up would be another on every machine.
        fixer = PDBFixer(filename=str(path), platform=Platform.getPlatformByName("Reference"))
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    missing = [(residue, atom.name) for residue, added in fixer.missingAtoms.items() for atom in added]
    gaps = [f"{residue.name}{residue.index + 1} {name}" for residue, name in missing if name in _BACKBONE]
    if gaps:
        raise CannotPrepare(f"atoms of the backbone are missing: {', '.join(gaps[:3])}")
    whole = len(atoms) + len(missing)
    if len(missing) > _MOST_ADDED * whole:
        raise CannotPrepare(f"{len(missing)} of {whole} heavy atoms are missing, more than can be made up")
    if not missing:
        raise CannotPrepare("a residue has atoms that do not belong to it")
    fixer.addMissingAtoms(seed=0)
    rows = [(atom.name, atom.residue.name, atom.residue.index) for atom in fixer.topology.atoms()]
    name, residue_name, residue = (np.array(column) for column in zip(*rows, strict=True))
    positions = np.array(fixer.positions.value_in_unit(unit.angstrom), dtype=np.float32)
    return Atoms(name, residue_name, residue), positions
