"""What a metric says of itself (one column of the tables), and what it may return in place of a plain number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from ebabench.errors import InputError
from ebabench.structures.arrays import FloatArray

Better = Literal["lower", "higher", "reference"]
Need = Literal["ca", "backbone", "heavy", "energy"]
Aggregate = Literal["median", "mean", "pooled_median", "pearson", "pooled_pearson", "percent_above_half"]


@dataclass(frozen=True)
class NotAvailable:
    """The reason why a metric has no value for a pair."""

    reason: str


@dataclass(frozen=True)
class Approximation:
    """A number that is estimated from sub-samples, because the exact computation takes too long.

    Attributes:
        value: Mean over the sub-samples.
        standard_error: Standard error of that mean. It covers the choice of sub-samples only.
    """

    value: float
    standard_error: float


Value = float | FloatArray | Approximation | NotAvailable


@dataclass(frozen=True)
class MetricSpec:
    """The description of one column of the tables.

    Attributes:
        key: Name of the column.
        version: Rises whenever a number may change.
        title: What the number is, for a reader.
        unit: Unit of the number; empty for none.
        better: Where better lies. "reference" means that the value nearest to MD's own is best.
        aggregate: How the values of all targets become one number; None for a column that has no such number.
        needs: What a model must provide.
        paper: Source of the definition: "arXiv:..." or "doi:...".
        of: The per-target keys from which an aggregate over the suite is made, if these are not ``key`` alone. A spec
            with empty ``of`` is a number, or a profile (an array with one value per atom or residue), that the metric
            computes for each target.
        depends_on_samples: True if the expected value depends on the number of samples.
        reference_key: The per-target key of MD's own value, shown beside this one.
        default_view: The families of suites (``Suite.family``) in whose short table this metric stands.
        exact_up_to: The largest number of samples with an exact value. Above it, the value is an ``Approximation`` from
            sub-samples (``ebabench.metrics.transport``). None if the value is always exact.
        means: What the number is, in full, for the documentation and the page of the metric: plain text, in which only
            code and keys of metrics stand in backticks. Empty where the metric is MD's own value of another one.
        cannot_see: What the number does not tell, in the same form.

    Raises:
        InputError: A field has a value that it cannot have (``metric.spec``).
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
    default_view: tuple[str, ...] = ()
    exact_up_to: int | None = None
    means: str = ""
    cannot_see: str = ""

    def __post_init__(self) -> None:
        if fault := self._fault():
            raise InputError(f"the metric {self.key!r}: {fault}", code="metric.spec", key=self.key)

    def _fault(self) -> str:
        """What makes the spec unfit; empty if nothing does."""
        if not isinstance(self.key, str) or not _KEY.fullmatch(self.key):
            return "a key has letters, digits and _, and begins with a letter"
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            return f"version {self.version!r} is no whole number from 1"
        if self.aggregate is not None and self.aggregate not in get_args(Aggregate):
            return f"aggregate {self.aggregate!r} is none of {_listed(Aggregate)}, None"
        for field, value, kind in (("better", self.better, Better), ("needs", self.needs, Need)):
            if value not in get_args(kind):
                return f"{field} {value!r} is none of {_listed(kind)}"
        for field, keys in (("of", self.of), ("default_view", self.default_view)):
            if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
                return f"{field} {keys!r} is no tuple of names"
        return ""


_KEY = re.compile(r"[A-Za-z]\w*", re.ASCII)


def _listed(kind: object) -> str:
    return ", ".join(get_args(kind))


def default_view(specs: Iterable[MetricSpec], family: str) -> tuple[MetricSpec, ...]:
    """Return the specs of the short table of a family of suites; all specs if the family has no short table."""
    given = tuple(specs)
    return tuple(spec for spec in given if family in spec.default_view) or given
