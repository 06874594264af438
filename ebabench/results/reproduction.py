"""Compare a record with the same target scored again, on this or another machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.spec import MetricSpec

_RELATIVE, _ABSOLUTE = 1e-4, 1e-5
_ENERGY = 0.02
"""Energies agree between machines to about the third digit: a minimisation amplifies rounding."""
_PERCENT = 1.0
"""A conformation at the limit of being preparable moves ``energy_failed_percent`` by less than this."""


def differences(there: Record, here: Record, specs: Sequence[MetricSpec]) -> Iterator[str]:
    """Yield what a recomputed record has otherwise, beyond the rounding of another machine.

    Values may differ by a relative 1e-4, and those that need energies by 2 %.

    Args:
        there: The record.
        here: The recomputed record.
        specs: The metrics to compare.
    """
    if here.error is not None:
        yield f"cannot be scored: {here.error}"
        return
    for name in ("sequence", "tier", "n_samples", "n_reference_frames", "missing_residues"):
        if getattr(there, name) != getattr(here, name):
            yield f"{name} is {getattr(there, name)}, recomputed {getattr(here, name)}"
    yield from _other_values("", there.figures, here.figures, specs)
    if len(there.floor) != len(here.floor):
        yield f"a floor of {len(there.floor)} replicas, recomputed {len(here.floor)}"
    for number, (one, other) in enumerate(zip(there.floor, here.floor, strict=False), start=1):
        yield from _other_values(f"floor of replica {number}: ", one, other, specs)


def _other_values(where: str, there: MetricValues, here: MetricValues, specs: Sequence[MetricSpec]) -> Iterator[str]:
    for spec in specs:
        one, other = there.numbers(spec.key), here.numbers(spec.key)
        if not _same(spec, one, other):
            yield f"{where}{spec.key} is {_told(one)}, recomputed {_told(other)}"


def _same(spec: MetricSpec, one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return len(one) == len(other) and all(_close(spec, a, b) for a, b in zip(one, other, strict=True))


def _close(spec: MetricSpec, one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if spec.needs == "energy":
        return math.isclose(one, other, rel_tol=_ENERGY, abs_tol=_PERCENT if spec.unit == "%" else _ENERGY)
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _told(numbers: Sequence[float] | None) -> str:
    if numbers is None:
        return "not available"
    return f"{numbers[0]:.6g}" if len(numbers) == 1 else f"a profile of {len(numbers)} values"
