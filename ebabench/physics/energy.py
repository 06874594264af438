"""Potential energies of conformations under a named protocol.

One topology, one System and one Context serve all frames of a molecule. Energies once computed are stored
(`ebabench.physics.store`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ebabench.physics import store
from ebabench.physics.molecules import Molecule
from ebabench.physics.protocols import get_protocol
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, Positions

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Energies:
    """Energies of frames.

    Attributes:
        values: [S] in kJ/mol; NaN where there is no energy.
        reasons: by frame, why there is none.
    """

    values: FloatArray
    reasons: dict[int, str]


def potential_energies(
    molecule: Atoms | Molecule, positions: Positions, protocol: str, minimise: bool | None = None
) -> FloatArray:
    """Return the potential energies of conformations.

    `prepare_energies` also returns why a conformation has none.

    Args:
        molecule: the molecule. Atoms are one chain of residues bonded in sequence, with charged ends; a stretched
            peptide bond is a strained conformation of it. `ebabench.physics.description.describe` returns the molecule
            in a file.
        positions: [S, N, 3] in angstrom.
        protocol: name of the energy protocol.
        minimise: True to minimise first; None for what the protocol does by itself.

    Returns:
        [S] in kJ/mol; NaN where a structure could not be prepared.

    Raises:
        InputError: there is no such protocol.
    """
    return prepare_energies(molecule, positions, protocol, minimise).values


def prepare_energies(
    molecule: Atoms | Molecule,
    positions: Positions,
    protocol: str,
    minimise: bool | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Energies:
    """Return the energies of conformations, from the store where they are known, and the reasons where there are none.

    The energy of a frame depends on nothing but the frame, the molecule and the protocol. Arguments and errors are
    those of `potential_energies`. ``on_frames`` is called with the number of frames that were finished since.
    """
    values = known_energies(molecule, positions, protocol, minimise)
    missing = np.flatnonzero(np.isnan(values))
    if on_frames:
        on_frames(len(values) - len(missing))
    if not len(missing):
        return Energies(values, {})
    from ebabench.physics.evaluation import Evaluator

    chosen, one = get_protocol(protocol), Molecule.of(molecule)
    minimise = chosen.minimised if minimise is None else minimise
    keys = store.frame_keys(positions)
    evaluate = Evaluator(one, chosen, minimise)
    reasons: dict[int, str] = {}
    for portion in store.portions(missing, len(one.atoms)):
        found, failed = evaluate(positions[portion])
        values[portion] = found
        reasons |= {int(portion[k]): reason for k, reason in failed.items()}
        store.remember(chosen.key(minimise), one.digest(), keys[portion], found)
        if on_frames:
            on_frames(len(portion))
    return Energies(values, reasons)


def known_energies(
    molecule: Atoms | Molecule, positions: Positions, protocol: str, minimise: bool | None = None
) -> FloatArray:
    """Return what `prepare_energies` finds in the store: [S] in kJ/mol, NaN where it would compute."""
    chosen = get_protocol(protocol)
    key = chosen.key(chosen.minimised if minimise is None else minimise)
    return store.recall(key, Molecule.of(molecule).digest(), store.frame_keys(positions))


def export_energies(molecule: Atoms | Molecule, positions: Positions, protocol: str, folder: Path) -> None:
    """Write the energies of conformations to a store that can be shipped with a package.

    Args:
        molecule: as of `potential_energies`.
        positions: [S, N, 3] in angstrom.
        protocol: name of the energy protocol.
        folder: the store.

    Raises:
        InputError: there is no such protocol.
        OSError: the folder cannot be written.
    """
    chosen = get_protocol(protocol)
    values = potential_energies(molecule, positions, protocol)
    digest = Molecule.of(molecule).digest()
    store.remember(chosen.key(chosen.minimised), digest, store.frame_keys(positions), values, folder)
