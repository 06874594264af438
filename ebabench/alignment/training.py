"""The training loop: any objective over any Denoiser, resumable to the bit on a CPU."""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebabench.alignment import objectives
from ebabench.alignment.denoiser import Condition, Denoiser, Prepared
from ebabench.errors import InputError, RunError


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the trained weights, but the data and the starting weights.

    ``batch_residues``: residues a step, over targets, conformations K and draws of the noise. ``alpha_t`` is b for DPO.
    ``anchor``: weight of a plain denoising loss on noise levels below ``anchor_sigma``: it keeps the width of each
    basin, while the objective moves populations between basins, which are decided at higher noise.
    """

    objective: str = "sft"
    steps: int = 4000
    batch_residues: int = 1024
    conformations: int = 2
    draws: int = 4
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    alpha_t: float = 5.0
    beta: float = 0.4009
    reference: bool = False
    anchor: float = 0.0
    anchor_sigma: float = 0.2
    precision: str = "bfloat16"
    seed: int = 0
    checkpoint_every: int = 500


@dataclass(frozen=True)
class Example:
    """Conformations of one target with their energies [F] in kJ/mol, where the objective needs them."""

    prepared: Prepared
    energies: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """coordinates [B, K, L, C], energies [B, K], condition tensors [B, ...], targets' names."""

    coordinates: Tensor
    energies: Tensor | None
    condition: Condition
    targets: tuple[str, ...]


class _Bucket:
    """All conformations of all targets of one length, one behind the other."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.names = [example.prepared.target for example in examples]
        self.frames = torch.tensor([len(example.prepared.coordinates) for example in examples])
        self.first = self.frames.cumsum(0) - self.frames
        self.coordinates = torch.cat([example.prepared.coordinates for example in examples])
        energies = [example.energies for example in examples if example.energies is not None]
        self.energies = torch.cat(energies) if len(energies) == len(examples) else None
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
            {name: value[alternative] for name, value in self.condition.items()},
            tuple(self.names[i] for i in chosen.tolist()),
        )


class Batches:
    """Draws batches of equal length, so that every residue of the training set is seen equally often."""

    def __init__(self, data: Sequence[Example], config: TrainConfig, conformations: int, draws: int) -> None:
        by_length: dict[int, list[Example]] = {}
        for example in data:
            if len(example.prepared.coordinates) >= conformations:
                by_length.setdefault(example.prepared.residues, []).append(example)
        if not by_length:
            raise InputError(f"no target has the {conformations} conformations that the objective compares")
        self.conformations = conformations
        self.lengths = sorted(by_length)
        self.weights = torch.tensor([float(n * len(by_length[n])) for n in self.lengths])
        self.sizes = {n: max(1, config.batch_residues // (n * conformations * draws)) for n in self.lengths}
        self.buckets = {n: _Bucket(examples) for n, examples in by_length.items()}

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch, from the generator's state alone."""
        length = self.lengths[int(torch.multinomial(self.weights, 1, generator=generator))]
        return self.buckets[length].draw(self.sizes[length], self.conformations, generator)


def grouped_losses(
    denoiser: Denoiser, batch: Batch, sigma: Tensor, noise: Tensor, draws: int, precision: str
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Losses [B, K] averaged over ``draws`` of noise shared by the K; and the same again under swapped-in weights.

    sigma [B, draws], noise [B, draws, L, C].
    """
    b, k = batch.coordinates.shape[:2]

    def spread(value: Tensor, axis: int) -> Tensor:
        """Repeats [B, ...] over the conformations or draws to [B * K * draws, ...]."""
        shape = [b, k, draws]
        return value.unsqueeze(axis).expand(b, *shape[1:], *value.shape[2:]).flatten(0, 2)

    coordinates = spread(batch.coordinates, 2)
    sigmas, noises = spread(sigma, 1), spread(noise, 1)
    condition = {
        name: value[:, None, None].expand(b, k, draws, *value.shape[1:]).flatten(0, 2)
        for name, value in batch.condition.items()
    }

    def run() -> Tensor:
        with torch.autocast(coordinates.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return denoiser.loss(coordinates, condition, sigmas, noises).float().view(b, k, draws).mean(-1)

    return run(), run


def _rate(step: int, config: TrainConfig) -> float:
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    return config.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * step / config.steps)) + 0.01)


class _Swap:
    """Runs the frozen reference weights inside the same denoiser."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.frozen = copy.deepcopy(denoiser.network).requires_grad_(False)

    @torch.no_grad()
    def __call__(self, run: Callable[[], Tensor]) -> Tensor:
        live = self.denoiser.network
        self.denoiser.network = self.frozen
        try:
            return run()
        finally:
            self.denoiser.network = live


def train(
    denoiser: Denoiser,
    data: Sequence[Example],
    config: TrainConfig,
    out: Path,
    provenance: dict[str, Any],
    on_step: Callable[[int, float], None] | None = None,
    device: str = "cpu",
) -> Path:
    """Trains ``denoiser`` in place; leaves out/model.safetensors (the moving average), config.json and log.csv.

    A folder with a state.pt of the same config goes on from there. Raises InputError for a folder of another config
    or data without energies, RunError when the loss is not finite: the last good state is kept.
    """
    objective = objectives.build(config.objective, alpha_t=config.alpha_t, beta=config.beta, reference=config.reference)
    if objective.needs_energies and any(example.energies is None for example in data):
        raise InputError(f"objective {config.objective} needs energies for every conformation")
    contrastive = objective.needs_energies
    draws = config.draws if contrastive else 1
    batches = Batches(data, config, config.conformations if contrastive else 1, draws)
    out.mkdir(parents=True, exist_ok=True)
    settings = {"train": asdict(config), **provenance}
    settings_path, state_path, log_path = out / "config.json", out / "state.pt", out / "log.csv"
    if settings_path.exists() and json.loads(settings_path.read_text()) != json.loads(json.dumps(settings)):
        raise InputError(f"{out} holds a training run with other settings; choose another --out")
    settings_path.write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")

    network: nn.Module = denoiser.network.to(device)
    reference = _Swap(denoiser) if objective.needs_reference else None
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(config.seed)
    first = 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True, map_location=device)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"].cpu())
        first = state["step"]
    rows = list(csv.reader(log_path.open())) if first and log_path.exists() else [["step", "loss", "grad_norm"]]
    rows = [row for row in rows if row[0] == "step" or int(row[0]) < first]

    def checkpoint(step: int) -> None:
        state = {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "generator": generator.get_state(),
            "step": step,
        }
        temporary = state_path.with_name(".state.pt.part")
        torch.save(state, temporary)
        temporary.replace(state_path)
        with log_path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    network.train()
    for step in range(first, config.steps):
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, config)
        batch = _to(batches.draw(generator), device)
        b, _, *shape = batch.coordinates.shape
        sigma = denoiser.edm.draw_sigma(b * draws, generator).view(b, draws).to(device)
        noise = torch.randn(b, draws, *shape, generator=generator).to(device)
        losses, again = grouped_losses(denoiser, batch, sigma, noise, draws, config.precision)
        frozen = reference(again) if reference else None
        residues = torch.full((b,), float(shape[0]), device=device)
        value = objective.value(losses, batch.energies, residues, frozen)
        if config.anchor:
            low = sigma.clamp(max=config.anchor_sigma) * torch.rand(sigma.shape, generator=generator).to(device)
            value = (
                value
                + config.anchor
                * grouped_losses(denoiser, batch, low.clamp(min=1e-3), noise, draws, config.precision)[0].mean()
            )
        if not objectives.finite(value):
            raise RunError(
                f"the loss is not finite at step {step} (targets {', '.join(sorted(set(batch.targets)))}); "
                f"the state of the last good checkpoint is kept in {state_path}"
            )
        optimiser.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimiser.step()
        with torch.no_grad():
            decay = min(config.ema, (1 + step) / (10 + step)) if config.objective == "sft" else config.ema
            for mean, live in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(live, 1 - decay)
        rows.append([str(step), f"{float(value.detach()):.6g}", f"{float(norm):.4g}"])
        if (step + 1) % config.checkpoint_every == 0:
            checkpoint(step + 1)
        if on_step:
            on_step(step, float(value.detach()))
    checkpoint(config.steps)
    denoiser.network = average
    denoiser.save(out / "model.safetensors", settings)
    return out / "model.safetensors"


def _to(batch: Batch, device: str) -> Batch:
    return Batch(
        batch.coordinates.to(device),
        None if batch.energies is None else batch.energies.to(device),
        {name: value.to(device) for name, value in batch.condition.items()},
        batch.targets,
    )
