"""The cost of a run and of MD: what the manifest says of every target, and the means that a leaderboard shows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter

from ebabench.datasets.md_speed import MdSpeed
from ebabench.generators.cost import Cost

_T = TypeVar("_T")


@dataclass(frozen=True)
class RunCost:
    """The cost of a run on the machine that made it.

    Attributes:
        seconds_per_sample: Wall time per conformation, mean over all conformations.
        processor_seconds_per_sample: Processor time per conformation; None if it is not known of every target.
        device: Names of the devices, separated by "; ".
        peak_memory_mib: The largest peak of a target; None if it is not known.
        peak_device_memory_mib: The same, on the GPU.
        parameters: Number of parameters of the model; None if it does not say.
        targets: How many targets were measured.
    """

    seconds_per_sample: float
    processor_seconds_per_sample: float | None
    device: str
    peak_memory_mib: float | None
    peak_device_memory_mib: float | None
    parameters: int | None
    targets: int


@dataclass(frozen=True)
class MdCost:
    """The cost of the suite's MD on the machine of a run.

    Attributes:
        md_seconds_per_ns: Processor time of one nanosecond on one core, mean over targets.
        md_device: Names of the processors, separated by "; ".
    """

    md_seconds_per_ns: float
    md_device: str


def costs_from(plain: Mapping[str, Any]) -> dict[str, Cost]:
    """Return costs by target from plain data. What is none, as another version may write it, is left out."""
    return _read(Cost, plain)


def speeds_from(plain: Mapping[str, Any]) -> dict[str, MdSpeed]:
    """Return speeds of MD by target from plain data. What is none is left out."""
    return _read(MdSpeed, plain)


def _read(kind: type[_T], plain: Mapping[str, Any]) -> dict[str, _T]:
    adapter, found = TypeAdapter(kind), {}
    for target, data in plain.items():
        with suppress(ValueError):
            read = adapter.validate_python(data)
            if all(value >= 0 for value in vars(read).values() if isinstance(value, int | float)):  # NaN is not
                found[target] = read
    return found


def md_cost(speeds: Mapping[str, MdSpeed]) -> MdCost | None:
    """Return the cost of a nanosecond of a suite's MD; None if the speed of no target is known.

    Args:
        speeds: By target.
    """
    if not speeds:
        return None
    mean = sum(speed.seconds_per_ns for speed in speeds.values()) / len(speeds)
    return MdCost(mean, "; ".join(sorted({speed.device for speed in speeds.values()})))


def run_cost(costs: Mapping[str, Cost]) -> RunCost | None:
    """Return the cost of a run from those of its targets; None without any.

    Args:
        costs: By target.
    """
    known = list(costs.values())
    samples = sum(cost.samples for cost in known)
    if not samples:
        return None
    processor = [cost.processor_seconds for cost in known if cost.processor_seconds is not None]
    memory = [cost.peak_memory_mib for cost in known if cost.peak_memory_mib is not None]
    on_device = [cost.peak_device_memory_mib for cost in known if cost.peak_device_memory_mib is not None]
    return RunCost(
        seconds_per_sample=sum(cost.seconds for cost in known) / samples,
        processor_seconds_per_sample=sum(processor) / samples if len(processor) == len(known) else None,
        device="; ".join(sorted({cost.device for cost in known})),
        peak_memory_mib=max(memory, default=None),
        peak_device_memory_mib=max(on_device, default=None),
        parameters=next((cost.parameters for cost in known if cost.parameters is not None), None),
        targets=len(known),
    )
