"""Training batches: K conformations of each of B targets, drawn from a generator's state alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebabench.alignment.denoiser import Condition, Prepared
from ebabench.errors import InputError


@dataclass(frozen=True)
class Example:
    """Conformations of one target with their energies [F], and those of residues [F, L], in kJ/mol, where needed."""

    prepared: Prepared
    energies: Tensor | None = None
    residue_energies: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """coordinates [B, K, L, C], energies [B, K] and [B, K, L], condition tensors [B, ...], targets' names."""

    coordinates: Tensor
    energies: Tensor | None
    residue_energies: Tensor | None
    condition: Condition
    targets: tuple[str, ...]

    def to(self, device: str) -> Batch:
        """The same on a device."""
        return Batch(
            self.coordinates.to(device),
            None if self.energies is None else self.energies.to(device),
            None if self.residue_energies is None else self.residue_energies.to(device),
            {name: value.to(device) for name, value in self.condition.items()},
            self.targets,
        )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """One behind the other, or none if any is missing."""
    given = [part for part in parts if part is not None]
    return torch.cat(given) if len(given) == len(parts) else None


class _Bucket:
    """All conformations of all targets of one length, one behind the other."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.names = [example.prepared.target for example in examples]
        self.frames = torch.tensor([len(example.prepared.coordinates) for example in examples])
        self.first = self.frames.cumsum(0) - self.frames
        self.coordinates = torch.cat([example.prepared.coordinates for example in examples])
        self.energies = _joined([example.energies for example in examples])
        self.residue_energies = _joined([example.residue_energies for example in examples])
        names = examples[0].prepared.condition
        self.condition = {n: torch.cat([e.prepared.condition[n] for e in examples]) for n in names}
        self.alternatives = torch.tensor([len(next(iter(e.prepared.condition.values()))) for e in examples])
        self.first_alternative = self.alternatives.cumsum(0) - self.alternatives

    def draw(self, count: int, conformations: int, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(self.names), (count,), generator=generator)
        frames = self.frames[chosen, None]
        picks = torch.empty(count, conformations, dtype=torch.long)
        again = torch.arange(count)
        while len(again):  # the K conformations must differ
            uniform = torch.rand(len(again), conformations, dtype=torch.float64, generator=generator)
            picks[again] = (uniform * frames[again]).long()
            ordered = picks[again].sort(-1).values
            again = again[(ordered[:, 1:] == ordered[:, :-1]).any(-1)]
        index = self.first[chosen, None] + picks
        uniform = torch.rand(count, dtype=torch.float64, generator=generator)
        alternative = self.first_alternative[chosen] + (uniform * self.alternatives[chosen]).long()
        return Batch(
            self.coordinates[index],
            None if self.energies is None else self.energies[index],
            None if self.residue_energies is None else self.residue_energies[index],
            {name: value[alternative] for name, value in self.condition.items()},
            tuple(self.names[i] for i in chosen.tolist()),
        )


class Batches:
    """Draws batches of equal length, so that every residue of the training set is seen equally often.

    ``targets_for(L)`` says how many targets of L residues make a batch. Raises InputError if no target has enough
    conformations.
    """

    def __init__(self, data: Sequence[Example], conformations: int, targets_for: Callable[[int], int]) -> None:
        by_length: dict[int, list[Example]] = {}
        for example in data:
            if len(example.prepared.coordinates) >= conformations:
                by_length.setdefault(example.prepared.residues, []).append(example)
        if not by_length:
            raise InputError(f"no target has the {conformations} conformations that the objective compares")
        self.conformations = conformations
        self.lengths = sorted(by_length)
        self.weights = torch.tensor([float(n * len(by_length[n])) for n in self.lengths])
        self.sizes = {n: max(1, targets_for(n)) for n in self.lengths}
        self.buckets = {n: _Bucket(examples) for n, examples in by_length.items()}

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch, from the generator's state alone."""
        length = self.lengths[int(torch.multinomial(self.weights, 1, generator=generator))]
        return self.buckets[length].draw(self.sizes[length], self.conformations, generator)
