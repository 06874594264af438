"""The interface of a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from ebabench.structures import Ensemble, Reference, Target

Provides = Literal["heavy", "backbone", "ca"]


class Generator(Protocol):
    """Samples conformations. The result depends on the arguments and the card only: same seed, same ensemble."""

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return an ensemble of exactly ``samples`` conformations.

        Args:
            target: The molecule: name, sequence, atoms, native structure [N, 3] in angstrom.
            samples: Number of conformations.
            seed: Seed of all random numbers.

        Returns:
            Conformations [samples, atoms, 3] in angstrom, of all heavy atoms of the target (or of those that the card
            declares), in any order.
        """
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A generator that another thread can stop."""

    def stop(self) -> None:
        """Stop for good: ``sample`` raises."""
        ...


@dataclass(frozen=True)
class Footprint:
    """What only a generator knows of its cost.

    Attributes:
        parameters: Number of parameters of the model.
        peak_memory_mib: Peak resident memory of its last call in MiB, where it works in another process.
        peak_device_memory_mib: Peak memory of its last call on the GPU in MiB, where it works in another process.
    """

    parameters: int | None = None
    peak_memory_mib: float | None = None
    peak_device_memory_mib: float | None = None


@runtime_checkable
class Measured(Protocol):
    """A generator that says what it knows of its cost."""

    def footprint(self) -> Footprint:
        """Return what is known after a call of ``sample``."""
        ...


@dataclass(frozen=True)
class Resources:
    """What a generator may use.

    Attributes:
        device: "cpu", "cuda" or "cuda:1".
        reference: Reads the MD of a target by its name. Only baselines that are MD may call it.
        batch_size: Conformations to compute at once, in place of the card's.
        logs: The folder for a worker's output.
        random_weights: Whether to build the network without checkpoints, to test the plumbing.
    """

    device: str
    reference: Callable[[str], Reference]
    batch_size: int | None = None
    logs: Path | None = None
    random_weights: bool = False
