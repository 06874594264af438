"""Frozen suites, one TOML each. Rows of one suite id are comparable; any change makes a new id."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, fields
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from ebabench.datasets.layout import ATLAS_FRAMES, ATLAS_NANOSECONDS, ATLAS_REPLICAS, replica_files
from ebabench.datasets.references import References
from ebabench.datasets.simulation import EXTENDED, FORCEFIELD, Simulation
from ebabench.errors import InputError, unknown
from ebabench.structures import ONE_TO_THREE, Reference, Target
from ebabench.system.fields import Name
from ebabench.system.files import entry
from ebabench.system.names import composed, folded
from ebabench.system.registry import Registry, folder, toml_files
from ebabench.system.schema import Text, first_fault, read_toml

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
_LETTERS = frozenset("ACDEFGHIKLMNPQRSTVWXY")


def _sequence(text: str) -> str:
    """Return a sequence. Raises ValueError, which says what is wrong with it."""
    if wrong := sorted(set(text) - _LETTERS):
        raise ValueError(f"{text!r} has {wrong[0]!r}: give one-letter codes of amino acids, in upper case")
    if not text:
        raise ValueError("is empty")
    return text


Sequence = Annotated[str, AfterValidator(_sequence)]
Torsions = tuple[tuple[int | float, int | float], ...]
_STARTS = {"helix": (-60.0, -45.0), "extended": EXTENDED}
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class SimulationSettings:
    """How the references of a simulated suite are made; ``forcefield``: OpenMM's files, solvent included."""

    temperature_k: Positive
    nanoseconds: Positive
    frame_ps: Positive
    replicas: Count
    equilibration_ps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 100.0
    forcefield: Annotated[tuple[Text, ...], Field(min_length=1)] = FORCEFIELD
    friction_per_ps: Positive = 1.0
    timestep_fs: Positive = 4.0
    hydrogen_mass_amu: Positive = 3.0
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True)
class SuiteTarget:
    """One target. What is set here goes before the suite's own settings; ``start``: (phi, psi) in degrees a residue.

    ``released``: when the structure became public, for those who ask whether a model can have seen it.
    """

    name: Name
    sequence: Sequence
    replicas: Count | None = None
    nanoseconds: Positive | None = None
    frame_ps: Positive | None = None
    start: Literal["random", "helix", "extended"] | Torsions = "random"
    released: date | None = field(default=None, repr=False)  # a fact, and no part of what a row means
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is asked of a model: targets, number of samples, seed; and how it is judged: tier, protocol, energy.

    ``tier``: the kind of reference (``datasets.layout.ATLAS_FRAMES`` has those of ATLAS). ``energy``: the energy
    protocol; without one, metrics of energy are not available. ``primary``: the few metrics by which two models are
    compared, one per family of metrics; they decide no figure and are no part of ``digest``. ``draft``: the references
    are still being made, and the suite may change under its id.
    """

    id: Name
    title: Text
    split: Literal["train", "val", "test"]
    family: Text
    tier: Name
    protocol: Literal["corrected", "alphaflow"]
    energy: str | None = None
    samples: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    targets: Annotated[tuple[SuiteTarget, ...], Field(min_length=1)]
    simulation: SimulationSettings | None = None
    primary: tuple[Text, ...] = ()
    draft: bool = False
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    def __post_init__(self) -> None:
        # Of names that differ in case alone, or in how an accent is coded, some file systems make one file.
        twice = [name for name, count in Counter(folded(target.name) for target in self.targets).items() if count > 1]
        if twice:
            raise ValueError(f"targets: {twice[0]} is listed more than once")

    def __repr__(self) -> str:
        return f"Suite({self.id!r}: {len(self.targets)} targets, {self.samples} samples each)"

    def digest(self) -> str:
        """Return the SHA-256 of all that decides the figures of a row, in hex; titles and dates are no part of it."""
        told = _told(self, "title", "split", "family", "primary") | {
            "targets": [_told(one, "released") for one in self.targets]
        }
        if self.simulation is not None:
            told["simulation"] = _told(self.simulation)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def target(self, name: str) -> SuiteTarget:
        """The target of that name. Raises InputError."""
        wanted = composed(name)
        for target in self.targets:
            if target.name == wanted:
                return target
        raise unknown(f"target of {self.id}", name, [target.name for target in self.targets])

    def reference(self, name: str, data: Path | None = None) -> Reference:
        """Return the reference of a target.

        Args:
            name: Name of the target.
            data: The folder of the references in the layout of ATLAS, if they are not embedded.

        Raises:
            InputError: There is no such target, or its reference cannot be read.

        Example:
            >>> reference = load_suite("peptides-v1").reference("KLED")
            >>> reference.target.sequence, len(reference.replicas)
            ('KLED', 3)
        """
        return reference_reader(self, data)(name)

    def frames(self, name: str) -> dict[int, int] | None:
        """Return the number of frames of each replica of the target ``name``; None if the suite does not say."""
        if self.simulation is not None:
            return {one.replica: one.frames for one in self.simulations(name)}
        if self.tier in ATLAS_FRAMES:
            return dict.fromkeys(ATLAS_REPLICAS, ATLAS_FRAMES[self.tier])
        return None

    def frame_ns(self, name: str) -> float | None:
        """Return the time between two frames of the target ``name``, in nanoseconds; None if it is not known."""
        if self.simulation is not None:
            return (self.target(name).frame_ps or self.simulation.frame_ps) / 1000
        if self.tier in ATLAS_FRAMES:
            return ATLAS_NANOSECONDS / (ATLAS_FRAMES[self.tier] - 1)
        return None

    def simulations(self, *names: str) -> list[Simulation]:
        """Return the simulations that make the references of the targets ``names``, or of all targets.

        Raises:
            InputError: the suite has no simulations, there is no such target, or a sequence cannot be simulated (code
                ``suite.sequence``): it has one residue, or a letter that is none of the twenty amino acids.
        """
        if self.simulation is None:
            raise InputError(f"the references of {self.id} are not simulated by ebabench")
        chosen = {name: self.target(name) for name in names} or {target.name: target for target in self.targets}
        for target in chosen.values():
            strange = sorted(set(target.sequence) - ONE_TO_THREE.keys())
            if strange or len(target.sequence) == 1:
                what = f"{', '.join(strange)} is no amino acid" if strange else "a chain has two residues at least"
                raise InputError(
                    f"{self.id}: {target.name} cannot be simulated, {target.sequence!r}: {what}",
                    code="suite.sequence",
                    target=target.name,
                )
        return [
            simulation
            for index, target in enumerate(self.targets)
            if target.name in chosen
            for simulation in _replicas(target, self.simulation, self.seed + 10 * index)
        ]


def _told(thing: Any, *besides: str) -> dict[str, Any]:
    """The fields that are not at their defaults, so that a new field changes no digest of what does not use it."""
    told = {one.name: getattr(thing, one.name) for one in fields(thing) if one.name not in besides}
    return {one.name: told[one.name] for one in fields(thing) if told.get(one.name, one.default) != one.default}


def _replicas(target: SuiteTarget, settings: SimulationSettings, seed: int) -> list[Simulation]:
    start = target.start
    if start in _STARTS:
        start = (_STARTS[start],) * len(target.sequence)
    return [
        Simulation(
            name=target.name,
            sequence=target.sequence,
            replica=replica,
            nanoseconds=target.nanoseconds or settings.nanoseconds,
            frame_ps=target.frame_ps or settings.frame_ps,
            temperature_k=settings.temperature_k,
            equilibration_ps=settings.equilibration_ps,
            seed=seed + replica,
            start=start,
            timestep_fs=settings.timestep_fs,
            hydrogen_mass_amu=settings.hydrogen_mass_amu,
            friction_per_ps=settings.friction_per_ps,
            forcefield=settings.forcefield,
        )
        for replica in range(1, (target.replicas or settings.replicas) + 1)
    ]


def _read(path: Path) -> Suite:
    try:
        suite = TypeAdapter(Suite).validate_python(read_toml(path))
    except OSError as error:
        raise InputError(f"cannot read the suite {path}: {error.strerror}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}", code="suite.field", file=path) from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}", code="suite.toml", file=path) from error
    if suite.id != path.stem:
        raise InputError(f"{path}: id: is {suite.id!r}, but the file is {path.name}")
    return suite


SUITES: Registry[Suite] = Registry(
    "suite",
    "ebabench.datasets.suites",
    lambda: toml_files("ebabench.datasets.suites"),
    lambda name, package: _read(folder(package) / f"{name}.toml"),
    Suite,
)


def load_suite(name: str) -> Suite:
    """Return a suite.

    Args:
        name: An id of ``ebabench.list_suites()``, or a path that ends in ``.toml``.

    Raises:
        InputError: There is no such suite, or the file is not one.

    Example:
        >>> load_suite("peptides-v1").samples
        250
    """
    return _read(Path(name)) if name.endswith(".toml") else SUITES.load(name)


def suite_ids() -> list[str]:
    """The ids of all suites."""
    return list(SUITES)


def reference_reader(suite: Suite, data: Path | None = None, *, required: bool = True) -> References:
    """Return the references of a suite: called with the name of a target, they give its Reference.

    The result can be pickled. It raises InputError if the target is not the suite's, its files are missing or damaged,
    or they hold another sequence, or other replicas, than the suite says.

    Args:
        suite: The suite.
        data: Its folder in the layout of ATLAS, or a folder with one of the suite's id in it; by default what is
            embedded.
        required: Whether references that are not embedded are refused here. Otherwise they are when one is read.

    Raises:
        InputError: The references are not embedded, and ``data`` is not given (``references.missing``).
    """
    if data is not None:
        own = data / suite.id
        root = own if own.is_dir() else data
    else:
        root = folder("ebabench.datasets") / "peptides" / suite.id
        if required and not root.is_dir():
            raise _not_shipped(suite)
    shipped = data is not None or root.is_dir()
    explain = partial(_explain, suite, root) if shipped else partial(_not_shipped, suite)
    names = [target.name for target in suite.targets]
    return References(root, names, suite.tier, partial(_check, suite, root), explain)


def references_made(suite: Suite, root: Path | None = None) -> int:
    """Return how many targets have references in ``root`` (the package, by default) that are as long as they should be.

    For a suite that ebabench simulates; by their provenance, without reading a trajectory.
    """
    root = root or folder("ebabench.datasets") / "peptides" / suite.id
    wanted: dict[str, set[str]] = {}
    for one in suite.simulations():
        wanted.setdefault(one.name, set()).add(one.digest())
    files = {name: entry(root, name) / "provenance.json" for name in wanted}
    return sum(
        wanted[name] <= {one.get("digest") for one in json.loads(file.read_text())}
        for name, file in files.items()
        if file.is_file()
    )


def _check(suite: Suite, root: Path, reference: Reference) -> None:
    name = reference.target.name
    check_sequence(suite, root, reference.target)
    found = {number: len(frames) for number, frames in zip(reference.numbers, reference.replicas, strict=True)}
    expected = suite.frames(name)
    if expected is not None and found != expected:
        raise InputError(
            f"{root / name}: frames of each replica are {found}, but {suite.id} says {expected}"
            + (" (its references are still being made)" if suite.draft else ""),
            code="reference.frames",
            target=name,
        )


def check_sequence(suite: Suite, root: Path, target: Target) -> None:
    """Raise InputError (``reference.sequence``) if a target on disk has another sequence than the suite says."""
    expected = suite.target(target.name).sequence
    if target.sequence != expected:
        raise InputError(
            f"{root / target.name}: holds {target.sequence}, but {suite.id} says {expected}",
            code="reference.sequence",
            target=target.name,
        )


def _explain(suite: Suite, root: Path, error: InputError) -> InputError:
    """The error of a missing reference, with what makes it, or how many of ATLAS are there."""
    name = str(error.named.get("target", ""))
    if suite.simulation is not None and error.code == "reference.missing":
        makes = f"`ebabench simulate --suite {suite.id} --target {name} --out {root}` makes it"
        return InputError(f"{error}; {makes}", code=error.code, **error.named)
    if suite.tier not in ATLAS_FRAMES or replica_files(root, name, suite.tier):
        return error
    here = sum(bool(replica_files(root, target.name, suite.tier)) for target in suite.targets)
    return InputError(
        f"{error}; {here} of {len(suite.targets)} chains are there (`{_fetch(suite)} --data {root}`)",
        code=error.code,
        **error.named,
    )


def _not_shipped(suite: Suite, error: InputError | None = None) -> InputError:
    """The error of a reference that is not embedded; ``error`` names the target."""
    filled = f" that `{_fetch(suite)}` has filled" if suite.tier in ATLAS_FRAMES else " in the ATLAS layout"
    filled += f" (`ebabench simulate --suite {suite.id}` makes them)" if suite.simulation else ""
    named = {"target": error.named["target"]} if error and "target" in error.named else {}
    return InputError(
        f"the references of {suite.id} are not shipped: give --data, a folder{filled}",
        code="references.missing",
        suite=suite.id,
        **named,
    )


def _fetch(suite: Suite) -> str:
    return f"ebabench fetch atlas --split {suite.split} --tier {suite.tier.removeprefix('atlas-')}"
