"""Losses of targets that do not train, per noise level: when to stop, and which weights to keep."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebabench.errors import InputError
from ebabench.training.batches import Example
from ebabench.training.config import TrainConfig
from ebabench.training.denoiser import Denoiser
from ebabench.training.loss import Loss, using

LEVELS = 8
_FRAMES = 4  # of every target
_BATCHES = 16  # of an objective that compares energies


@dataclass(frozen=True)
class Validated:
    """The losses of one validation.

    Attributes:
        step: Number of steps before it.
        sigmas: Noise over signal [LEVELS], in the middle of equally probable strata of the training noise.
        training: Denoising loss [LEVELS] of targets that train.
        held_out: Denoising loss [LEVELS] of targets that do not.
        value: What is to be lowest: the mean of ``held_out`` for plain denoising, else the objective on held-out
            targets.
    """

    step: int
    sigmas: tuple[float, ...]
    training: tuple[float, ...]
    held_out: tuple[float, ...]
    value: float

    def rows(self) -> list[list[str]]:
        """Return one row per noise level: step, sigma, losses and value."""
        columns = zip(self.sigmas, self.training, self.held_out, strict=True)
        return [[str(self.step), *(f"{number:.6g}" for number in (*row, self.value))] for row in columns]


HEADER = ["step", "sigma", "training", "held_out", "value"]


def is_held_out(name: str, fraction: float) -> bool:
    """Return whether a target validates. The answer depends on nothing but its name and the fraction.

    Example:
        >>> [name for name in ("AAAA", "KLED", "GAPF", "YQNR") if is_held_out(name, 0.5)]
        ['AAAA', 'YQNR']
    """
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def split(data: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Return the targets that train and those that validate.

    Args:
        data: All targets.
        fraction: Expected fraction that validates.

    Raises:
        InputError: One of the two has no target (``training.held_out``).
    """
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in data:
        parts[is_held_out(example.prepared.target, fraction)].append(example)
    if fraction and not all(parts):
        raise InputError(
            f"held_out = {fraction:g} leaves {len(parts[0])} of {len(data)} targets to train on and {len(parts[1])} to "
            "validate on: both need at least one",
            code="training.held_out",
        )
    return parts


class Validation:
    """Measures a network on held-out targets, and on as many of those that train. Noise is the same every time.

    Args:
        denoiser: The model with its initial weights.
        training: The targets that train.
        held_out: The targets that validate.
        config: All settings.
        device: Where the model trains.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        training: Sequence[Example],
        held_out: Sequence[Example],
        config: TrainConfig,
        device: str,
    ) -> None:
        self._denoiser, self._device = denoiser, device
        self._loss = Loss(denoiser, held_out, config, device)
        by_hash = sorted(training, key=lambda one: hashlib.sha256(one.prepared.target.encode()).digest())
        self._training, self._held_out = by_hash[: len(held_out)], held_out
        self._sigmas = denoiser.process.noise.sigma_at((torch.arange(LEVELS) + 0.5) / LEVELS)

    @torch.no_grad()
    def __call__(self, network: nn.Module, step: int) -> Validated:
        """Return the losses of a network."""
        with using(self._denoiser, network):
            training, held_out = (
                torch.stack([self._levels(example) for example in part]).mean(0)
                for part in (self._training, self._held_out)
            )
            if self._loss.objective.needs_energies:
                value = float(torch.stack([self._loss(0, part) for part in range(_BATCHES)]).mean())
            else:
                value = float(held_out.mean())
        sigmas, known, unknown = (tuple(values.tolist()) for values in (self._sigmas, training, held_out))
        return Validated(step, sigmas, known, unknown, value)

    def _levels(self, example: Example) -> Tensor:
        """Return the denoising losses [LEVELS] of one target."""
        prepared = example.prepared
        chosen = torch.linspace(0, len(prepared.coordinates) - 1, _FRAMES).long().unique()
        coordinates = prepared.coordinates[chosen]
        shape = LEVELS, *coordinates.shape
        seed = int.from_bytes(hashlib.sha256(prepared.target.encode()).digest()[:8], "big") >> 1
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        level = self._denoiser.process.level(self._sigmas)[:, None].expand(shape[:2])
        condition = {name: value[:1].to(self._device) for name, value in prepared.condition.items()}
        inputs = (values.flatten(0, 1).to(self._device) for values in (coordinates.expand(shape), level, noise))
        clean, levels, noises = inputs
        return self._loss.shares(clean, condition, levels, noises).sum(-1).view(shape[:2]).mean(1).cpu()
