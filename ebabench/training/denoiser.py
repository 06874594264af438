"""The interface of a diffusion or flow model to the training loop."""

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
    """Conformations of one target in the denoiser's coordinates.

    Attributes:
        target: Name of the target.
        coordinates: [F, L, C]. L counts residues, or atoms if the denoiser works on atoms.
        condition: Tensors with a leading axis of alternatives. Sampling uses the first. Training draws one of them
            (another frame in place of the native, for instance).
        places: [residues, 3], C-alphas of the native in angstrom. They are required for crops, and if L does not count
            residues.
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
    """A diffusion or flow model of conformations."""

    process: Process
    network: nn.Module

    def prepare(self, target: Target, positions: Positions) -> Prepared:
        """Return positions [F, N, 3] (angstrom, over ``target.atoms``) in the denoiser's coordinates."""
        ...

    def loss(self, coordinates: Tensor, condition: Condition, level: Tensor, noise: Tensor) -> Tensor:
        """Return the shares [B, residues] of residues in the weighted denoising loss; [B, 1] if they are not separate.

        Args:
            coordinates: Clean coordinates [B, L, C].
            condition: Tensors with B / R rows. Each row serves R consecutive coordinates, so that what depends on it
                is computed once per target. ``spread`` repeats the rows.
            level: Noise levels [B] of the process (sigma for EDM, t for a flow).
            noise: Unit noise [B, L, C].
        """
        ...

    def crop(self, coordinates: Tensor, condition: Condition, residues: Tensor) -> tuple[Tensor, Condition]:
        """Return coordinates [K, L, C] and condition (one alternative, no leading axis) cropped to ``residues``.

        Sequence positions do not change. Crops of equally many residues have equal shapes, because they share a batch.
        """
        ...

    def freeze(self) -> None:
        """Freeze the trunk (``requires_grad``). ``prepare`` then returns its embeddings as the condition."""
        ...

    def adopt_geometry(self, data: Iterable[tuple[Target, Positions]]) -> None:
        """Measure the ideal bond lengths and angles of the model on the training conformations, if it has any."""
        ...

    def save(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Write weights and provenance as one safetensors file."""
        ...


def spread(condition: Condition, count: int) -> Condition:
    """Return the condition with each row repeated, so that it has ``count`` rows.

    Example:
        >>> import torch
        >>> spread({"x": torch.tensor([1, 2])}, 4)["x"].tolist()
        [1, 1, 2, 2]
    """
    return {name: value.repeat_interleave(count // len(value), 0) for name, value in condition.items()}
