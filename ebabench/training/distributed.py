"""The processes that train together, one per device."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from ebabench.errors import InputError


class ProcessGroup(Protocol):
    """Processes that share the work of every step. All run the same code. The process of rank 0 writes files."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """Number of processes."""
        ...

    @property
    def device(self) -> str:
        """Device of this process."""
        ...

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of the values of all processes, in each of them."""
        ...

    def wait(self) -> None:
        """Wait until all processes are here."""
        ...


@dataclass(frozen=True)
class Alone:
    """A single process."""

    device: str = "cpu"
    rank: int = 0
    size: int = 1

    def total(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def wait(self) -> None:
        """Return at once."""


class FabricTeam:
    """Processes that Lightning Fabric starts with the same command and connects (NCCL, or Gloo on CPUs)."""

    def __init__(self, device: str, size: int) -> None:
        from lightning_fabric import Fabric

        self._fabric = Fabric(accelerator=device, devices=size, strategy="ddp")
        self._fabric.launch()

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return self._fabric.global_rank

    @property
    def size(self) -> int:
        """Number of processes."""
        return self._fabric.world_size

    @property
    def device(self) -> str:
        """Device of this process."""
        return str(self._fabric.device)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        summed = self._fabric.all_reduce(values, reduce_op="sum")
        assert isinstance(summed, Tensor)
        return summed

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._fabric.barrier()


def assemble(device: str, size: int) -> ProcessGroup:
    """Return the processes that train, after ``check``.

    Args:
        device: ``cpu``, ``cuda``, or ``cuda:1`` for a single process.
        size: Number of processes.

    Raises:
        InputError: As ``check``.
    """
    check(device, size)
    return FabricTeam(device, size) if size > 1 else Alone(device)


def check(device: str, size: int) -> None:
    """Check that the devices exist, and that lightning-fabric is installed if there are several.

    Args:
        device: ``cpu``, ``cuda``, or ``cuda:1`` for a single process.
        size: Number of processes.

    Raises:
        InputError: A device does not exist (``device.unknown``, ``device.missing``), several processes are asked for
            one device (``device.one``), or lightning-fabric is missing (``package.missing``).
    """
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(
            f"--device {device}: no such kind of device; cpu, cuda or cuda:1, say", code="device.unknown", device=device
        ) from error
    if size > 1 and chosen.index is not None:
        raise InputError(
            f"--device {device}: name a kind, not one device, where there are several",
            code="device.one",
            device=device,
        )
    if size > 1 and find_spec("lightning_fabric") is None:
        raise InputError(
            "several devices need lightning-fabric: pip install ebabench[train]",
            code="package.missing",
            package="lightning-fabric",
        )
    if chosen.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise InputError(f"--device {device}: there is no CUDA device that works", code="device.missing", device=device)
    count = torch.cuda.device_count()
    if count < max(size, (chosen.index or 0) + 1):
        raise InputError(
            f"--device {device}, {size} of them: this machine has {count} CUDA devices",
            code="device.missing",
            device=device,
        )
