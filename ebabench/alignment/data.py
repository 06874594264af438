"""Training conformations: molecular dynamics of one or more suites, merged by target, with energies where needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.structures import Positions, Target
from ebabench.suites import Suite, load_suite, reference_reader


@dataclass(frozen=True)
class Conformations:
    """positions [F, N, 3] in angstrom over target.atoms; energies [F] in kJ/mol, or none."""

    target: Target
    positions: Positions
    energies: npt.NDArray[np.float64] | None = None


def load(suite_ids: Sequence[str], data: Path | None, stride: int) -> list[Conformations]:
    """Every ``stride``-th frame of every replica of every target.

    ``data/SUITE`` is in the ATLAS layout; without ``data`` the embedded references are read.

    A target that several suites share (at two temperatures, say) becomes one, its native that of the first suite.
    Raises InputError for a suite that is not for training, and what reading a reference raises.
    """
    merged: dict[str, Conformations] = {}
    for suite in map(load_suite, suite_ids):
        if suite.split != "train":
            raise InputError(f"{suite.id} is a {suite.split} suite: a model must not be trained on it")
        for target, positions in _read(suite, data and data / suite.id, stride):
            known = merged.get(target.name)
            if known is None:
                merged[target.name] = Conformations(target, positions)
            elif known.target.atoms.digest() != target.atoms.digest():
                raise InputError(f"{target.name} has other atoms in {suite.id} than in {suite_ids[0]}")
            else:
                merged[target.name] = Conformations(known.target, np.concatenate([known.positions, positions]))
    return list(merged.values())


def _read(suite: Suite, root: Path | None, stride: int) -> list[tuple[Target, Positions]]:
    read = reference_reader(suite, root)
    references = [read(target.name) for target in suite.targets]
    return [(r.target, np.concatenate([replica[::stride] for replica in r.replicas])) for r in references]


def with_energies(
    data: Sequence[Conformations], protocol: str, pool: Executor, on_target: Callable[[], None]
) -> list[Conformations]:
    """The same with energies under a named protocol; conformations that could not be prepared are left out."""
    from ebabench.physics.energy import potential_energies

    futures = [pool.submit(potential_energies, c.target.atoms, c.positions, protocol) for c in data]
    complete = []
    for conformations, future in zip(data, futures, strict=True):
        energies = future.result()
        kept = np.isfinite(energies)
        complete.append(Conformations(conformations.target, conformations.positions[kept], energies[kept]))
        on_target()
    return complete
