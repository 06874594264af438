"""What a generator is, for those who write one. Nothing here runs anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from ebabench.structures import Ensemble, Reference, Target

Provides = Literal["heavy", "backbone", "ca"]


class Generator(Protocol):
    """Samples conformations. Must be a pure function of its arguments and the card: same seed, same ensemble."""

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Exactly ``samples`` conformations of ``target``, in angstrom."""
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A generator whose work may be ended from another thread, for good."""

    def stop(self) -> None:
        """Ends it; ``sample`` raises."""
        ...


@dataclass(frozen=True)
class Resources:
    """What a generator may use.

    ``device``: "cpu", "cuda", "cuda:1". ``reference`` reads a target's molecular dynamics: for the baselines that are
    MD. ``batch_size``: conformations computed at once, in place of the card's. ``logs``: where a worker's output is
    kept. ``random_weights``: do without the checkpoints, to test the plumbing.
    """

    device: str
    reference: Callable[[str], Reference]
    batch_size: int | None = None
    logs: Path | None = None
    random_weights: bool = False
