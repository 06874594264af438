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
from ebabench.alignment.batches import Batch, Batches, Example
from ebabench.alignment.denoiser import Denoiser
from ebabench.alignment.objectives import Comparison
from ebabench.alignment.process import stratified
from ebabench.errors import InputError, RunError

_LOWEST_SIGMA = 1e-3


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

    def rate(self, step: int) -> float:
        """Learning rate: linear warm-up, then a cosine to a hundredth."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * step / self.steps)) + 0.01)


class _State:
    """Everything that changes while training, and its file."""

    def __init__(self, network: nn.Module, config: TrainConfig, folder: Path) -> None:
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=config.weight_decay)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.step = 0
        self.log = [["step", "loss", "grad_norm"]]
        self.path, self.log_path = folder / "state.pt", folder / "log.csv"
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        state = torch.load(self.path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.step, self.log = state["step"], state["log"]

    def write(self) -> None:
        """One file, renamed into place; the log is a copy for people."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "log": self.log,
        }
        temporary = self.path.with_name(f".{self.path.name}.part")
        torch.save(state, temporary)
        temporary.replace(self.path)
        with self.log_path.open("w", newline="") as file:
            csv.writer(file).writerows(self.log)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Moves the exponential moving average of the weights."""
        for mean, live in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(live, 1 - decay)


class _Losses:
    """Denoising losses [B, K, draws, L] of a batch under draws of noise that the K conformations share."""

    def __init__(self, denoiser: Denoiser, config: TrainConfig) -> None:
        self.denoiser = denoiser
        self.autocast = config.precision == "bfloat16"
        self.frozen = copy.deepcopy(denoiser.network).requires_grad_(False)

    def __call__(self, batch: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """Noise levels [B, draws] and unit noise [B, draws, L, C]."""
        b, k = batch.coordinates.shape[:2]
        draws = level.shape[1]
        coordinates = batch.coordinates[:, :, None].expand(b, k, draws, *batch.coordinates.shape[2:]).flatten(0, 2)
        condition = {
            name: value[:, None, None].expand(b, k, draws, *value.shape[1:]).flatten(0, 2)
            for name, value in batch.condition.items()
        }
        levels = level[:, None].expand(b, k, draws).flatten()
        noises = noise[:, None].expand(b, k, *noise.shape[1:]).flatten(0, 2)
        with torch.autocast(coordinates.device.type, torch.bfloat16, enabled=self.autocast):
            losses = self.denoiser.loss(coordinates, condition, levels, noises)
        return losses.float().view(b, k, draws, -1)

    @torch.no_grad()
    def reference(self, batch: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """The same under the weights that training began with."""
        live = self.denoiser.network
        self.denoiser.network = self.frozen.to(level.device)
        try:
            return self(batch, level, noise)
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

    A folder with the state of the same config goes on from there. Raises InputError for a folder of another config or
    for data without energies, RunError when the loss is not finite: the last good state is kept.
    """
    objective = objectives.build(config.objective, alpha_t=config.alpha_t, beta=config.beta, reference=config.reference)
    if objective.needs_energies and any(example.energies is None for example in data):
        raise InputError(f"objective {config.objective} needs energies for every conformation")
    conformations, draws = (config.conformations, config.draws) if objective.needs_energies else (1, 1)
    batches = Batches(data, conformations, lambda length: config.batch_residues // (length * conformations * draws))
    settings = {"train": asdict(config), **provenance}
    _claim(out, settings)
    losses = _Losses(denoiser, config)
    state = _State(denoiser.network.to(device).train(), config, out)
    while state.step < config.steps:
        for group in state.optimiser.param_groups:
            group["lr"] = config.rate(state.step)
        batch = batches.draw(state.generator).to(device)
        b, _, length, _ = batch.coordinates.shape
        process = denoiser.process
        sigma = process.noise.sigma_at(stratified(b, draws, state.generator)).to(device)
        level = process.level(sigma)
        noise = torch.randn(b, draws, *batch.coordinates.shape[2:], generator=state.generator).to(device)
        seen = Comparison(
            losses(batch, level, noise),
            torch.full((b,), float(length), device=device),
            process.progress(level),
            batch.energies,
            batch.residue_energies,
            losses.reference(batch, level, noise) if objective.needs_reference else None,
        )
        value = objective.value(seen)
        if config.anchor:
            low = sigma.clamp(max=config.anchor_sigma) * torch.rand(b, draws, generator=state.generator).to(device)
            quiet = losses(batch, process.level(low.clamp(min=_LOWEST_SIGMA)), noise)
            value = value + config.anchor * quiet.sum(-1).mean()
        if not torch.isfinite(value):
            raise RunError(
                f"the loss is not finite at step {state.step} (targets {', '.join(sorted(set(batch.targets)))}); "
                f"the last good state is kept in {state.path}"
            )
        state.optimiser.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.clip)
        state.optimiser.step()
        # A fresh model's average must forget its random start; an aligned one starts from good weights.
        state.follow(min(config.ema, (1 + state.step) / (10 + state.step)) if config.objective == "sft" else config.ema)
        state.log.append([str(state.step), f"{float(value.detach()):.6g}", f"{float(norm):.4g}"])
        state.step += 1
        if state.step % config.checkpoint_every == 0 or state.step == config.steps:
            state.write()
        if on_step:
            on_step(state.step - 1, float(value.detach()))
    denoiser.network = state.average.cpu()
    denoiser.save(out / "model.safetensors", settings)
    return out / "model.safetensors"


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Makes the folder this run's own, or raises InputError if it is another's."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "config.json"
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    if path.exists() and path.read_text() != text:
        raise InputError(f"{out} holds a training run with other settings or data; choose another --out")
    path.write_text(text)
