"""What a metric says of itself: one column of the tables, and a value or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ebabench.structures.arrays import FloatArray

Better = Literal["lower", "higher", "reference"]
Need = Literal["ca", "backbone", "heavy", "energy"]
Aggregate = Literal["median", "mean", "pooled_median", "pearson", "pooled_pearson", "percent_above_half"]


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
