"""What a generator and a metric are, for those who write one. Nothing here runs anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ebabench.structures import Ensemble, Reference, Target

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair

FloatArray = npt.NDArray[np.float64]
Better = Literal["lower", "higher", "reference"]
Need = Literal["ca", "backbone", "heavy", "energy"]
Provides = Literal["heavy", "backbone", "ca"]
Aggregate = Literal["median", "mean", "pooled_median", "pearson", "pooled_pearson", "percent_above_half"]


class Generator(Protocol):
    """Samples conformations. Must be a pure function of its arguments and the card: same seed, same ensemble."""

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Exactly ``samples`` conformations of ``target``, in angstrom."""
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A generator whose work may be ended from another thread, for good."""

    def stop(self) -> None:
        """Ends it; ``sample`` raises."""
        ...


@dataclass(frozen=True)
class Resources:
    """What a generator may use.

    ``device``: "cpu", "cuda", "cuda:1". ``reference`` reads a target's molecular dynamics: for the baselines that are
    MD. ``batch_size``: conformations computed at once, in place of the card's. ``logs``: where a worker's output is
    kept. ``random_weights``: do without the checkpoints, to test the plumbing.
    """

    device: str
    reference: Callable[[str], Reference]
    batch_size: int | None = None
    logs: Path | None = None
    random_weights: bool = False


@dataclass(frozen=True)
class NotAvailable:
    """In place of a number: why there is none."""

    reason: str


Value = float | FloatArray | NotAvailable


@dataclass(frozen=True)
class MetricSpec:
    """One column of the tables.

    A spec with empty ``of`` is a number (or a profile: an array, one value an atom) that the metric computes for each
    target. ``of`` names the per-target keys from which an aggregate over the suite is made, where that is not simply
    the key itself. ``better``: "reference" means that nearest to MD's own figure is best. ``version`` rises whenever
    a number may change.
    """

    key: str
    version: int
    title: str
    unit: str
    better: Better
    aggregate: Aggregate | None
    needs: Need
    paper: str
    of: tuple[str, ...] = ()
    depends_on_samples: bool = False
    reference_key: str | None = None
    """The per-target key that holds MD's own figure, shown beside this one."""


@dataclass(frozen=True)
class Metric:
    """A family of numbers computed together. ``compute`` gives every per-target key of ``specs`` for one pair."""

    name: str
    specs: tuple[MetricSpec, ...]
    compute: Callable[[Pair], Mapping[str, Value]]
