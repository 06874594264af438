"""What sampling costs on the machine at hand: time, memory, parameters.

A cost depends on the machine and the clock. It stands in a run's manifest and never in its identity or its records.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ebabench.generators.protocol import Footprint, Generator, Measured
from ebabench.system.devices import device_name

_MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """The cost of the conformations of one target.

    Attributes:
        samples: Number of conformations.
        seconds: Wall time of the whole call; of a worker, its start and the loading of weights included.
        processor_seconds: Processor time of this process and of the worker, all threads together; None where several
            devices work at once.
        device: Name of the GPU, or of the processor.
        peak_memory_mib: Peak resident memory in MiB of the process that samples; None if it is not known.
        peak_device_memory_mib: Peak memory in MiB that PyTorch allocated on the GPU; None without one.
        parameters: Number of parameters of the model; None if it does not say.
    """

    samples: int
    seconds: float
    processor_seconds: float | None
    device: str
    peak_memory_mib: float | None
    peak_device_memory_mib: float | None
    parameters: int | None


class Meter:
    """Measures one call of a generator, from when the meter is made until ``cost``.

    Args:
        generator: The generator.
        device: Where it works: "cpu", "cuda:1".
        alone: Whether nothing else works in this process meanwhile.
    """

    def __init__(self, generator: Generator, device: str, alone: bool) -> None:
        self._generator, self._device, self._alone = generator, device, alone
        self._memory = _reset_peak_memory()
        _reset_device_memory(device)
        self._wall, self._processor = time.perf_counter(), _processor_seconds()

    def cost(self, samples: int) -> Cost:
        """Return the cost since the meter was made.

        Args:
            samples: How many conformations were sampled.
        """
        seconds, processor = time.perf_counter() - self._wall, _processor_seconds() - self._processor
        own = self._generator.footprint() if isinstance(self._generator, Measured) else Footprint()
        memory = own.peak_memory_mib
        if memory is None and self._alone and self._memory:
            memory = _peak_memory()
        device_memory = own.peak_device_memory_mib
        return Cost(
            samples=samples,
            seconds=round(seconds, 4),
            processor_seconds=round(processor, 4) if self._alone else None,
            device=device_name(self._device),
            peak_memory_mib=None if memory is None else round(memory, 1),
            peak_device_memory_mib=_device_memory(self._device) if device_memory is None else round(device_memory, 1),
            parameters=own.parameters,
        )


def _processor_seconds() -> float:
    """Processor time of this process and of the children that ended."""
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system


def _reset_peak_memory() -> bool:
    """Set this process's peak memory to what it uses now; False where the system cannot."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _peak_memory() -> float | None:
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


def _reset_device_memory(device: str) -> None:
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        torch.cuda.reset_peak_memory_stats(device)


def _device_memory(device: str) -> float | None:
    torch = sys.modules.get("torch")
    if not device.startswith("cuda") or torch is None or not torch.cuda.is_initialized():
        return None
    return round(float(torch.cuda.max_memory_allocated(device)) / _MIB, 1)
