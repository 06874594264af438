"""What scoring says of one target: a Record. Written as JSON whose bytes depend on the numbers only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ebabench.scoring.spec import NotAvailable, Value


@dataclass(frozen=True)
class MetricValues:
    """What the metrics say of one ensemble.

    ``values``: one number a key; NaN where the definition leaves it undefined (an empty union, say).
    ``profiles``: one number an atom or residue, in single precision. ``reasons``: why a key has neither.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    profiles: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(computed: Mapping[str, Value]) -> MetricValues:
        """Figures from what a metric computed. An infinite number counts as not available."""
        values: dict[str, float] = {}
        profiles: dict[str, tuple[float, ...]] = {}
        reasons: dict[str, str] = {}
        for key, value in computed.items():
            if isinstance(value, NotAvailable):
                reasons[key] = value.reason
            elif np.isinf(value).any():
                reasons[key] = "the computation gave an infinite number"
            elif np.ndim(value) == 0:
                values[key] = float(value)
            else:
                profiles[key] = tuple(float(str(x)) for x in np.ravel(value).astype(np.float32))
        return MetricValues(values, profiles, reasons)

    def joined(self, other: MetricValues) -> MetricValues:
        """Both together; ``other`` wins where both have a key."""
        return MetricValues(
            {**self.values, **other.values}, {**self.profiles, **other.profiles}, {**self.reasons, **other.reasons}
        )

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """The value (as one number) or the profile of ``key``, NaN where undefined; None if it is not available."""
        if key in self.values:
            return (self.values[key],)
        return self.profiles.get(key)


@dataclass(frozen=True)
class Record:
    """One target of one run.

    ``floor``: the same figures for each replica of the reference as the model, against the other replicas, at the
    model's number of samples. ``error``: why the target failed; it then has no figures. ``coverage``: the fraction
    of the reference's heavy atoms that the model's ensemble has.
    """

    target: str
    sequence: str
    tier: str
    n_samples: int
    n_reference_frames: int
    coverage: float
    metric_versions: Mapping[str, int]
    figures: MetricValues = field(default_factory=MetricValues)
    floor: tuple[MetricValues, ...] = ()
    random_weights: bool = False
    error: str | None = None

    def to_json(self) -> str:
        """Sorted keys, shortest exact representation of every number, NaN as null."""
        return json.dumps(_null(asdict(self)), sort_keys=True, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str) -> Record:
        """The record that was written. Raises ValueError (json's, or one that names a field) if it is not one."""
        data = json.loads(text)
        try:
            figures = figures_from(data.pop("figures"))
            floor = tuple(figures_from(item) for item in data.pop("floor"))
            return Record(**{**data, "coverage": _number(data["coverage"])}, figures=figures, floor=floor)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a record: {error}") from error


def figures_to(figures: MetricValues) -> dict[str, Any]:
    """Plain data for JSON, NaN as None."""
    plain = _null(asdict(figures))
    assert isinstance(plain, dict)
    return plain


def figures_from(data: Mapping[str, Any]) -> MetricValues:
    """Figures from plain data."""
    return MetricValues(
        {key: _number(value) for key, value in data["values"].items()},
        {key: tuple(_number(value) for value in profile) for key, profile in data["profiles"].items()},
        dict(data["reasons"]),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _null(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _null(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_null(value) for value in data]
    return None if isinstance(data, float) and math.isnan(data) else data
