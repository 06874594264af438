"""MD itself as a model: one replica of the reference, scored against the others."""

from collections.abc import Callable

from ebabench.errors import InputError
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.structures import Ensemble, Reference, Target
from ebabench.structures.arrays import evenly_spaced


class MdReplica:
    """Returns frames of one replica of the reference. The replica is then left out of the reference."""

    def __init__(self, replica: int, reference: Callable[[str], Reference]) -> None:
        self.replica = replica
        self.reference = reference

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return evenly spaced frames, the first and last among them.

        Args:
            target: The molecule.
            samples: Number of frames.
            seed: Unused.

        Raises:
            InputError: The reference has no such replica (``replica.missing``) or too few frames
                (``replica.too_short``).
        """
        del seed
        reference = self.reference(target.name)
        if self.replica not in reference.numbers:
            raise InputError(
                f"{target.name}: the reference has no replica {self.replica}",
                code="replica.missing",
                replica=self.replica,
            )
        frames = reference.replicas[reference.numbers.index(self.replica)]
        if len(frames) < samples:
            raise InputError(
                f"{target.name}: replica {self.replica} has {len(frames)} frames, {samples} were asked for",
                code="replica.too_short",
                replica=self.replica,
            )
        chosen = evenly_spaced(len(frames), samples)
        return Ensemble(target.name, reference.target.atoms, frames[chosen], held_out=(self.replica,))


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of the card ``md-replica``."""
    return MdReplica(int(card.sampling["replica"]), resources.reference)
