"""Whether a model can run on this machine, and what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from ebabench.generators import environments
from ebabench.generators.cards import Card
from ebabench.generators.checkpoints import Checkpoint


@dataclass(frozen=True)
class Readiness:
    """What a model has and lacks on this machine.

    Attributes:
        installed: Whether its environment exists.
        lacking: The checkpoints that are not downloaded.
        by_hand: Whether its user runs its code, and ebabench only converts and scores.
        on_disk: Size of its environment and checkpoints on this machine, in bytes.
    """

    installed: bool
    lacking: tuple[Checkpoint, ...]
    by_hand: bool
    on_disk: int

    @property
    def to_fetch(self) -> int | None:
        """Size of the lacking checkpoints in bytes; None if the card does not say."""
        sizes = [checkpoint.size for checkpoint in self.lacking]
        return None if None in sizes else sum(size for size in sizes if size)

    @property
    def ready(self) -> bool:
        """Whether ``ebabench run`` can start the model."""
        return self.installed and not self.lacking and not self.by_hand

    def __str__(self) -> str:
        if self.by_hand:
            return "run by you"
        needs = ["install"] * (not self.installed) + ["weights"] * bool(self.lacking)
        return f"needs {' and '.join(needs)}" if needs else "ready"

    @property
    def size(self) -> str:
        """The size on disk and the size to download, for readers."""
        here = f"{readable(self.on_disk)} here" if self.on_disk else ""
        fetch = f"{readable(self.to_fetch)} to fetch" if self.to_fetch is not None else "to fetch: size unknown"
        return ", ".join(text for text in (here, fetch if self.lacking and not self.by_hand else "") if text)


def readiness(card: Card) -> Readiness:
    """Return what a model has and lacks. No code is loaded."""
    kind = card.environment.kind
    environment = environments.size(card)
    lacking = tuple(card.files.missing())
    kept = [card.files.place(checkpoint) for checkpoint in card.checkpoints if checkpoint not in lacking]
    on_disk = (environment or 0) + sum(path.stat().st_size for path in kept)
    return Readiness(environment is not None, lacking, kind == "ensembles", on_disk)


def readable(size: int | None) -> str:
    """Return a size in bytes as text.

    Example:
        >>> readable(1_500_000_000)
        '1.5 GB'
    """
    if size is None:
        return "size unknown"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"
