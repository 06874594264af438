"""The processes that train together, one a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ebabench.errors import InputError


class Team(Protocol):
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
    """Processes that Lightning Fabric starts, by running the same command again, and connects (NCCL, or Gloo on CPUs).

    Raises InputError where lightning-fabric is not installed, or there are not as many devices.
    """

    def __init__(self, device: str, size: int) -> None:
        try:
            from lightning_fabric import Fabric
        except ImportError as error:
            raise InputError("several devices need lightning-fabric: pip install ebabench[train]") from error
        kind, _, chosen = device.partition(":")
        if chosen:
            raise InputError(f"--device {device}: name a kind, not one device, where there are several")
        if kind == "cuda" and torch.cuda.device_count() < size:
            raise InputError(f"--devices {size}: this machine has {torch.cuda.device_count()} CUDA devices")
        self._fabric = Fabric(accelerator=kind, devices=size, strategy="ddp")
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


def assemble(device: str, size: int) -> Team:
    """One process, or several. Raises InputError for a device that is not there."""
    if size > 1:
        return FabricTeam(device, size)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {device}: there is no CUDA device that works")
    return Alone(device)
