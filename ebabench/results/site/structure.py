"""Conformations for the viewer of a target page: one structure as PDB text, the others as packed coordinates."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from ebabench.scoring.pair import Pair
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, IndexArray, Positions

_ALL_ATOMS = 400
_FRAMES_SMALL, _FRAMES_LARGE = 20, 6
_BACKBONE = ("N", "CA", "C", "O")
_UNIT = 0.01  # angstrom: a step of the packed integers


@dataclass(frozen=True)
class Conformations:
    """What a viewer shows of one side.

    Attributes:
        pdb: The native structure over the atoms that are shown.
        frames: Base64 of little-endian int16 [frames, atoms, 3], in hundredths of an angstrom.
        mean: The same of the mean structure [atoms, 3].
        motion: The same of one standard deviation along the first principal component [atoms, 3].
        count: How many frames.
    """

    pdb: str
    frames: str
    mean: str
    motion: str
    count: int


def shows_all_atoms(pair: Pair) -> bool:
    """Return whether a viewer shows all atoms of a target: those of a small one."""
    return len(pair.atoms) <= _ALL_ATOMS


def shown_atoms(pair: Pair) -> IndexArray:
    """Return the atoms that a viewer shows: all of a small molecule, else the backbone, else what there is."""
    if shows_all_atoms(pair):
        return np.arange(len(pair.atoms))
    backbone = pair.atoms.select(*_BACKBONE)
    return backbone if len(backbone) else np.arange(len(pair.atoms))


def conformations(pair: Pair, positions: Positions) -> Conformations:
    """Return what a viewer shows of one side of a pair.

    Args:
        pair: The target.
        positions: [F, N, 3], frames of that side, superposed onto the native structure.
    """
    atoms = shown_atoms(pair)
    inside = positions[:, atoms].astype(np.float64)
    most = _FRAMES_SMALL if shows_all_atoms(pair) else _FRAMES_LARGE
    chosen = np.unique(np.linspace(0, len(inside) - 1, most).round().astype(int))
    mean = inside.mean(0)
    return Conformations(
        _pdb(pair.atoms, atoms, pair.residue_index, pair.native[atoms]),
        _packed(inside[chosen]),
        _packed(mean),
        _packed(_first_component(inside - mean)),
        len(chosen),
    )


def _first_component(away: FloatArray) -> FloatArray:
    """One standard deviation along the first principal component [N, 3] of deviations [F, N, 3]."""
    flat = away.reshape(len(away), -1)
    _, widths, axes = np.linalg.svd(flat, full_matrices=False)
    return np.asarray((axes[0] * widths[0] / np.sqrt(len(flat))).reshape(-1, 3))


def _packed(positions: FloatArray) -> str:
    steps = np.clip(np.rint(positions / _UNIT), -32768, 32767).astype("<i2")
    return base64.b64encode(steps.tobytes()).decode()


def _pdb(atoms: Atoms, shown: IndexArray, residue_index: IndexArray, native: Positions) -> str:
    lines = []
    for serial, (index, at) in enumerate(zip(shown, native, strict=True), 1):
        name, residue = str(atoms.name[index]), str(atoms.residue_name[index])
        number = int(residue_index[atoms.residue[index]]) + 1
        label = name if len(name) == 4 else f" {name:<3}"
        x, y, z = (float(value) for value in at)
        lines.append(
            f"ATOM  {serial:>5} {label} {residue:>3} A{number:>4}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
            f"          {name[0]:>2}"
        )
    return "\n".join([*lines, "END"])
