"""Training batches: K conformations of each of B targets, drawn from a generator's state alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebabench.errors import InputError
from ebabench.training.denoiser import Condition, Prepared

Crop = Callable[[Tensor, Condition, Tensor], tuple[Tensor, Condition]]


@dataclass(frozen=True)
class Example:
    """Conformations of one target with their energies [F], and those of residues [F, L], in kJ/mol, where needed."""

    prepared: Prepared
    energies: Tensor | None = None
    residue_energies: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """coordinates [B, K, L, C], energies [B, K] and [B, K, L], condition tensors [B, ...], residues [B], targets."""

    coordinates: Tensor
    energies: Tensor | None
    residue_energies: Tensor | None
    condition: Condition
    residues: Tensor
    targets: tuple[str, ...]

    def to(self, device: str) -> Batch:
        """The same on a device."""
        return Batch(
            self.coordinates.to(device),
            None if self.energies is None else self.energies.to(device),
            None if self.residue_energies is None else self.residue_energies.to(device),
            {name: value.to(device) for name, value in self.condition.items()},
            self.residues.to(device),
            self.targets,
        )


class Batches:
    """Draws batches of equal length, so that every residue of the training set is seen equally often.

    ``targets_for(L)`` says how many targets of L residues make a batch. Targets longer than ``crop`` residues (0: none
    is too long) are cut to that by ``cut``, which is `Denoiser.crop`. Raises InputError if no target has enough
    conformations.
    """

    def __init__(
        self,
        data: Sequence[Example],
        conformations: int,
        targets_for: Callable[[int], int],
        crop: int = 0,
        cut: Crop | None = None,
    ) -> None:
        self.conformations = conformations
        self.crop = crop
        self.cut = cut
        buckets: dict[tuple[int, int], list[Example]] = {}
        for example in data:
            prepared = example.prepared
            if len(prepared.coordinates) >= conformations:
                whole = prepared.residues, prepared.coordinates.shape[1]
                buckets.setdefault((crop, 0) if self._cropped(prepared) else whole, []).append(example)
        if not buckets:
            raise InputError(f"no target has the {conformations} conformations that the objective compares")
        self.buckets = [buckets[key] for key in sorted(buckets)]
        lengths = [length for length, _ in sorted(buckets)]
        self.sizes = [max(1, targets_for(length)) for length in lengths]
        self.weights = torch.tensor([float(n * len(b)) for n, b in zip(lengths, self.buckets, strict=True)])

    def _cropped(self, prepared: Prepared) -> bool:
        return 0 < self.crop < prepared.residues

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch, from the generator's state alone."""
        which = int(torch.multinomial(self.weights, 1, generator=generator))
        bucket, count = self.buckets[which], self.sizes[which]
        chosen = [bucket[k] for k in torch.randint(len(bucket), (count,), generator=generator).tolist()]
        picks = _distinct(torch.tensor([len(e.prepared.coordinates) for e in chosen]), self.conformations, generator)
        uniform = torch.rand(count, dtype=torch.float64, generator=generator).tolist()
        rows = [self._row(e.prepared, p, u, generator) for e, p, u in zip(chosen, picks, uniform, strict=True)]
        return Batch(
            torch.stack([coordinates for coordinates, _ in rows]),
            _stacked([e.energies for e in chosen], picks),
            _stacked([e.residue_energies for e in chosen], picks),
            {name: torch.stack([condition[name] for _, condition in rows]) for name in rows[0][1]},
            torch.tensor([min(e.prepared.residues, self.crop or e.prepared.residues) for e in chosen]),
            tuple(e.prepared.target for e in chosen),
        )

    def _row(
        self, prepared: Prepared, picks: Tensor, uniform: float, generator: torch.Generator
    ) -> tuple[Tensor, Condition]:
        """Coordinates [K, L, C] and the condition of one alternative, cut where they are too long."""
        alternatives = len(next(iter(prepared.condition.values())))
        coordinates = prepared.coordinates[picks]
        condition = {name: value[int(uniform * alternatives)] for name, value in prepared.condition.items()}
        if not self._cropped(prepared):
            return coordinates, condition
        if prepared.places is None or self.cut is None:
            raise InputError(f"{prepared.target}: this denoiser gives no places to crop by")
        return self.cut(coordinates, condition, residues_of_crop(prepared.places, self.crop, generator))


def residues_of_crop(places: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Ascending indices [size] of residues at ``places`` [L, 3].

    With even odds they are consecutive, or those nearest to a residue in space (the two crops of AlphaFold-Multimer,
    Evans et al. 2021, section 7.2, for a single chain).
    """
    spatial = bool(torch.rand(1, generator=generator) < 0.5)
    if not spatial:
        start = int(torch.randint(len(places) - size + 1, (1,), generator=generator))
        return torch.arange(start, start + size)
    centre = int(torch.randint(len(places), (1,), generator=generator))
    distance = (places - places[centre]).norm(dim=-1)
    nearest: Tensor = distance.topk(size, largest=False).indices.sort().values
    return nearest


def _distinct(frames: Tensor, conformations: int, generator: torch.Generator) -> Tensor:
    """Indices [B, conformations] that differ within a row, below ``frames`` [B]."""
    picks = torch.empty(len(frames), conformations, dtype=torch.long)
    again = torch.arange(len(frames))
    while len(again):
        uniform = torch.rand(len(again), conformations, dtype=torch.float64, generator=generator)
        picks[again] = (uniform * frames[again, None]).long()
        ordered = picks[again].sort(-1).values
        again = again[(ordered[:, 1:] == ordered[:, :-1]).any(-1)]
    return picks


def _stacked(values: Sequence[Tensor | None], picks: Tensor) -> Tensor | None:
    """The picked rows of every target, or none if any target has none."""
    given = [value[rows] for value, rows in zip(values, picks, strict=True) if value is not None]
    return torch.stack(given) if len(given) == len(values) else None
