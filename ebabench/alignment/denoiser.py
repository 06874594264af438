"""What the alignment loop asks of a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from ebabench.alignment.diffusion import Edm
from ebabench.structures import Positions, Target

Condition = Mapping[str, Tensor]


@dataclass(frozen=True)
class Prepared:
    """Conformations of one target in the denoiser's own coordinates.

    coordinates [F, L, C]. Each tensor of ``condition`` has a leading axis of alternatives, of which the first is what
    sampling uses; the others (conditioned on another frame as the native, say) are drawn in training.
    """

    target: str
    coordinates: Tensor
    condition: Condition

    @property
    def residues(self) -> int:
        """Number of residues L."""
        return self.coordinates.shape[1]


class Denoiser(Protocol):
    """A diffusion model of conformations, as training and alignment see it."""

    edm: Edm
    network: nn.Module

    def prepare(self, target: Target, positions: Positions) -> Prepared:
        """Encodes positions [F, N, 3] (angstrom, over target.atoms)."""
        ...

    def loss(self, coordinates: Tensor, condition: Condition, sigma: Tensor, noise: Tensor) -> Tensor:
        """Weighted denoising loss [B] of coordinates [B, L, C] under noise levels [B] and unit noise [B, L, C]."""
        ...

    def adopt_geometry(self, data: list[tuple[Target, Positions]]) -> None:
        """Measures whatever ideal geometry the model builds its atoms with from the training conformations."""
        ...

    def save(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Writes weights and provenance as one safetensors file."""
        ...
