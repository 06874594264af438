"""Whether a model can be run here and now, and what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from ebabench.generators import environments
from ebabench.generators.cards import Card
from ebabench.generators.checkpoints import Checkpoint


@dataclass(frozen=True)
class Readiness:
    """What a model lacks. ``by_hand``: its code is run by its user, and ebabench only converts and scores.

    ``on_disk``: bytes of its environment and checkpoints that are here. ``to_fetch``: bytes of the checkpoints that are
    not; None if some card does not say.
    """

    installed: bool
    lacking: tuple[Checkpoint, ...]
    by_hand: bool
    on_disk: int

    @property
    def to_fetch(self) -> int | None:
        """Bytes of the checkpoints that are lacking; None where the card does not say."""
        sizes = [checkpoint.size for checkpoint in self.lacking]
        return None if None in sizes else sum(size for size in sizes if size)

    @property
    def ready(self) -> bool:
        """Whether ``ebabench run`` can start it."""
        return self.installed and not self.lacking and not self.by_hand

    def __str__(self) -> str:
        if self.by_hand:
            return "run by you"
        needs = ["install"] * (not self.installed) + ["weights"] * bool(self.lacking)
        return f"needs {' and '.join(needs)}" if needs else "ready"

    @property
    def size(self) -> str:
        """What is here, and what is to be fetched."""
        here = f"{readable(self.on_disk)} here" if self.on_disk else ""
        fetch = f"{readable(self.to_fetch)} to fetch" if self.to_fetch is not None else "to fetch: size unknown"
        return ", ".join(text for text in (here, fetch if self.lacking and not self.by_hand else "") if text)


def readiness(card: Card) -> Readiness:
    """Looks at the disk, and loads nothing."""
    kind = card.environment.kind
    environment = environments.size(card)
    lacking = tuple(card.files.missing())
    kept = [card.files.place(checkpoint) for checkpoint in card.checkpoints if checkpoint not in lacking]
    on_disk = (environment or 0) + sum(path.stat().st_size for path in kept)
    return Readiness(environment is not None, lacking, kind == "ensembles", on_disk)


def readable(size: int | None) -> str:
    """Bytes for a reader: ``1.5 GB``."""
    if size is None:
        return "size unknown"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"
