"""The result of scoring one target: a Record. Its JSON bytes depend on the numbers only."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from ebabench.errors import RunError
from ebabench.scoring.spec import Approximation, NotAvailable, Value
from ebabench.system.names import shortened
from ebabench.system.schema import first_fault, parse_json


def _number(value: Any) -> Any:
    return math.nan if value is None else value


Number = Annotated[float, BeforeValidator(_number)]
"""A number; NaN is null in JSON."""
_STRICT = ConfigDict(extra="forbid")
_DIGEST = "sha256"


@dataclass(frozen=True)
class MetricValues:
    """The values of metrics for one ensemble.

    Attributes:
        values: One number per key; NaN where the definition leaves it undefined (an empty union, for example).
        profiles: One number per atom or residue, in single precision.
        reasons: Why a key has neither.
        standard_errors: Standard error of the values that are estimated from sub-samples.
    """

    values: Mapping[str, Number] = field(default_factory=dict)
    profiles: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    standard_errors: Mapping[str, Number] = field(default_factory=dict)
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    @staticmethod
    def of(computed: Mapping[str, Value]) -> MetricValues:
        """Return what a metric computed, sorted by kind. An infinite number counts as not available.

        Raises:
            RunError: A value is neither a real number nor an array of real numbers (``metric.value``).
        """
        values: dict[str, float] = {}
        profiles: dict[str, tuple[float, ...]] = {}
        reasons: dict[str, str] = {}
        errors: dict[str, float] = {}
        for key, given in computed.items():
            value = given
            if isinstance(value, Approximation):
                errors[key] = float(_real(key, value.standard_error))
                value = value.value
            if isinstance(value, NotAvailable):
                reasons[key] = value.reason
            elif np.isinf(numbers := _real(key, value)).any():
                reasons[key] = "the computation gave an infinite number"
            elif numbers.ndim == 0:
                values[key] = float(numbers)
            else:
                profiles[key] = tuple(float(str(x)) for x in np.ravel(numbers).astype(np.float32))
        known = {key: error for key, error in errors.items() if key in values and math.isfinite(error)}
        return MetricValues(values, profiles, reasons, known)

    def joined(self, other: MetricValues) -> MetricValues:
        """Return both together; ``other`` wins where both have a key."""
        return MetricValues(
            {**self.values, **other.values},
            {**self.profiles, **other.profiles},
            {**self.reasons, **other.reasons},
            {**self.standard_errors, **other.standard_errors},
        )

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """Return the value (as one number) or the profile of ``key``, NaN where undefined; None if not available."""
        if key in self.values:
            return (self.values[key],)
        return self.profiles.get(key)


def _real(key: str, value: object) -> np.ndarray[Any, Any]:
    try:
        numbers = np.asarray(value)
    except (TypeError, ValueError):
        numbers = np.empty(0, object)
    if numbers.dtype.kind not in "fiub":
        raise RunError(
            f"gave {shortened(repr(value), 40)} as {key}, which is no real number",
            code="metric.value",
            key=key,
        )
    return numbers


@dataclass(frozen=True)
class Record:
    """The result for one target of one run.

    Attributes:
        target: Name of the target.
        sequence: One-letter sequence of the target.
        tier: Kind of the reference.
        n_samples: Number of conformations of the model.
        n_reference_frames: Number of reference frames that the model is scored against.
        coverage: Fraction of the reference's heavy atoms that the model's ensemble has.
        metric_versions: Version of every metric, by key.
        figures: Values of the metrics.
        floor: The same values for each replica of the reference as the model, against the other replicas, at the
            model's number of samples.
        random_weights: True if the ensemble comes from an untrained network.
        error: Why the target failed; it then has no values.
        effective_samples: Kish's effective number of samples; NaN in records of earlier versions.
        duplicates: How many conformations are copies of another one.
        batch_size: Conformations that the model computed at once, where its samples depend on that; else None.
        inputs: SHA-256 of what was scored: ``ensemble`` (``Ensemble.digest``) and ``reference``
            (``reference_digest``). Empty in records of earlier versions, which cannot be traced.
        notes: What was changed on reading the model or the reference (a modified residue taken for its parent).
        missing_residues: How many C-alphas of the reference the model's ensemble lacks.
    """

    target: str
    sequence: str
    tier: str
    n_samples: int
    n_reference_frames: int
    coverage: Number
    metric_versions: Mapping[str, int]
    figures: MetricValues = field(default_factory=MetricValues)
    floor: tuple[MetricValues, ...] = ()
    random_weights: bool = False
    error: str | None = None
    effective_samples: Number = math.nan
    duplicates: int = 0
    batch_size: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing_residues: int = 0
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    def digest(self) -> str:
        """Return the SHA-256 of all that the record says, its inputs among it, in hex."""
        return _sealed(self._plain())

    def has(self, versions: Mapping[str, int]) -> bool:
        """Whether the target was scored with these metrics, in these versions, by a version that says of what."""
        known = all(self.metric_versions.get(key) == version for key, version in versions.items())
        return known and self.error is None and bool(self.inputs)

    def of_same_inputs(self, other: Record) -> bool:
        """Whether both records are of the same ensemble and reference, as far as both say."""
        names = ("ensemble", "reference")
        return bool(self.inputs) and all(self.inputs.get(name) == other.inputs.get(name) for name in names)

    def joined(self, other: Record) -> Record:
        """This record with the metrics of another one of the same ensemble and reference; ``other`` wins."""
        floor = zip(self.floor, other.floor, strict=True) if self.floor and other.floor else ()
        return replace(
            other,
            metric_versions={**self.metric_versions, **other.metric_versions},
            figures=self.figures.joined(other.figures),
            floor=tuple(ours.joined(theirs) for ours, theirs in floor) or other.floor or self.floor,
        )

    def to_json(self) -> str:
        """Return JSON text with sorted keys, exact short numbers, null for NaN, and ``digest()``."""
        plain = self._plain()
        return json.dumps(plain | {_DIGEST: _sealed(plain)}, sort_keys=True, allow_nan=False) + "\n"

    def _plain(self) -> dict[str, Any]:
        figures = {"figures": figures_to(self.figures), "floor": [figures_to(replica) for replica in self.floor]}
        others = {one.name: _null(getattr(self, one.name)) for one in fields(self) if one.name not in figures}
        for name in ("notes", "missing_residues"):  # which records of earlier versions lack
            if not others[name]:
                del others[name]
        return others | figures

    @staticmethod
    def from_json(text: str) -> Record:
        """Return the record that was written, by this or an earlier version.

        Raises:
            ValueError: It is no record, or it was changed since it was written.
        """
        data = parse_json(text)
        if not isinstance(data, dict):
            raise ValueError("not a record")
        digest = data.pop(_DIGEST, None)
        if digest is None and data.get("inputs"):
            raise ValueError(f"it has no {_DIGEST}")
        if digest is not None and digest != _sealed(data):
            raise ValueError(f"its {_DIGEST} is another: it was changed since it was written")
        try:
            return _RECORD.validate_python(data)
        except ValidationError as error:
            raise ValueError(f"not a record: {first_fault(error)}") from error


_RECORD = TypeAdapter(Record)


def figures_to(figures: MetricValues) -> dict[str, Any]:
    """Return plain data for JSON, with None for NaN. Standard errors are written if there are any."""
    plain = {one.name: _null(getattr(figures, one.name)) for one in fields(figures)}
    if not figures.standard_errors:
        del plain["standard_errors"]
    return plain


def figures_from(data: Mapping[str, Any]) -> MetricValues:
    """Figures from plain data. Raises ValueError for what is none."""
    return _FIGURES.validate_python(data)


_FIGURES = TypeAdapter(MetricValues)


def _sealed(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _null(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _null(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return [None if value != value else value for value in data]  # noqa: PLR0124  (NaN only)
    return None if isinstance(data, float) and math.isnan(data) else data
