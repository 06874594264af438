"""The value that training minimises, on batches that depend on seed, step and part only."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ebabench.errors import InputError
from ebabench.training.batches import Batch, Batches, Example
from ebabench.training.config import TrainConfig
from ebabench.training.denoiser import Condition, Denoiser
from ebabench.training.objectives import Comparison, boltzmann_weights
from ebabench.training.process import stratified

_LOWEST_SIGMA = 1e-3


@contextmanager
def using(denoiser: Denoiser, network: nn.Module) -> Iterator[None]:
    """Give a denoiser another network during the body."""
    own = denoiser.network
    denoiser.network = network
    try:
        yield
    finally:
        denoiser.network = own


class Loss:
    """The value that training minimises. A batch and its noise depend on seed, step and part only.

    Args:
        denoiser: The model with its initial weights, which are those of the reference network.
        data: The targets.
        config: All settings.
        device: Where the model trains.

    Raises:
        InputError: The objective needs energies that are missing (``training.no_energies``,
            ``training.no_residue_energies``), residual energies need densities that are missing
            (``training.no_density``), or crops do not fit the objective (``training.crop_energies``).
    """

    def __init__(self, denoiser: Denoiser, data: Sequence[Example], config: TrainConfig, device: str) -> None:
        self.denoiser, self.config, self.device = denoiser, config, device
        self.objective = config.build()
        if self.objective.needs_energies and any(example.energies is None for example in data):
            raise InputError(
                f"objective {config.objective} needs energies for every conformation", code="training.no_energies"
            )
        if self.objective.needs_residue_energies and any(example.residue_energies is None for example in data):
            raise InputError(
                f"objective {config.objective} needs the energies of the residues of every conformation",
                code="training.no_residue_energies",
            )
        if config.residual != "none" and any(example.log_density is None for example in data):
            raise InputError("residual energies need the density of every conformation", code="training.no_density")
        longest = max((example.prepared.residues for example in data), default=0)
        if self.objective.needs_energies and 0 < config.crop < longest:
            raise InputError(
                f"crop {config.crop}: energies are of whole structures, the longest of {longest} residues",
                code="training.crop_energies",
                crop=config.crop,
            )
        self.draws = config.draws if self.objective.needs_energies else 1
        self.halves = 2 if self.objective.needs_energies and config.crossed else 1
        structures = config.compared * self.draws
        self.batches = Batches(
            data,
            config.compared,
            lambda length: config.batch_residues // (length * structures),
            config.crop,
            denoiser.crop if config.crop else None,
        )
        self.frozen = None
        if self.objective.needs_reference:
            self.frozen = copy.deepcopy(denoiser.network).requires_grad_(False).eval().to(device)

    def draw(self, step: int, part: int) -> tuple[Batch, torch.Generator]:
        """Return one of the batches of a step, and the generator of its noise."""
        generator = torch.Generator().manual_seed(self._seed(step, part))
        return self.batches.draw(generator), generator

    def _seed(self, step: int, part: int) -> int:
        return int(np.random.SeedSequence([self.config.seed, step, part]).generate_state(1, np.uint64)[0])

    def __call__(self, step: int, part: int) -> Tensor:
        """Return the objective of one of the batches of a step."""
        if not self.config.dropout:
            return self._value(step, part)
        with torch.random.fork_rng():  # of dropout
            torch.manual_seed(self._seed(step, part))
            return self._value(step, part)

    def _value(self, step: int, part: int) -> Tensor:
        batch, generator = self.draw(step, part)
        batch = batch.to(self.device)
        shape = len(batch.coordinates), self.draws
        process, config = self.denoiser.process, self.config
        sigma = process.noise.sigma_at(stratified(*shape, generator, self.halves)).to(self.device)
        level = process.level(sigma)
        noise = torch.randn(*shape, *batch.coordinates.shape[2:], generator=generator).to(self.device)
        losses = self._losses(batch, level, noise)
        reference = None if self.frozen is None else self._reference(self.frozen, batch, level, noise)
        energies = self._residual(batch)
        seen = Comparison(losses, batch.residues, process.progress(level), energies, batch.residue_energies, reference)
        if config.objective_sigma:
            seen = seen.only(sigma < config.objective_sigma)
        value = self.objective.value(seen)
        share: Tensor | float = 1.0
        if (config.residual != "none" or config.within_basins) and energies is not None:
            weights = boltzmann_weights(energies, batch.residues, config.beta, config.exponent)
            share = config.compared * weights[..., None]
        if config.anchor and not config.anchor_sigma:
            value = value + config.anchor * (share * losses.sum(-1)).mean()
        elif config.anchor:
            low = sigma.clamp(max=config.anchor_sigma) * torch.rand(shape, generator=generator).to(self.device)
            quiet = self._losses(batch, process.level(low.clamp(min=_LOWEST_SIGMA)), noise)
            value = value + config.anchor * (share * quiet.sum(-1)).mean()
        return value

    def _residual(self, batch: Batch) -> Tensor | None:
        """Return the energies [B, K] in kJ/mol, plus ln q over the beta of each target if these are wanted."""
        if self.config.residual == "none" or batch.energies is None or batch.log_density is None:
            return batch.energies
        return batch.energies + batch.log_density * batch.residues[:, None] ** self.config.exponent / self.config.beta

    def _losses(self, batch: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """Return denoising losses [B, K, draws, L] under levels [B, draws] and unit noise [B, draws, L, C].

        The K conformations share the draws.
        """
        b, k = batch.coordinates.shape[:2]
        draws = level.shape[1]
        coordinates = batch.coordinates[:, :, None].expand(b, k, draws, *batch.coordinates.shape[2:]).flatten(0, 2)
        levels = level[:, None].expand(b, k, draws).flatten()
        noises = noise[:, None].expand(b, k, *noise.shape[1:]).flatten(0, 2)
        return self.shares(coordinates, batch.condition, levels, noises).view(b, k, draws, -1)

    def shares(self, coordinates: Tensor, condition: Condition, level: Tensor, noise: Tensor) -> Tensor:
        """Return ``Denoiser.loss`` in the precision of the training, as float32."""
        with torch.autocast(coordinates.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            return self.denoiser.loss(coordinates, condition, level, noise).float()

    @torch.no_grad()
    def _reference(self, frozen: nn.Module, batch: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """Return the same losses under the initial weights."""
        with using(self.denoiser, frozen):
            return self._losses(batch, level, noise)
