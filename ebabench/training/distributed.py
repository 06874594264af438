"""The processes that train together, one a device."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from ebabench.errors import InputError


class ProcessGroup(Protocol):
    """Processes that share the work of every step. All run the same code; the one of rank 0 writes."""

    @property
    def rank(self) -> int:
        """Which of them this is, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    @property
    def device(self) -> str:
        """Where this one computes."""
        ...

    def total(self, values: Tensor) -> Tensor:
        """Sum of all processes' values, known to all."""
        ...

    def wait(self) -> None:
        """Until all are here."""
        ...


@dataclass(frozen=True)
class Alone:
    """A single process."""

    device: str = "cpu"
    rank: int = 0
    size: int = 1

    def total(self, values: Tensor) -> Tensor:
        """The values."""
        return values

    def wait(self) -> None:
        """No one is behind."""


class FabricTeam:
    """Processes that Lightning Fabric starts, each by the same command, and connects (NCCL, or Gloo on CPUs)."""

    def __init__(self, device: str, size: int) -> None:
        from lightning_fabric import Fabric

        self._fabric = Fabric(accelerator=device, devices=size, strategy="ddp")
        self._fabric.launch()

    @property
    def rank(self) -> int:
        """Of this process."""
        return self._fabric.global_rank

    @property
    def size(self) -> int:
        """Processes."""
        return self._fabric.world_size

    @property
    def device(self) -> str:
        """Of this process."""
        return str(self._fabric.device)

    def total(self, values: Tensor) -> Tensor:
        """Sum over all processes."""
        summed = self._fabric.all_reduce(values, reduce_op="sum")
        assert isinstance(summed, Tensor)
        return summed

    def wait(self) -> None:
        """Until all are here."""
        self._fabric.barrier()


def assemble(device: str, size: int) -> ProcessGroup:
    """One process, or several. Raises what `check` raises."""
    check(device, size)
    return FabricTeam(device, size) if size > 1 else Alone(device)


def check(device: str, size: int) -> None:
    """Raises InputError for devices that are not there, and where lightning-fabric is wanted and not installed."""
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"--device {device}: no such kind of device; cpu, cuda or cuda:1, say") from error
    if size > 1 and chosen.index is not None:
        raise InputError(f"--device {device}: name a kind, not one device, where there are several")
    if size > 1 and find_spec("lightning_fabric") is None:
        raise InputError("several devices need lightning-fabric: pip install ebabench[train]")
    if chosen.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise InputError(f"--device {device}: there is no CUDA device that works")
    count = torch.cuda.device_count()
    if count < max(size, (chosen.index or 0) + 1):
        raise InputError(f"--device {device}, {size} of them: this machine has {count} CUDA devices")
