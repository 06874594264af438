"""The training loop: any objective over any Denoiser, resumable to the bit on a CPU."""

from __future__ import annotations

import copy
import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebabench.errors import InputError, RunError
from ebabench.system.files import replace_file
from ebabench.training import objectives
from ebabench.training.batches import Batch, Batches, Example
from ebabench.training.denoiser import Denoiser
from ebabench.training.distributed import Alone, ProcessGroup
from ebabench.training.objectives import Comparison
from ebabench.training.process import stratified

_LOWEST_SIGMA = 1e-3
_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the trained weights, but the data and the starting weights.

    ``batch_residues``: residues a batch, over targets, conformations K and draws of the noise. ``accumulate``: batches
    a step; where several processes train, they share them, and their number changes nothing else. ``crop``: longer
    targets are cut to so many residues (0: none is). ``freeze``: the trunk stays as it is and is evaluated once.
    ``alpha_t`` is b for DPO and its relatives; energies are divided by residues^``exponent``. ``anchor``: weight of a
    plain denoising loss on noise levels below ``anchor_sigma``: it keeps the width of each basin, while the objective
    moves populations between basins, which are decided at higher noise. ``anchor_sigma`` 0: it is on all levels that
    the objective sees, at no further cost: right for frames that are Boltzmann-distributed already. ``crossed``: see
    `ebabench.training.objectives.Comparison.crossed`.
    """

    objective: str = "sft"
    steps: int = 4000
    batch_residues: int = 1024
    accumulate: int = 1
    conformations: int = 2
    draws: int = 4
    crop: int = 0
    freeze: bool = False
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    alpha_t: float = 5.0
    beta: float = 0.4009
    exponent: float = 0.5
    reference: bool = False
    crossed: bool = False
    anchor: float = 0.0
    anchor_sigma: float = 0.2
    precision: str = "bfloat16"
    seed: int = 0
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        if self.precision not in _PRECISIONS:
            raise InputError(f"precision {self.precision!r}: one of {', '.join(_PRECISIONS)}")
        for name in ("steps", "batch_residues", "accumulate", "conformations", "draws", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0")
        for name in ("crop", "warmup", "weight_decay", "ema", "beta", "anchor", "anchor_sigma"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be below 0")
        if self.ema > 1:
            raise InputError("ema must be at most 1")
        if self.build().needs_energies and self.conformations < 2:
            raise InputError(f"objective {self.objective} compares conformations: at least 2")
        if self.build().needs_energies and self.crossed and self.draws % 2:
            raise InputError(f"crossed draws come in pairs; draws = {self.draws} is odd")

    @property
    def compared(self) -> int:
        """Conformations of a target that are seen together: one where no energies are compared."""
        return self.conformations if self.build().needs_energies else 1

    def rate(self, step: int) -> float:
        """Learning rate: linear warm-up, then a cosine to a hundredth."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * step / self.steps)) + 0.01)

    def build(self) -> objectives.Objective:
        """The objective. Raises InputError for one that does not exist."""
        return objectives.build(
            self.objective,
            alpha_t=self.alpha_t,
            beta=self.beta,
            exponent=self.exponent,
            reference=self.reference,
            crossed=self.crossed,
        )


class _State:
    """Everything that changes while training, and its file."""

    def __init__(self, network: nn.Module, config: TrainConfig, folder: Path) -> None:
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, lr=0.0, weight_decay=config.weight_decay)
        self.step = 0
        self.log = [["step", "loss", "grad_norm", "learning_rate"]]
        self.path, self.log_path = folder / "state.pt", folder / "log.csv"
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.log = state["step"], state["log"]

    def write(self) -> None:
        """One file, renamed into place; the log is a copy for people."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "log": self.log,
        }
        temporary = self.path.with_name(f".{self.path.name}.part")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        with self.log_path.open("w", newline="") as file:
            csv.writer(file).writerows(self.log)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Moves the exponential moving average of the weights."""
        for mean, live in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(live, 1 - decay)


class _Loss:
    """What is minimised, batch by batch. A batch is drawn, and its noise, from a generator's state alone."""

    def __init__(self, denoiser: Denoiser, data: Sequence[Example], config: TrainConfig, device: str) -> None:
        self.denoiser, self.config, self.device = denoiser, config, device
        self.objective = config.build()
        if self.objective.needs_energies and any(example.energies is None for example in data):
            raise InputError(f"objective {config.objective} needs energies for every conformation")
        if self.objective.needs_residue_energies and any(example.residue_energies is None for example in data):
            raise InputError(f"objective {config.objective} needs the energies of the residues of every conformation")
        longest = max((example.prepared.residues for example in data), default=0)
        if self.objective.needs_energies and 0 < config.crop < longest:
            raise InputError(f"crop {config.crop}: energies are of whole structures, the longest of {longest} residues")
        self.draws = config.draws if self.objective.needs_energies else 1
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
            self.frozen = copy.deepcopy(denoiser.network).requires_grad_(False).to(device)

    def draw(self, step: int, part: int) -> tuple[Batch, torch.Generator]:
        """The batch that is part of a step, and the generator for its noise."""
        seed = np.random.SeedSequence([self.config.seed, step, part]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed))
        return self.batches.draw(generator), generator

    def __call__(self, step: int, part: int) -> Tensor:
        """The objective of that batch."""
        batch, generator = self.draw(step, part)
        batch = batch.to(self.device)
        shape = len(batch.coordinates), self.draws
        process, config = self.denoiser.process, self.config
        sigma = process.noise.sigma_at(stratified(*shape, generator)).to(self.device)
        level = process.level(sigma)
        noise = torch.randn(*shape, *batch.coordinates.shape[2:], generator=generator).to(self.device)
        losses = self._losses(batch, level, noise)
        reference = None if self.frozen is None else self._reference(self.frozen, batch, level, noise)
        seen = Comparison(
            losses, batch.residues, process.progress(level), batch.energies, batch.residue_energies, reference
        )
        value = self.objective.value(seen)
        if config.anchor and not config.anchor_sigma:
            value = value + config.anchor * losses.sum(-1).mean()
        elif config.anchor:
            low = sigma.clamp(max=config.anchor_sigma) * torch.rand(shape, generator=generator).to(self.device)
            quiet = self._losses(batch, process.level(low.clamp(min=_LOWEST_SIGMA)), noise)
            value = value + config.anchor * quiet.sum(-1).mean()
        return value

    def _losses(self, batch: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """Denoising losses [B, K, draws, L] under levels [B, draws] and unit noise [B, draws, L, C].

        The K conformations share the draws.
        """
        b, k = batch.coordinates.shape[:2]
        draws = level.shape[1]
        coordinates = batch.coordinates[:, :, None].expand(b, k, draws, *batch.coordinates.shape[2:]).flatten(0, 2)
        levels = level[:, None].expand(b, k, draws).flatten()
        noises = noise[:, None].expand(b, k, *noise.shape[1:]).flatten(0, 2)
        with torch.autocast(coordinates.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            losses = self.denoiser.loss(coordinates, batch.condition, levels, noises)
        return losses.float().view(b, k, draws, -1)

    @torch.no_grad()
    def _reference(self, frozen: nn.Module, batch: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """The same under the weights that training began with."""
        live = self.denoiser.network
        self.denoiser.network = frozen
        try:
            return self._losses(batch, level, noise)
        finally:
            self.denoiser.network = live


def train(
    denoiser: Denoiser,
    data: Sequence[Example],
    config: TrainConfig,
    out: Path,
    provenance: dict[str, Any],
    on_step: Callable[[int, float], None] | None = None,
    team: ProcessGroup | None = None,
    tensorboard: bool = False,
) -> Path:
    """Trains ``denoiser`` in place; leaves out/model.safetensors (the moving average), config.json and log.csv.

    A folder with the state of the same config goes on from there. ``team``: the processes that train, this one alone
    by default. ``tensorboard``: whether a log of that kind is written, too. Raises InputError for a folder of another
    config, for data without energies, or if the processes cannot share a step's batches evenly; RunError when a loss or
    gradient is not finite: the state before that step is kept.
    """
    team = team or Alone()
    if config.accumulate % team.size:
        raise InputError(f"{team.size} processes cannot share accumulate = {config.accumulate} batches a step evenly")
    loss = _Loss(denoiser, data, config, team.device)
    settings = claim(out, config, provenance)
    state = _State(denoiser.network.to(team.device).train(), config, out)
    with _board(out, state.step) if tensorboard and team.rank == 0 else nullcontext() as board:
        _go_on(loss, state, team, board, on_step)
    denoiser.network = state.average.cpu()
    if team.rank == 0:
        denoiser.save(out / "model.safetensors", settings)
    team.wait()
    return out / "model.safetensors"


def _go_on(
    loss: _Loss, state: _State, team: ProcessGroup, board: Any, on_step: Callable[[int, float], None] | None
) -> None:
    """Steps until all are done."""
    config = loss.config
    while state.step < config.steps:
        for group in state.optimiser.param_groups:
            group["lr"] = config.rate(state.step)
        values = _accumulate(loss, state, team)
        norm = nn.utils.clip_grad_norm_(state.trained, config.clip)
        bad = [part for part, value in enumerate(values.tolist()) if not math.isfinite(value)]
        if bad or not torch.isfinite(norm):
            if team.rank == 0:
                state.write()
            raise RunError(_not_finite(loss, state, bad or range(config.accumulate)))
        state.optimiser.step()
        # A fresh model's average must forget its random start; an aligned one starts from good weights.
        state.follow(min(config.ema, (1 + state.step) / (10 + state.step)) if config.objective == "sft" else config.ema)
        value, rate = float(values.mean()), config.rate(state.step)
        state.log.append([str(state.step), f"{value:.6g}", f"{float(norm):.4g}", f"{rate:.4g}"])
        if board:
            for name, number in zip(state.log[0][1:], (value, float(norm), rate), strict=True):
                board.add_scalar(name, number, state.step)
        state.step += 1
        if team.rank == 0 and (state.step % config.checkpoint_every == 0 or state.step == config.steps):
            state.write()
        if on_step:
            on_step(state.step - 1, value)


def _accumulate(loss: _Loss, state: _State, team: ProcessGroup) -> Tensor:
    """Leaves the gradient of the mean over a step's batches; gives their losses [accumulate]."""
    count = loss.config.accumulate
    values = torch.zeros(count, device=team.device)
    state.optimiser.zero_grad()
    for part in range(team.rank, count, team.size):
        value = loss(state.step, part)
        (value / count).backward()
        values[part] = value.detach()
    if team.size == 1:
        return values
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in state.trained]
    summed = team.total(torch.cat([values, *(gradient.flatten() for gradient in gradients)]))
    parts = summed[count:].split([gradient.numel() for gradient in gradients])
    for parameter, part in zip(state.trained, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    return summed[:count]


def _not_finite(loss: _Loss, state: _State, parts: Iterable[int]) -> str:
    targets = sorted({name for part in parts for name in loss.draw(state.step, part)[0].targets})
    return (
        f"the loss or its gradient is not finite at step {state.step} (targets {', '.join(targets)}); "
        f"the last good state is kept in {state.path}"
    )


def _board(out: Path, step: int) -> Any:
    """A TensorBoard log that goes on at ``step``. Raises InputError where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("a TensorBoard log needs tensorboard: pip install ebabench[train]") from error
    return SummaryWriter(str(out / "tensorboard"), purge_step=step)


def claim(out: Path, config: TrainConfig, provenance: dict[str, Any]) -> dict[str, Any]:
    """Makes the folder this run's own; gives what its config.json says. Raises InputError if it is another's.

    A run goes on under another command, with more processes, say, as long as it trains the same.
    """
    settings = {"train": asdict(config), **provenance}
    out.mkdir(parents=True, exist_ok=True)
    path = out / "config.json"
    if path.exists():
        try:
            begun = json.loads(path.read_text())
            same = begun | {"command": None} == json.loads(json.dumps(settings)) | {"command": None}
        except (ValueError, TypeError):
            same = False
        if not same:
            raise InputError(f"{out} holds a training run with other settings or data; choose another --out")
        return dict(begun)
    replace_file(path, json.dumps(settings, indent=1, sort_keys=True) + "\n")
    return settings
