"""What the alignment loop asks of a diffusion model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from ebabench.structures import Target
from ebabench.structures.arrays import Positions
from ebabench.training.process import Process

Condition = Mapping[str, Tensor]


@dataclass(frozen=True)
class Prepared:
    """Conformations of one target in the denoiser's own coordinates.

    coordinates [F, L, C], where L counts residues, or atoms of a denoiser that works on atoms. Each tensor of
    ``condition`` has a leading axis of alternatives, of which the first is what sampling uses; the others (conditioned
    on another frame as the native, say) are drawn in training. ``places`` [residues, 3]: C-alphas of the native in
    angstrom; whoever wants crops, or has not one row of coordinates a residue, must give them.
    """

    target: str
    coordinates: Tensor
    condition: Condition
    places: Tensor | None = None

    @property
    def residues(self) -> int:
        """Number of residues."""
        return self.coordinates.shape[1] if self.places is None else len(self.places)


class Denoiser(Protocol):
    """A diffusion or flow model of conformations, as training and alignment see it."""

    process: Process
    network: nn.Module

    def prepare(self, target: Target, positions: Positions) -> Prepared:
        """Encodes positions [F, N, 3] (angstrom, over target.atoms)."""
        ...

    def loss(self, coordinates: Tensor, condition: Condition, sigma: Tensor, noise: Tensor) -> Tensor:
        """Residues' shares [B, residues] in the denoising loss; a model that cannot tell them apart gives [B, 1].

        Summed over residues they are the weighted loss of coordinates [B, L, C] under noise levels [B] and unit noise
        [B, L, C].
        ``condition`` has B / R rows, each for R consecutive coordinates: what is computed from it is computed once for
        all conformations and noise draws of a target. `spread` repeats them for those who have nothing to save.
        """
        ...

    def crop(self, coordinates: Tensor, condition: Condition, residues: Tensor) -> tuple[Tensor, Condition]:
        """Coordinates [K, L, C] and condition (of one alternative, without the leading axis) of some residues.

        Crops of equally many residues must have equal shapes: they share a batch.
        """
        ...

    def freeze(self) -> None:
        """Fixes the trunk (``requires_grad``); from now on `prepare` gives its embeddings as the condition."""
        ...

    def adopt_geometry(self, data: Iterable[tuple[Target, Positions]]) -> None:
        """Measures whatever ideal geometry the model builds its atoms with from the training conformations."""
        ...

    def save(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Writes weights and provenance as one safetensors file."""
        ...


def spread(condition: Condition, count: int) -> Condition:
    """The condition with each row repeated so that there are ``count``."""
    return {name: value.repeat_interleave(count // len(value), 0) for name, value in condition.items()}
