"""The compact model's four checkpoints as generators."""

from __future__ import annotations

from ebabench.cards import Card
from ebabench.contracts import Generator, Resources
from ebabench.structures import Ensemble, Target


class Compact:
    """Samples one checkpoint of the compact model. ``settings`` are `InternalDenoiser.sample`'s."""

    def __init__(self, card: Card, device: str) -> None:
        from ebabench.models.eba.denoiser import InternalDenoiser

        self.denoiser = InternalDenoiser.load(card.checkpoint("model"))
        self.device = device
        self.steps = int(card.sampling["steps"])
        self.noise_scale = float(card.sampling["noise_scale"])
        self.step_scale = float(card.sampling["step_scale"])

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """Conformations over the target's atoms. Raises ValueError for residues or atoms the model does not know."""
        positions = self.denoiser.sample(
            target,
            samples,
            seed,
            steps=self.steps,
            noise_scale=self.noise_scale,
            step_scale=self.step_scale,
            device=self.device,
        )
        return Ensemble(target.name, target.atoms, positions)


def build(card: Card, resources: Resources) -> Generator:
    """The generator of the cards ``pretrained``, ``sft``, ``eba-dpo`` and ``eba``."""
    return Compact(card, resources.device)
