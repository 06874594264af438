"""Molecular dynamics itself as a model: replica 1, judged against the others. The floor of every table."""

from collections.abc import Callable

import numpy as np

from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Reference, Target


class MdReplica:
    """Evenly spaced frames of one replica of the reference, which must then not be scored against it."""

    def __init__(self, replica: int, reference: Callable[[str], Reference]) -> None:
        self.replica = replica
        self.reference = reference

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """``samples`` frames from first to last; ``seed`` has no part in it. Raises InputError if there are too few."""
        del seed
        reference = self.reference(target.name)
        if self.replica not in reference.numbers:
            raise InputError(f"{target.name}: the reference has no replica {self.replica}")
        frames = reference.replicas[reference.numbers.index(self.replica)]
        if len(frames) < samples:
            raise InputError(
                f"{target.name}: replica {self.replica} has {len(frames)} frames, {samples} were asked for"
            )
        chosen = np.linspace(0, len(frames) - 1, samples).round().astype(int)
        return Ensemble(target.name, reference.target.atoms, frames[chosen], held_out=(self.replica,))


def build(card: Card, resources: Resources) -> Generator:
    """The generator of the card ``md-replica``."""
    return MdReplica(int(card.sampling["replica"]), resources.reference)
