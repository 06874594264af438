"""Conformations for the viewer of a target page: atoms by residue, and packed coordinates."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from ebabench.scoring.pair import Pair
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, IndexArray, Positions, evenly_spaced

_ALL_ATOMS = 400
_FEWEST, _MOST = 3, 20  # conformations
_POSITIONS = 2000  # atoms times conformations of a side: a page of a large protein stays small
_CARTOON = ("N", "CA", "O")  # what a viewer draws a backbone and its secondary structure from
_UNIT = 0.01  # angstrom: a step of the packed integers


@dataclass(frozen=True)
class Conformations:
    """What a viewer shows of one side.

    Attributes:
        residues: The atoms that are shown, residue by residue: name, number and atoms of each.
        frames: Base64 of little-endian int16 [frames, atoms, 3], in hundredths of an angstrom.
        mean: The same of the mean structure [atoms, 3].
        motion: The same of one standard deviation along the first principal component [atoms, 3].
        count: How many frames.
    """

    residues: str
    frames: str
    mean: str
    motion: str
    count: int


def shows_all_atoms(pair: Pair) -> bool:
    """Return whether a viewer shows all atoms of a target: those of a small one."""
    return len(pair.atoms) <= _ALL_ATOMS


def shown_atoms(pair: Pair) -> IndexArray:
    """Return the atoms that a viewer shows: all of a small one, else those of a cartoon, else what there is."""
    if shows_all_atoms(pair):
        return np.arange(len(pair.atoms))
    cartoon = pair.atoms.select(*_CARTOON)
    return cartoon if len(cartoon) else np.arange(len(pair.atoms))


def conformations(pair: Pair, positions: Positions) -> Conformations:
    """Return what a viewer shows of one side of a pair.

    Args:
        pair: The target.
        positions: [F, N, 3], frames of that side, superposed onto the native structure.
    """
    atoms = shown_atoms(pair)
    inside = positions[:, atoms].astype(np.float64)
    most = _MOST if shows_all_atoms(pair) else min(max(_POSITIONS // len(atoms), _FEWEST), _MOST)
    chosen = evenly_spaced(len(inside), most)
    mean = inside.mean(0)
    return Conformations(
        _residues(pair.atoms, atoms, pair.residue_index),
        _packed(inside[chosen]),
        _packed(mean),
        _packed(_first_component(inside - mean)),
        len(chosen),
    )


def _first_component(away: FloatArray) -> FloatArray:
    """One standard deviation along the first principal component [N, 3] of deviations [F, N, 3]."""
    flat = away.reshape(len(away), -1)
    if len(flat) > flat.shape[1]:
        widths, axes = np.linalg.eigh(flat.T @ flat / len(flat))
        return np.asarray((axes[:, -1] * np.sqrt(max(widths[-1], 0.0))).reshape(-1, 3))
    scores = np.linalg.eigh(flat @ flat.T)[1][:, -1]  # the same from the smaller matrix
    return np.asarray((scores @ flat / np.sqrt(len(flat))).reshape(-1, 3))


def _packed(positions: FloatArray) -> str:
    steps = np.clip(np.rint(positions / _UNIT), -32768, 32767).astype("<i2")
    return base64.b64encode(steps.tobytes()).decode()


def _residues(atoms: Atoms, shown: IndexArray, residue_index: IndexArray) -> str:
    """The shown atoms as text: for each residue its name, its number and its atoms; residues apart by a comma."""
    found: dict[int, list[str]] = {}
    for index in shown:
        number = int(residue_index[atoms.residue[index]]) + 1
        found.setdefault(number, [str(atoms.residue_name[index])]).append(str(atoms.name[index]))
    return ",".join(" ".join((names[0], str(number), *names[1:])) for number, names in found.items())
