"""The compact model's four checkpoints as generators."""

from __future__ import annotations

from ebabench.generators.cards import Card
from ebabench.generators.protocol import Footprint, Generator, Resources
from ebabench.structures import Ensemble, Target
from ebabench.structures.arrays import Positions
from ebabench.system.batching import retry_with_smaller_batch

_RESIDUES = 4096  # at once, where the user does not say how many conformations


class Compact:
    """Samples one checkpoint of the compact model, in batches that fit into memory."""

    def __init__(self, card: Card, device: str, batch_size: int | None) -> None:
        from ebabench.models.eba.denoiser import InternalDenoiser
        from ebabench.training.sampler import CHURN

        self.denoiser = InternalDenoiser.load(card.checkpoint("model"))
        self.device = device
        self.batch_size = batch_size
        self.steps = int(card.sampling["steps"])
        self.noise_scale = float(card.sampling["noise_scale"])
        self.step_scale = float(card.sampling["step_scale"])
        self.churn = float(card.sampling.get("churn", CHURN))

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Return conformations of the target's atoms. Raises ValueError for an unknown residue or atom."""
        length = len(target.sequence)

        def draw(size: int) -> Positions:
            return self.denoiser.sample(
                target,
                samples,
                seed,
                steps=self.steps,
                noise_scale=self.noise_scale,
                step_scale=self.step_scale,
                churn=self.churn,
                batch_residues=size * length,
                device=self.device,
            )

        positions = retry_with_smaller_batch(min(samples, self.batch_size or max(1, _RESIDUES // length)), draw)
        return Ensemble(target.name, target.atoms, positions)

    def footprint(self) -> Footprint:
        """Return the number of parameters of the network."""
        return Footprint(parameters=sum(one.numel() for one in self.denoiser.network.parameters()))


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator of the cards ``pretrained``, ``sft``, ``eba-dpo`` and ``eba``."""
    return Compact(card, resources.device, resources.batch_size)
