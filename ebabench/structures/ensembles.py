"""The nouns of the project: Atoms, Target, Ensemble, Reference. Frozen, numpy only, lengths in angstrom."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import Positions

THREE_TO_ONE = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G", "HIS": "H",
    "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V",
}  # fmt: skip
ONE_TO_THREE = {one: three for three, one in THREE_TO_ONE.items()}


@dataclass(frozen=True)
class Atoms:
    """The heavy atoms of one chain, in file order: one row an atom, residues counted from 0 along the chain.

    name [N] and residue_name [N] are strings; residue [N] is an index, not the number in a file.
    """

    name: npt.NDArray[np.str_]
    residue_name: npt.NDArray[np.str_]
    residue: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.name) == len(self.residue_name) == len(self.residue):
            raise ValueError("name, residue_name and residue differ in length")
        if len(self.residue) and (self.residue[0] != 0 or not np.isin(np.diff(self.residue), (0, 1)).all()):
            raise ValueError("residue must count from 0 without gaps")

    def __len__(self) -> int:
        return len(self.name)

    @property
    def sequence(self) -> str:
        """One-letter sequence; X for a residue name that is not one of the twenty."""
        first = np.flatnonzero(np.diff(self.residue, prepend=-1))
        return "".join(THREE_TO_ONE.get(str(name), "X") for name in self.residue_name[first])

    def select(self, *names: str) -> npt.NDArray[np.int64]:
        """Indices of the atoms that bear one of the names."""
        return np.flatnonzero(np.isin(self.name, names))

    def take(self, index: npt.NDArray[np.int64]) -> Atoms:
        """The atoms at ``index``; every residue must keep at least one atom."""
        return Atoms(self.name[index], self.residue_name[index], self.residue[index])

    def digest(self) -> str:
        """SHA-256 of the table."""
        rows = "\n".join(f"{r}|{n}|{a}" for r, n, a in zip(self.residue, self.residue_name, self.name, strict=True))
        return hashlib.sha256(rows.encode()).hexdigest()


class StoredFrames(Protocol):
    """Frames that stay on disk until they are asked for: an array [F, N, 3] of angstrom to len, slices and lists.

    ``digest`` says which frames these are, by the bytes of their file. ``stamp`` does not read it, and changes whenever
    the digest may have changed.
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Positions: ...
    def digest(self) -> str: ...  # noqa: D102
    def stamp(self) -> str: ...  # noqa: D102


def _check_positions(what: str, shape: tuple[int, ...], atoms: Atoms) -> None:
    if len(shape) != 3 or shape[1:] != (len(atoms), 3):
        raise ValueError(f"{what}: positions have shape {shape}, expected [frames, {len(atoms)}, 3]")


@dataclass(frozen=True)
class Target:
    """What a generator is given: a name, a sequence, and the native structure (positions [N, 3], angstrom)."""

    name: str
    sequence: str
    atoms: Atoms
    native: Positions

    def __post_init__(self) -> None:
        _check_positions(self.name, (1, *self.native.shape), self.atoms)


@dataclass(frozen=True)
class Ensemble:
    """What a generator gives: positions [S, N, 3] in angstrom.

    ``held_out``: numbers (from 1) of the reference replicas that the ensemble was taken from, and that it must
    therefore not be scored against. ``random_weights``: made to test plumbing, never ranked.
    """

    target: str
    atoms: Atoms
    positions: Positions
    held_out: tuple[int, ...] = ()
    random_weights: bool = False

    def __post_init__(self) -> None:
        _check_positions(self.target, self.positions.shape, self.atoms)

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class Reference:
    """Molecular dynamics of one target: ``replicas[k]`` [F_k, N, 3] in angstrom, over ``target.atoms``.

    ``numbers``: the replicas' numbers, from 1. ``tier`` names the source ("md-implicit", "atlas-protein", ...):
    references of different tiers are never mixed in a table.
    """

    target: Target
    replicas: tuple[Positions | StoredFrames, ...]
    tier: str
    numbers: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(1, len(self.replicas) + 1)))
        for number, replica in zip(self.numbers, self.replicas, strict=True):
            _check_positions(f"{self.target.name} replica {number}", replica.shape, self.target.atoms)

    def without(self, held_out: tuple[int, ...]) -> Reference:
        """The reference less some replicas. Raises ValueError if none is left."""
        kept = [k for k, number in enumerate(self.numbers) if number not in held_out]
        if not kept:
            raise ValueError(f"{self.target.name}: no reference replica is left to score against")
        return Reference(
            self.target, tuple(self.replicas[k] for k in kept), self.tier, tuple(self.numbers[k] for k in kept)
        )
