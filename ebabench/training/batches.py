"""Draw training batches: K conformations of each of B targets. A batch depends on the generator's state only."""

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
    """Conformations of one target for training.

    Attributes:
        prepared: F conformations in the denoiser's coordinates.
        energies: [F] in kJ/mol, if the objective needs them.
        residue_energies: [F, L] in kJ/mol, if the objective needs them.
        log_density: [F], ln of the density with which a model sampled them, for residual energies.
        basins: [F], numbers of basins, if only conformations of one basin are compared.
    """

    prepared: Prepared
    energies: Tensor | None = None
    residue_energies: Tensor | None = None
    log_density: Tensor | None = None
    basins: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """K conformations of each of B targets.

    Attributes:
        coordinates: [B, K, L, C].
        energies: [B, K] in kJ/mol, or None.
        residue_energies: [B, K, L] in kJ/mol, or None.
        condition: Tensors [B, ...].
        residues: [B], numbers of residues.
        targets: B names.
        log_density: [B, K], or None.
    """

    coordinates: Tensor
    energies: Tensor | None
    residue_energies: Tensor | None
    condition: Condition
    residues: Tensor
    targets: tuple[str, ...]
    log_density: Tensor | None = None

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        return Batch(
            self.coordinates.to(device),
            None if self.energies is None else self.energies.to(device),
            None if self.residue_energies is None else self.residue_energies.to(device),
            {name: value.to(device) for name, value in self.condition.items()},
            self.residues.to(device),
            self.targets,
            None if self.log_density is None else self.log_density.to(device),
        )


class Batches:
    """Draws batches of targets of equal length. Every residue of the training set is equally probable.

    Args:
        data: The training set.
        conformations: K, the number of conformations per target.
        targets_for: Returns the number of targets of L residues in a batch.
        crop: Longer targets are cropped to so many residues; 0 crops none.
        cut: Crops coordinates and condition to given residues (``Denoiser.crop``).

    Raises:
        InputError: No target has K conformations (``training.few_conformations``).
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
            raise InputError(
                f"no target has the {conformations} conformations that the objective compares",
                code="training.few_conformations",
                conformations=conformations,
            )
        self.buckets = [buckets[key] for key in sorted(buckets)]
        lengths = [length for length, _ in sorted(buckets)]
        self.sizes = [max(1, targets_for(length)) for length in lengths]
        self.weights = torch.tensor([float(n * len(b)) for n, b in zip(lengths, self.buckets, strict=True)])

    def _cropped(self, prepared: Prepared) -> bool:
        return 0 < self.crop < prepared.residues

    def draw(self, generator: torch.Generator) -> Batch:
        """Return one batch, which depends on the generator's state only."""
        which = int(torch.multinomial(self.weights, 1, generator=generator))
        bucket, count = self.buckets[which], self.sizes[which]
        chosen = [bucket[k] for k in torch.randint(len(bucket), (count,), generator=generator).tolist()]
        picks = self._picks(chosen, generator)
        uniform = torch.rand(count, dtype=torch.float64, generator=generator).tolist()
        rows = [self._row(e.prepared, p, u, generator) for e, p, u in zip(chosen, picks, uniform, strict=True)]
        return Batch(
            torch.stack([coordinates for coordinates, _ in rows]),
            _stacked([e.energies for e in chosen], picks),
            _stacked([e.residue_energies for e in chosen], picks),
            {name: torch.stack([condition[name] for _, condition in rows]) for name in rows[0][1]},
            torch.tensor([min(e.prepared.residues, self.crop or e.prepared.residues) for e in chosen]),
            tuple(e.prepared.target for e in chosen),
            _stacked([e.log_density for e in chosen], picks),
        )

    def _picks(self, chosen: Sequence[Example], generator: torch.Generator) -> Tensor:
        """Return the indices [B, K] of the conformations that are compared."""
        basins = [example.basins for example in chosen if example.basins is not None]
        if basins:
            return torch.stack([_of_one_basin(one, self.conformations, generator) for one in basins])
        return _distinct(torch.tensor([len(e.prepared.coordinates) for e in chosen]), self.conformations, generator)

    def _row(
        self, prepared: Prepared, picks: Tensor, uniform: float, generator: torch.Generator
    ) -> tuple[Tensor, Condition]:
        """Return coordinates [K, L, C] and the condition of one alternative, cropped if they are too long."""
        alternatives = len(next(iter(prepared.condition.values())))
        coordinates = prepared.coordinates[picks]
        condition = {name: value[int(uniform * alternatives)] for name, value in prepared.condition.items()}
        if not self._cropped(prepared):
            return coordinates, condition
        if prepared.places is None or self.cut is None:
            raise InputError(
                f"{prepared.target}: this denoiser gives no places to crop by",
                code="training.no_crop",
                target=prepared.target,
            )
        return self.cut(coordinates, condition, residues_of_crop(prepared.places, self.crop, generator))


def residues_of_crop(places: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return the ascending indices [size] of the residues of a random crop.

    With equal probability the residues are consecutive, or nearest to one residue in space: the two crops of
    AlphaFold-Multimer (Evans et al. 2021, section 7.2) for a single chain.

    Args:
        places: Positions [L, 3] of the residues.
        size: Number of residues of the crop, at most L.
        generator: Source of random numbers.
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
    """Return indices [B, conformations] below ``frames`` [B] that differ within a row."""
    picks = torch.empty(len(frames), conformations, dtype=torch.long)
    again = torch.arange(len(frames))
    while len(again):
        uniform = torch.rand(len(again), conformations, dtype=torch.float64, generator=generator)
        picks[again] = (uniform * frames[again, None]).long()
        ordered = picks[again].sort(-1).values
        again = again[(ordered[:, 1:] == ordered[:, :-1]).any(-1)]
    return picks


def _of_one_basin(basins: Tensor, conformations: int, generator: torch.Generator) -> Tensor:
    """Return indices [conformations] of conformations of one basin.

    A basin is drawn as often as it has members, so that every conformation is equally probable. A basin with fewer
    gives each of them as often as another, or once more.
    """
    first = int(torch.randint(len(basins), (1,), generator=generator))
    members = torch.nonzero(basins == basins[first])[:, 0]
    rounds = -(-conformations // len(members))
    order = torch.cat([torch.randperm(len(members), generator=generator) for _ in range(rounds)])
    picks: Tensor = members[order[:conformations]]
    return picks


def _stacked(values: Sequence[Tensor | None], picks: Tensor) -> Tensor | None:
    """Return the picked rows of every target, or None if a target has no values."""
    given = [value[rows] for value, rows in zip(values, picks, strict=True) if value is not None]
    return torch.stack(given) if len(given) == len(values) else None
