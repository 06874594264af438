"""Training conformations: molecular dynamics of one or more suites, merged by target, with energies where needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.generators.sampling import matched
from ebabench.io.structure_files import find_ensembles, read_ensemble
from ebabench.physics import store
from ebabench.structures import Reference, Target
from ebabench.structures.arrays import FloatArray, Positions

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""
_Found = tuple[FloatArray, Mapping[int, str]]


@dataclass(frozen=True)
class Conformations:
    """positions [F, N, 3] in angstrom over target.atoms; energies [F] and of residues [F, L] in kJ/mol, or none."""

    target: Target
    positions: Positions
    energies: FloatArray | None = None
    residue_energies: FloatArray | None = None

    def digest(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256(self.target.atoms.digest().encode() + self.target.native.tobytes())
        for values in (self.positions, self.energies, self.residue_energies):
            if values is not None:
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Trajectories:
    """One target's training frames. They stay on disk until they are asked for, so that there may be any number.

    ``energies`` [F] are NaN, as are ``residue_energies`` [F, L], where ``reasons`` (by frame) says why there is none.
    """

    name: str
    readers: tuple[Callable[[str], Reference], ...]
    stride: int
    energies: FloatArray | None = None
    residue_energies: FloatArray | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)

    def read(self) -> Conformations:
        """Every ``stride``-th frame of every replica, but those known to have no energy; the first suite's native.

        Raises InputError where two suites have a target of this name with different atoms, and what reading raises.
        """
        references = [reader(self.name) for reader in self.readers]
        target = references[0].target
        if any(other.target.atoms.digest() != target.atoms.digest() for other in references):
            raise InputError(f"{self.name} has other atoms in one suite than in another")
        replicas = [replica[:: self.stride] for reference in references for replica in reference.replicas]
        positions = np.concatenate(replicas)
        if self.energies is not None:
            positions = positions[np.isfinite(self.energies)]
        return Conformations(target, positions, self.kept(self.energies), self.kept(self.residue_energies))

    def kept(self, values: FloatArray | None) -> FloatArray | None:
        """What belongs to frames that have an energy."""
        return values if values is None or self.energies is None else values[np.isfinite(self.energies)]


def load(suite_ids: Sequence[str], data: Path | None, stride: int, samples: Path | None = None) -> list[Trajectories]:
    """The targets of the suites; one that several share (at two temperatures, say) becomes one.

    ``data`` is in the ATLAS layout, or holds ``data/SUITE`` that is, as it must where there are several suites;
    without it the embedded references are read. ``samples`` is a folder of ensembles of the targets (of a model, by
    ``ebabench sample``): these are trained on in place of the MD, and targets that it lacks are left out. Raises
    InputError for a suite that is not for training, and if there are no samples.
    """
    readers: dict[str, list[Callable[[str], Reference]]] = {}
    found = None if samples is None else find_ensembles(samples)
    for suite in map(load_suite, suite_ids):
        if suite.split != "train":
            raise InputError(f"{suite.id} is a {suite.split} suite: a model must not be trained on it")
        # Two suites with targets of the same names must not be read from one folder.
        read = reference_reader(suite, data / suite.id if data and len(suite_ids) > 1 else data)
        for target in suite.targets:
            if found is None:
                readers.setdefault(target.name, []).append(read)
            elif target.name in found:
                readers[target.name] = [partial(_samples, read, found[target.name])]
    if not readers:
        raise InputError(f"{samples}: no ensembles of the targets of {', '.join(suite_ids)}")
    return [Trajectories(name, tuple(of_target), stride) for name, of_target in readers.items()]


def _samples(read: Callable[[str], Reference], path: Path, name: str) -> Reference:
    """An ensemble in the place of a target's replicas. Raises InputError unless it has all the target's atoms."""
    reference = read(name)
    ensemble = matched(read_ensemble(path, name), reference.target)
    if len(ensemble.atoms) != len(reference.target.atoms):
        raise InputError(f"{path}: has {len(ensemble.atoms)} of the {len(reference.target.atoms)} atoms of {name}")
    return replace(reference, replicas=(ensemble.positions,), numbers=(1,))


def with_energies(
    data: Sequence[Trajectories],
    protocol: str,
    pool: Executor,
    on_progress: Progress,
    residues: bool = False,
    minimise: bool | None = None,
) -> list[Trajectories]:
    """The same with energies under a named protocol; NaN, and the reason, for conformations that have none.

    What is in the store is taken from there; the rest is shared out frame by frame, so that a long chain keeps all
    processes busy, and is kept as soon as a portion (`store.portions`) of it is done. ``residues``: with the residues'
    shares in them as well. ``minimise``: None does what the protocol does by itself.
    """
    known: list[FloatArray] = []
    portions: dict[Future[_Found], tuple[int, npt.NDArray[np.int64]]] = {}
    for one, (values, atoms) in zip(data, pool.map(partial(_known, protocol, residues, minimise), data), strict=True):
        missing = np.flatnonzero(np.isnan(values.reshape(len(values), -1)[:, 0]))
        for rows in store.portions(missing, atoms):
            portions[pool.submit(_computed, protocol, residues, minimise, one, rows)] = len(known), rows
        known.append(values)
        on_progress("energies looked up", len(known), len(data))
    reasons: list[dict[int, str]] = [{} for _ in data]
    done, frames = 0, sum(len(rows) for _, rows in portions.values())
    if frames:
        on_progress("energies of frames", 0, frames)
    for future in as_completed(portions):
        target, rows = portions[future]
        known[target][rows], why = future.result()
        reasons[target] |= {int(rows[k]): reason for k, reason in why.items()}
        done += len(rows)
        on_progress("energies of frames", done, frames)
    return [
        replace(
            one,
            energies=values.sum(1) if residues else values,
            residue_energies=values if residues else None,
            reasons=dict(sorted(why.items())),
        )
        for one, values, why in zip(data, known, reasons, strict=True)
    ]


def _known(protocol: str, residues: bool, minimise: bool | None, one: Trajectories) -> tuple[FloatArray, int]:
    """What the store has of a target's energies, and how many atoms they are of."""
    from ebabench.physics.decomposition import known_residue_energies
    from ebabench.physics.energy import known_energies

    read = one.read()
    atoms = read.target.atoms
    if residues:
        return known_residue_energies(atoms, read.positions, protocol), len(atoms)
    return known_energies(atoms, read.positions, protocol, minimise), len(atoms)


def _computed(
    protocol: str, residues: bool, minimise: bool | None, one: Trajectories, rows: npt.NDArray[np.int64]
) -> _Found:
    """Energies of some of a target's frames, and by their place among these why there is none."""
    from ebabench.physics.decomposition import residue_energies
    from ebabench.physics.energy import prepare_energies

    read = one.read()
    atoms, positions = read.target.atoms, read.positions[rows]
    if not residues:
        found = prepare_energies(atoms, positions, protocol, minimise)
        return found.values, found.reasons
    shares = residue_energies(atoms, positions, protocol)
    without = np.flatnonzero(np.isnan(shares[:, 0]))
    again = prepare_energies(atoms, positions[without], protocol)  # for the reasons
    return shares, {int(without[k]): reason for k, reason in again.reasons.items()}
