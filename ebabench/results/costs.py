"""The cost of a run: what its manifest says of every target, and the means that a leaderboard shows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from ebabench.generators.cost import Cost

_COST = TypeAdapter(Cost)


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


def costs_from(plain: Mapping[str, Any]) -> dict[str, Cost]:
    """Return costs by target from plain data. What is none, as another version may write it, is left out."""
    found = {}
    for target, data in plain.items():
        with suppress(ValueError):
            found[target] = _COST.validate_python(data)
    return found


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
