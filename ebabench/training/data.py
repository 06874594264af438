"""Read training conformations: the MD of one or more suites, merged by target, with energies if needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebabench.datasets.layout import check_there, replica_files
from ebabench.datasets.reference_layouts import FoundReferences, find_references
from ebabench.datasets.references import References
from ebabench.datasets.suites import Suite, check_sequence, load_suite, reference_reader
from ebabench.datasets.targets import target_of
from ebabench.errors import InputError
from ebabench.generators.sampling import matched
from ebabench.io.layouts import Source, find_sources, read_source
from ebabench.physics import store
from ebabench.physics.molecules import Molecule
from ebabench.structures import Reference, Target
from ebabench.structures.arrays import FloatArray, Positions
from ebabench.structures.validation import validated_blocks

Progress = Callable[[str, int, int], None]
"""Called with the name of the task, how much of it is done, and how much there is."""
_Found = tuple[FloatArray, Mapping[int, str]]


@dataclass(frozen=True)
class Conformations:
    """Conformations of one target.

    Attributes:
        target: The target.
        positions: [F, N, 3] in angstrom, over ``target.atoms``.
        energies: [F] in kJ/mol, or None.
        residue_energies: [F, L] in kJ/mol, or None.
    """

    target: Target
    positions: Positions
    energies: FloatArray | None = None
    residue_energies: FloatArray | None = None

    def digest(self) -> str:
        """Return the SHA-256 of atoms, native structure, positions and energies."""
        digest = hashlib.sha256(self.target.atoms.digest().encode() + self.target.native.tobytes())
        for values in (self.positions, self.energies, self.residue_energies):
            if values is not None:
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Trajectories:
    """The training frames of one target. They stay on disk until they are read.

    Attributes:
        name: Name of the target.
        readers: One reader per suite that has the target.
        stride: Every ``stride``-th frame is used.
        energies: [F] in kJ/mol, NaN for a frame without an energy.
        residue_energies: [F, L] in kJ/mol, NaN likewise.
        reasons: For a frame without an energy, the reason.
    """

    name: str
    readers: tuple[Callable[[str], Reference], ...]
    stride: int
    energies: FloatArray | None = None
    residue_energies: FloatArray | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)

    def read(self) -> Conformations:
        """Return every ``stride``-th frame of every replica that has an energy, with the first suite's native.

        Raises:
            InputError: Two suites have a target of this name with different atoms (``suite.conflict``), a file cannot
                be read, or a frame is none that would be scored (as ``validated_blocks``).
        """
        references = self._references()
        frames = [np.arange(0, len(one), self.stride) for reference in references for one in reference.replicas]
        if self.energies is not None:
            ends = np.cumsum([len(one) for one in frames])[:-1]
            known = np.split(np.isfinite(self.energies), ends)
            frames = [rows[own] for rows, own in zip(frames, known, strict=True)]
        target, left = references[0].target, iter(frames)
        blocks = [np.empty((0, len(target.atoms), 3), np.float32)]
        for reference in references:
            blocks += [block for *_, block in validated_blocks(reference, [next(left) for _ in reference.replicas])]
        return Conformations(target, np.concatenate(blocks), self.kept(self.energies), self.kept(self.residue_energies))

    def read_unchecked(self) -> Conformations:
        """Return every ``stride``-th frame as it is: one of no molecule has no energy.

        Raises:
            InputError: As ``read``, but for frames that would not be scored.
        """
        references = self._references()
        replicas = [replica[:: self.stride] for reference in references for replica in reference.replicas]
        return Conformations(references[0].target, np.concatenate(replicas))

    def _references(self) -> list[Reference]:
        references = [reader(self.name) for reader in self.readers]
        digests = {reference.target.atoms.digest() for reference in references}
        if len(digests) > 1:
            raise InputError(
                f"{self.name} has other atoms in one suite than in another", code="suite.conflict", target=self.name
            )
        return references

    def kept(self, values: FloatArray | None) -> FloatArray | None:
        """Return the values [F, ...] of those frames that have an energy."""
        return values if values is None or self.energies is None else values[np.isfinite(self.energies)]


def load(suite_ids: Sequence[str], data: Path | None, stride: int, samples: Path | None = None) -> list[Trajectories]:
    """Return the training frames of all targets. A target of several suites (at two temperatures) is merged.

    Args:
        suite_ids: Training suites, by id or path.
        data: References in a layout of ``find_references`` (ATLAS's, MDGen's, Timewarp's, mdCATH's of one temperature,
            a TOML that lists them), or a folder that holds them as ``SUITE`` (required for several suites). None reads
            the embedded references.
        stride: Every ``stride``-th frame is used.
        samples: A folder of ensembles that replace the MD. Targets that it lacks are excluded. A simulated suite then
            needs no references: where there is none of a target, its atoms follow from its sequence.

    Raises:
        InputError: A suite is not a training suite (``suite.split``), there is no ``data``, or references are missing
            (``references.missing``), or ``samples`` has no target (``samples.none``).
    """
    check_there(data)
    readers: dict[str, list[Callable[[str], Reference]]] = {}
    suites = [load_suite(one) for one in suite_ids]
    sequences = {target.name: target.sequence for suite in suites for target in suite.targets}
    found = None if samples is None else find_sources(samples, sequences).sources
    for suite in suites:
        if suite.split != "train":
            raise InputError(
                f"{suite.id} is a {suite.split} suite: a model must not be trained on it",
                code="suite.split",
                suite=suite.id,
            )
        # Two suites with targets of the same names must not be read from one folder.
        place = data / suite.id if data and len(suite_ids) > 1 else data
        if found is None:
            read = _reader(suite, place)
            for target in suite.targets:
                readers.setdefault(target.name, []).append(read)
        else:
            references = _references(suite, place, required=suite.simulation is None)
            for target in suite.targets:
                if target.name in found:
                    readers[target.name] = [partial(_samples, suite, references, found[target.name])]
    if not readers:
        raise InputError(
            f"{samples}: no ensembles of the targets of {', '.join(suite_ids)}", code="samples.none", folder=samples
        )
    return [Trajectories(name, tuple(of_target), stride) for name, of_target in readers.items()]


def _reader(suite: Suite, data: Path | None) -> Callable[[str], Reference]:
    """Return what reads the MD of a suite's targets, in the layout of ATLAS or another one."""
    found = _references(suite, data, required=True)
    if not isinstance(found, FoundReferences):
        return found
    names = [target.name for target in suite.targets]
    if lacking := [name for name in names if name not in found.names]:
        raise InputError(
            f"{found.root}: has no trajectories of {len(lacking)} of the {len(names)} targets of {suite.id}: "
            f"{', '.join(lacking[:5])}; it has those of {', '.join(found.names[:5])}",
            code="references.missing",
            suite=suite.id,
        )
    return partial(_checked, found, suite)


def _references(suite: Suite, data: Path | None, *, required: bool) -> References:
    """Return the references of a suite that are there, in the layout of ATLAS or another one."""
    found = None if data is None else _other_layout(suite, data)
    return found or reference_reader(suite, data, required=required)


def _other_layout(suite: Suite, data: Path) -> FoundReferences | None:
    """Return the references below a folder that has none in the layout of ATLAS; None for none at all."""
    own = data / suite.id
    root = own if own.is_dir() else data
    if any(replica_files(root, target.name, suite.tier) for target in suite.targets):
        return None
    try:
        return find_references(root)
    except InputError as error:
        if error.code in ("reference.missing", "reference.none"):
            return None  # the suite says better what is missing
        raise


def _checked(references: FoundReferences, suite: Suite, name: str) -> Reference:
    reference = references(name)
    check_sequence(suite, references.root, reference.target)
    return reference


def _samples(suite: Suite, references: References, source: Source, name: str) -> Reference:
    """Return an ensemble of a target in the place of replicas of MD. Raises InputError if atoms are missing."""
    target = target_of(suite, references, name)
    ensemble = matched(read_source(source, name), target)
    if len(ensemble.atoms) != len(target.atoms):
        raise InputError(
            f"{source}: has {len(ensemble.atoms)} of the {len(target.atoms)} atoms of {name}",
            code="samples.atoms",
            file=source.paths[0],
        )
    return Reference(target, (ensemble.positions,), suite.tier, files=(str(source),))


def with_energies(
    data: Sequence[Trajectories],
    protocol: str,
    pool: Executor,
    on_progress: Progress,
    residues: bool = False,
    minimise: bool | None = None,
) -> list[Trajectories]:
    """Return the training frames with energies; NaN, with the reason, for a frame without an energy.

    Stored energies are looked up. The others are distributed over the processes frame by frame, so that one long chain
    uses all of them, and are stored in portions.

    Args:
        data: Training frames.
        protocol: Name of the energy protocol.
        pool: The processes.
        on_progress: Called as the work goes on.
        residues: Whether to compute the shares of residues, too.
        minimise: Whether to minimise first; None follows the protocol.
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
    """Return a target's stored energies, NaN where there is none, and its number of atoms."""
    from ebabench.physics.decomposition import known_residue_energies
    from ebabench.physics.energy import known_energies

    read = one.read_unchecked()
    atoms = read.target.atoms
    (gap,) = Molecule.of(atoms).gaps(read.target.native[None])
    if gap:
        raise InputError(
            f"{one.name}: no energies: the native structure has a {gap}", code="energy.gap", target=one.name
        )
    if residues:
        return known_residue_energies(atoms, read.positions, protocol), len(atoms)
    return known_energies(atoms, read.positions, protocol, minimise), len(atoms)


def _computed(
    protocol: str, residues: bool, minimise: bool | None, one: Trajectories, rows: npt.NDArray[np.int64]
) -> _Found:
    """Return the energies of some frames of a target, and the reasons by their index among these frames."""
    from ebabench.physics.decomposition import residue_energies
    from ebabench.physics.energy import prepare_energies

    read = one.read_unchecked()
    atoms, positions = read.target.atoms, read.positions[rows]
    if not residues:
        found = prepare_energies(atoms, positions, protocol, minimise)
        return found.values, found.reasons
    shares = residue_energies(atoms, positions, protocol)
    without = np.flatnonzero(np.isnan(shares[:, 0]))
    again = prepare_energies(atoms, positions[without], protocol)  # for the reasons
    return shares, {int(without[k]): reason for k, reason in again.reasons.items()}
