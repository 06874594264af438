"""A Pair: one model's ensemble beside its reference, atom by atom, in one frame of space, as metrics read it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError, unknown
from ebabench.scoring.reference_cache import Arrays, cached_arrays, reference_digest
from ebabench.scoring.spec import Need, NotAvailable
from ebabench.scoring.superposed import Counts, SuperposedReference
from ebabench.structures import Atoms, Ensemble, Reference, validation
from ebabench.structures.arrays import FloatArray, IndexArray, Positions, read_only
from ebabench.structures.equivalence import equivalent_atoms, name_as, named_reference
from ebabench.structures.geometry import principal_components, superpose
from ebabench.structures.matching import match
from ebabench.structures.nomenclature import canonical
from ebabench.structures.torsions import TorsionTable, torsion_angles, torsion_table

PROTOCOLS = ("corrected", "alphaflow", "symmetric")
_SEED = 137
_MANY = 1000
_COMPONENTS = 20
_BACKBONE = ("N", "CA", "C", "O")
_LEAST_HEAVY = 0.9


@dataclass(frozen=True, eq=False)
class Pair:
    """Both sides of one target over the atoms in common, in the reference's order, names and orientation.

    Every frame was superposed once onto the native structure on all atoms in common (METRICS: no pair of frames is
    ever aligned to each other afterwards). Lengths in angstrom. All metrics share the arrays, which are read-only.

    Attributes:
        atoms: the N atoms in common; residues counted without gaps.
        residue_index: [R], for every residue of ``atoms`` its index in the target's sequence.
        native: [N, 3], centered.
        model: [S, N, 3], superposed. Conformations of weight zero are left out.
        model_as_read: [S, N, 3], in the orientation of the model's file.
        reference: the replicas that count, as read.
        aligned: frames of the whole reference, whichever replicas count here.
        in_reference: [N], the atoms in common as columns of the reference.
        model_order: [N], the atoms in common in the order of the model's file.
        coverage: share of the reference's heavy atoms that the model has.
        protocol: "corrected"; "alphaflow" for the published scorer with its faults; or "symmetric", which is
            "corrected" after equivalent atoms are named as in the native structure (``structures.equivalence``).
        energy_protocol: how energies are computed, if at all.
        identity: says all that the reference's side depends on, if that is kept on disk.
        torsions: the T torsions that ``atoms`` define.
        weights: [S], statistical weights of sum 1 of the model's conformations; None for equal weights.
        duplicates: how many of the model's conformations are copies of another one.
    """

    target: str
    atoms: Atoms
    residue_index: IndexArray
    native: Positions
    model: Positions
    model_as_read: Positions
    reference: Reference
    aligned: SuperposedReference
    in_reference: IndexArray
    model_order: IndexArray
    coverage: float
    protocol: str
    energy_protocol: str | None
    identity: str | None
    torsions: TorsionTable
    weights: FloatArray | None = None
    duplicates: int = 0

    def __post_init__(self) -> None:
        for one in fields(self):
            if isinstance(value := getattr(self, one.name), np.ndarray):
                object.__setattr__(self, one.name, read_only(value))
        replicas = (read_only(one) if isinstance(one, np.ndarray) else one for one in self.reference.replicas)
        object.__setattr__(self, "reference", replace(self.reference, replicas=tuple(replicas)))

    def __len__(self) -> int:
        return len(self.model)

    @cached_property
    def ca(self) -> IndexArray:
        """[C], the C-alphas among ``atoms``."""
        return read_only(self.atoms.select("CA"))

    @property
    def native_ca(self) -> Positions:
        """[C, 3], centered."""
        return self.aligned.native_ca

    @cached_property
    def model_ca(self) -> Positions:
        """[S, C, 3], superposed once more, onto the native's C-alphas."""
        return read_only(np.asarray(superpose(self.model[:, self.ca], self.native_ca), np.float32))

    @cached_property
    def replica_lengths(self) -> tuple[int, ...]:
        """Frames of each replica; ``md_ca`` has them one after the other."""
        return tuple(len(replica) for replica in self.reference.replicas)

    @cached_property
    def _draws(self) -> tuple[IndexArray, IndexArray, IndexArray]:
        frames, random = sum(self.replica_lengths), np.random.RandomState(_SEED)
        sizes = (len(self), len(self), _MANY)
        first, second, many = (read_only(random.randint(0, frames, size).astype(np.int64)) for size in sizes)
        return first, second, many

    @property
    def md_draw(self) -> IndexArray:
        """[S], frames of the reference drawn with replacement: MD's counterpart of the model's samples."""
        return self._draws[0]

    @property
    def md_draw_2(self) -> IndexArray:
        """[S], a second draw, for MD against itself."""
        return self._draws[1]

    @property
    def md_draw_1000(self) -> IndexArray:
        """[1000], the draw behind distributions a residue."""
        return self._draws[2]

    @cached_property
    def model_torsions(self) -> Positions:
        """[S, T], angles in radians of ``torsions`` in the model."""
        return read_only(torsion_angles(self.model_as_read, self.torsions.quartets))

    @property
    def md_ca(self) -> Positions:
        """[F, C, 3], C-alphas of all frames of the reference, superposed onto the native's C-alphas."""
        ca: Positions = self._trajectory["ca"]
        return ca

    @property
    def md_rmsf(self) -> FloatArray:
        """[N], root mean square fluctuation of the reference, all frames."""
        rmsf: FloatArray = self._trajectory["rmsf"]
        return rmsf

    @cached_property
    def md_components(self) -> tuple[FloatArray, FloatArray]:
        """Mean [3C] and the 20 (or fewer) leading principal axes [K, 3C] of ``md_ca``, flattened."""
        found = self.of_reference("components", 1, self._components)
        return read_only(found["mean"]), read_only(found["axes"])

    def md(self, draw: IndexArray) -> Positions:
        """Return frames [len(draw), N, 3] of the reference, superposed. ``draw`` holds their numbers."""
        return self.aligned.moved(self._numbered[draw])

    def md_as_read(self, draw: IndexArray) -> Positions:
        """Return frames [len(draw), M, 3] as read, with all atoms of the reference. ``draw`` holds their numbers."""
        return self.aligned.as_read(self._numbered[draw])

    def md_torsions(self, draw: IndexArray) -> Positions:
        """Return the angles [len(draw), T] in radians of ``torsions`` in frames of the reference, given their numbers.

        The torsions of all frames may not fit into memory: see ``counted_torsions``.
        """
        return self.aligned.torsions(self._numbered[draw])

    def counted_torsions(self, name: str, count: Callable[[Positions], Counts]) -> Counts:
        """Return what is counted in the torsions of all frames of the reference.

        Args:
            name: Name of the counts.
            count: Returns the counts of a block of torsions [K, T]. Those of two blocks add up to those of both.
        """
        return self.aligned.counted(name, self.reference.numbers, count)

    def of_reference(self, name: str, version: int, compute: Callable[[], Arrays]) -> Arrays:
        """Return arrays that depend on the reference only. They are cached if its trajectories are on disk.

        Args:
            name: Name of the arrays in the cache.
            version: Rises whenever ``compute`` changes.
            compute: Computes the arrays.
        """
        return compute() if self.identity is None else cached_arrays(f"{self.identity}|{name}|{version}", compute)

    def by_frame(
        self, name: str, atoms: Atoms, frames: Positions, compute: Callable[[Positions], npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        """Return what is computed frame by frame, once for all pairs of this reference that have a frame in common.

        Args:
            name: Name of the values.
            atoms: The atoms of ``frames``.
            frames: [F, N, 3], superposed.
            compute: Returns the values [K, ...] of frames [K, N, 3]. Those of a frame do not depend on the others.
        """
        return self.aligned.shared.rows(f"{name}|{atoms.digest()}", frames, compute)

    def _components(self) -> Arrays:
        mean, axes = principal_components(self.md_ca, _COMPONENTS)
        return {"mean": mean, "axes": axes}

    @cached_property
    def _numbered(self) -> IndexArray:
        return self.aligned.numbered(self.reference.numbers)

    @cached_property
    def _trajectory(self) -> Arrays:
        replicas = self.reference.numbers
        found = self.of_reference(
            "trajectory", 2, lambda: {"ca": self.aligned.ca(replicas), "rmsf": self.aligned.rmsf(replicas)}
        )
        return {name: read_only(array) for name, array in found.items()}

    def unavailable_reason(self, need: Need) -> NotAvailable | None:
        """None if the pair can support a metric with this need, else why not."""
        if need == "ca":
            return None
        residues = len(self.residue_index)
        if need == "backbone":
            missing = [name for name in _BACKBONE if len(self.atoms.select(name)) < residues]
            return NotAvailable(f"the model lacks backbone atoms: {', '.join(missing)}") if missing else None
        if need == "energy" and self.energy_protocol is None:
            return NotAvailable("no energy protocol was named")
        if need == "energy" and residues < len(self.reference.target.sequence):
            return NotAvailable("the model lacks residues")
        expected = np.isin(self.reference.target.atoms.residue, self.residue_index).sum()
        if len(self.atoms) < _LEAST_HEAVY * expected:
            return NotAvailable(f"the model lacks side chains: it has {len(self.atoms)} of {expected} heavy atoms")
        return None


def make_pair(
    ensemble: Ensemble,
    reference: Reference,
    *,
    protocol: str = "corrected",
    energy_protocol: str | None = None,
    aligned: SuperposedReference | None = None,
) -> Pair:
    """Matches a model's ensemble with its reference and superposes both.

    The replicas from which the ensemble was taken (``ensemble.held_out``) are dropped from the reference, and so are
    conformations of weight zero from the model. Copies of conformations are counted and kept. ``aligned``
    is another pair's of the same reference: if it has the same atoms, frames are read and superposed once for both.

    Raises:
        InputError: the ensemble is of another sequence, or of no use: fewer than two frames, NaN, nanometres, mirrored,
            torn by a periodic boundary, or shifted against its sequence.
    """
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if protocol == "symmetric":
        reference = named_reference(reference)
    who = ensemble.target
    weighed = slice(None) if ensemble.weights is None else np.flatnonzero(ensemble.weights)
    weights = None if ensemble.weights is None else _equal_as_none(ensemble.weights[weighed])
    frames = ensemble.positions[weighed]
    if len(frames) < 2:
        raise InputError(
            f"{who}: {len(frames)} frame{'s' * (len(frames) != 1)}; an ensemble has two or more (a single "
            "structure may be given twice)",
            code="ensemble.frames",
        )
    if short := [number for number, one in zip(reference.numbers, reference.replicas, strict=True) if len(one) < 2]:
        raise InputError(
            f"the reference of {who}: replica {short[0]} has fewer than two frames; leave it out, or give a longer one",
            code="reference.too-short",
            target=who,
        )
    try:
        counted = reference.without(ensemble.held_out)
        found = match(ensemble.atoms, reference.target.atoms)
    except (InputError, ValueError) as error:
        told = (error.code, error.named) if isinstance(error, InputError) else ("pair.reference", {})
        raise InputError(f"{who}: {error}", code=told[0], **told[1]) from error
    complete = canonical(reference.target.atoms)
    place, residue = np.unique(complete.residue[found.reference], return_inverse=True)
    atoms = Atoms(complete.name[found.reference], complete.residue_name[found.reference], residue)
    positions = frames[:, found.model].astype(np.float32)
    native = reference.target.native[found.reference].astype(np.float32)
    of_native = f"the reference of {who}: native structure"
    validation.validate(of_native, atoms, place, native[None])
    validation.validate_chirality(of_native, atoms, native[None], native)
    validation.validate(who, atoms, place, positions)
    validation.validate_chirality(who, atoms, positions, native)
    validation.validate_register(who, atoms, place, positions, native)
    if protocol == "symmetric":
        positions = name_as(positions, native, equivalent_atoms(atoms))
    native = np.asarray(native - native.mean(0, dtype=np.float64), np.float32)
    torsions = torsion_table(atoms, place)
    if aligned is None or not np.array_equal(aligned.atoms, found.reference):
        aligned = SuperposedReference(reference, found.reference, native, atoms.select("CA"), torsions.quartets)
    model = np.asarray(superpose(positions, native), np.float32)
    return Pair(
        target=who,
        atoms=atoms,
        residue_index=place,
        native=native,
        model=model,
        model_as_read=positions,
        reference=counted,
        aligned=aligned,
        in_reference=found.reference,
        model_order=np.argsort(found.model, kind="stable"),
        coverage=found.coverage,
        protocol=protocol,
        energy_protocol=energy_protocol,
        identity=_identity(ensemble, len(frames), counted, found.reference),
        torsions=torsions,
        weights=weights,
        duplicates=validation.count_duplicates(model, native),
    )


def _equal_as_none(weights: FloatArray) -> FloatArray | None:
    """Return weights of sum 1, or None if they are equal: metrics then take the arithmetic of equal weights."""
    return None if (weights == weights[0]).all() else weights


def _identity(ensemble: Ensemble, samples: int, reference: Reference, in_reference: IndexArray) -> str | None:
    """None for what is soon computed, and for the floor's pairs, whose result is kept."""
    if ensemble.held_out or all(isinstance(replica, np.ndarray) for replica in reference.replicas):
        return None
    atoms = hashlib.sha256(in_reference.tobytes()).hexdigest()
    return f"{reference_digest(reference)}|{atoms}|{samples}"
