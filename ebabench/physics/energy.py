"""Potential energies of structures under a named protocol.

One topology, one System and one Context serve all frames of a molecule; what was computed once is kept
(`ebabench.physics.store`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.physics import store
from ebabench.physics.protocols import get_protocol
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, Positions

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_Molecule = tuple[npt.NDArray[np.int64], Atoms, Positions]  # which structures, their atoms, their positions


@dataclass(frozen=True)
class Energies:
    """``values`` [S] in kJ/mol, NaN where ``reasons`` (by frame) says why there is none."""

    values: FloatArray
    reasons: dict[int, str]


def potential_energies(atoms: Atoms, positions: Positions, protocol: str, minimise: bool | None = None) -> FloatArray:
    """Potential energy [S], kJ/mol, of positions [S, N, 3] in angstrom; NaN where a structure could not be prepared.

    ``minimise``: None does what the protocol does by itself. `prepare_energies` gives the reasons too, and the errors.
    """
    return prepare_energies(atoms, positions, protocol, minimise).values


def prepare_energies(atoms: Atoms, positions: Positions, protocol: str, minimise: bool | None = None) -> Energies:
    """Energies of positions [S, N, 3] in angstrom, from the store where they are known.

    A frame's energy depends on nothing but the frame, the atom table and the protocol. Raises InputError for a
    protocol that does not exist.
    """
    values = known_energies(atoms, positions, protocol, minimise)
    missing = np.flatnonzero(np.isnan(values))
    if not len(missing):
        return Energies(values, {})
    from ebabench.physics.evaluation import Evaluator

    chosen = get_protocol(protocol)
    minimise = chosen.minimised if minimise is None else minimise
    keys, molecule = store.frame_keys(positions), atoms.digest()
    evaluate = Evaluator(atoms, chosen, minimise)
    reasons: dict[int, str] = {}
    for portion in store.portions(missing, len(atoms)):
        found, failed = evaluate(positions[portion])
        values[portion] = found
        reasons |= {int(portion[k]): reason for k, reason in failed.items()}
        store.remember(chosen.key(minimise), molecule, keys[portion], found)
    return Energies(values, reasons)


def known_energies(atoms: Atoms, positions: Positions, protocol: str, minimise: bool | None = None) -> FloatArray:
    """What `prepare_energies` finds in the store; NaN where it would compute."""
    chosen = get_protocol(protocol)
    key = chosen.key(chosen.minimised if minimise is None else minimise)
    return store.recall(key, atoms.digest(), store.frame_keys(positions))


def export_energies(atoms: Atoms, positions: Positions, protocol: str, folder: Path) -> None:
    """Writes the energies of these frames, computed where need be, to a store that can be shipped with a package."""
    chosen = get_protocol(protocol)
    values = potential_energies(atoms, positions, protocol)
    store.remember(chosen.key(chosen.minimised), atoms.digest(), store.frame_keys(positions), values, folder)


def energy_table(files: list[Path], forcefield: str, minimise: bool | None = None) -> pd.DataFrame:
    """Energies of structures in files, one row a structure: file, energy_kj_per_mol, and the reason where it is NaN.

    Structures that bring hydrogens keep them; others get the protocol's. They are taken as they are unless
    ``minimise`` says otherwise. Raises InputError for a protocol that does not exist and for a file that cannot be
    read, before anything is computed.
    """
    import pandas as pd

    get_protocol(forcefield)
    owner, molecules = _structures(files)
    values, reasons = np.full(len(owner), np.nan), np.full(len(owner), "", dtype=object)
    for rows, atoms, frames in molecules:
        found = prepare_energies(atoms, frames, forcefield, bool(minimise))
        values[rows] = found.values
        reasons[rows] = [found.reasons.get(k, "") for k in range(len(rows))]
    names = [str(files[k]) for k in owner]
    return pd.DataFrame({"file": names, "energy_kj_per_mol": values, "reason": reasons})


def decomposition_table(files: list[Path], forcefield: str, minimise: bool | None = None) -> pd.DataFrame:
    """Shares in the energies of structures in files, one row a residue of a structure (both counted from 1).

    Columns: file, structure, residue, residue_name, one a force term in kJ/mol, and the reason where they are NaN.
    Raises what `energy_table` raises.
    """
    import pandas as pd

    from ebabench.physics.decomposition import TERMS, decompose

    get_protocol(forcefield)
    owner, molecules = _structures(files)
    tables = []
    for rows, atoms, frames in molecules:
        found = decompose(atoms, frames, forcefield, bool(minimise))
        count, length = found.values.shape[:2]
        first = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
        numbers = rows - np.searchsorted(owner, owner[rows]) + 1
        columns = {
            "row": np.repeat(rows, length),
            "file": np.repeat([str(files[k]) for k in owner[rows]], length),
            "structure": np.repeat(numbers, length),
            "residue": np.tile(np.arange(1, length + 1), count),
            "residue_name": np.tile(atoms.residue_name[first], count),
        }
        terms = dict(zip(TERMS, found.values.reshape(-1, len(TERMS)).T, strict=True))
        reasons = np.repeat([found.reasons.get(k, "") for k in range(count)], length)
        tables.append(pd.DataFrame({**columns, **terms, "reason": reasons}))
    return pd.concat(tables).sort_values(["row", "residue"], ignore_index=True).drop(columns="row")


def _structures(files: list[Path]) -> tuple[npt.NDArray[np.int64], list[_Molecule]]:
    """The structures in files: the file of each, and what is of one molecule together. Raises InputError."""
    from ebabench.physics.files import read_structures

    structures = [read_structures(file) for file in files]
    owner = np.repeat(np.arange(len(files)), [len(positions) for _, positions in structures])
    digests = np.array([atoms.digest() for atoms, _ in structures])
    molecules = []
    for digest in dict.fromkeys(digests.tolist()):
        own = np.flatnonzero(digests == digest)
        frames = np.concatenate([structures[k][1] for k in own])
        molecules.append((np.flatnonzero(np.isin(owner, own)), structures[own[0]][0], frames))
    return owner, molecules
