"""Frozen suites, one TOML each. Rows of one suite id are comparable; any change makes a new id."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ebabench.cards import first_fault
from ebabench.datasets.references import read_reference
from ebabench.datasets.simulate import Simulation
from ebabench.errors import InputError, unknown
from ebabench.registry import Registry, folder, toml_files
from ebabench.structures import Reference

Torsions = tuple[tuple[int | float, int | float], ...]
_STARTS = {"helix": (-60.0, -45.0), "extended": (-120.0, 130.0)}
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class SimulationSettings:
    """How the references of a simulated suite are made."""

    temperature_k: float
    nanoseconds: float
    frame_ps: float
    replicas: int
    equilibration_ps: float = 100.0
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True)
class SuiteTarget:
    """One target. What is set here goes before the suite's own settings; ``start``: (phi, psi) in degrees a residue."""

    name: str
    sequence: str
    replicas: int | None = None
    nanoseconds: float | None = None
    frame_ps: float | None = None
    start: Literal["random", "helix", "extended"] | Torsions = "random"
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True)
class Suite:
    """What is asked of a model: targets, number of samples, seed; and how it is judged: tier, protocol, energy."""

    id: str
    title: str
    split: Literal["train", "val", "test"]
    family: str
    tier: str
    protocol: Literal["corrected", "alphaflow"]
    energy: str
    samples: int
    seed: int
    targets: tuple[SuiteTarget, ...]
    simulation: SimulationSettings | None = None
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    def target(self, name: str) -> SuiteTarget:
        """The target of that name. Raises InputError."""
        for target in self.targets:
            if target.name == name:
                return target
        raise unknown(f"target of {self.id}", name, [target.name for target in self.targets])

    def simulations(self, *names: str) -> list[Simulation]:
        """The simulations that make the suite's references, of all targets or of some. Raises InputError."""
        if self.simulation is None:
            raise InputError(f"the references of {self.id} are not simulated by ebabench")
        chosen = [self.target(name) for name in names] or self.targets
        return [
            simulation
            for index, target in enumerate(self.targets)
            if target in chosen
            for simulation in _replicas(target, self.simulation, self.seed + 10 * index)
        ]


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
        )
        for replica in range(1, (target.replicas or settings.replicas) + 1)
    ]


def _read(path: Path) -> Suite:
    try:
        suite = TypeAdapter(Suite).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot read the suite {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error
    if suite.id != path.stem:
        raise InputError(f"{path}: id: is {suite.id!r}, but the file is {path.name}")
    return suite


SUITES: Registry[Suite] = Registry(
    "suite",
    "ebabench.suites",
    lambda: toml_files("ebabench.suites"),
    lambda name, package: _read(folder(package) / f"{name}.toml"),
)


def load_suite(name: str) -> Suite:
    """The suite of that id, or the one at a path that ends in ``.toml``. Raises InputError."""
    return _read(Path(name)) if name.endswith(".toml") else SUITES.load(name)


def suite_ids() -> list[str]:
    """The ids of all suites."""
    return list(SUITES)


def reference_reader(suite: Suite, data: Path | None = None) -> Callable[[str], Reference]:
    """Reads the reference of a target of the suite, from ``data`` (ATLAS layout) or from what is embedded.

    The reader can be pickled. It raises InputError if the target is not the suite's, its files are missing or damaged,
    or they hold another sequence, or other replicas, than the suite says.
    """
    return partial(_read_reference, suite, data or folder("ebabench.datasets") / "peptides" / suite.id)


def _read_reference(suite: Suite, root: Path, name: str) -> Reference:
    sequence = suite.target(name).sequence
    reference = read_reference(root, name, suite.tier)
    if reference.target.sequence != sequence:
        raise InputError(f"{root / name}: holds {reference.target.sequence}, but {suite.id} says {sequence}")
    if suite.simulation is not None:
        found = {number: len(frames) for number, frames in zip(reference.numbers, reference.replicas, strict=True)}
        expected = {one.replica: one.frames for one in suite.simulations(name)}
        if found != expected:
            raise InputError(f"{root / name}: frames of each replica are {found}, but {suite.id} says {expected}")
    return reference
