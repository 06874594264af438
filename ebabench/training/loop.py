"""The training loop for any objective and any Denoiser. On a CPU a resumed run ends with bitwise equal weights."""

from __future__ import annotations

import copy
import json
import math
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
from ebabench.training.state import State

_LOWEST_SIGMA = 1e-3
_PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """All settings that decide the trained weights, apart from the data and the initial weights.

    Attributes:
        objective: Name of the objective (``ebabench.training.objectives.NAMES``).
        steps: Number of optimiser steps.
        batch_residues: Residues per batch, over targets, conformations K and draws of noise.
        accumulate: Batches per step. Several processes share them; the number of processes changes nothing else.
        conformations: K, the number of conformations that an objective compares.
        draws: Draws of noise per comparison.
        crop: Longer targets are cropped to so many residues; 0 crops none.
        freeze: Whether the trunk is frozen and evaluated once.
        learning_rate: Highest learning rate.
        warmup: Steps of linear increase of the learning rate.
        weight_decay: Of AdamW.
        clip: Largest norm of the gradient.
        ema: Decay per step of the moving average of the weights, which is what the checkpoint holds.
        alpha_t: alpha T of EBA and AliDiff, b of DPO, ABDPO and DecompDPO.
        beta: Inverse temperature in mol/kJ.
        exponent: Energies are divided by residues^exponent.
        reference: Whether EBA subtracts the losses of the initial network.
        crossed: Whether values and gradients come from different draws (``Comparison.crossed``).
        anchor: Weight of a plain denoising loss. It keeps the width of each basin while the objective moves
            populations between basins.
        anchor_sigma: The anchor uses noise levels below this one. 0 puts it on all levels of the objective, at no
            extra cost, which is right for Boltzmann-distributed frames.
        precision: ``bfloat16`` (autocast) or ``float32``.
        seed: Seed of initial weights, batches and noise.
        checkpoint_every: Steps between two states on disk.
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
            raise _wrong("precision", f"precision {self.precision!r}: one of {', '.join(_PRECISIONS)}")
        for name in ("steps", "batch_residues", "accumulate", "conformations", "draws", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise _wrong(name, f"{name} must be at least 1")
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise _wrong(name, f"{name} must be a finite number")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise _wrong(name, f"{name} must be above 0")
        for name in ("crop", "warmup", "weight_decay", "ema", "beta", "anchor", "anchor_sigma"):
            if not getattr(self, name) >= 0:
                raise _wrong(name, f"{name} must not be below 0")
        if self.ema > 1:
            raise _wrong("ema", "ema must be at most 1")
        if self.build().needs_energies and self.conformations < 2:
            raise _wrong("conformations", f"objective {self.objective} compares conformations: at least 2")
        if self.build().needs_energies and self.crossed and self.draws % 2:
            raise _wrong("draws", f"crossed draws come in pairs; draws = {self.draws} is odd")

    @property
    def compared(self) -> int:
        """Number of conformations of a target that are compared; 1 if the objective compares no energies."""
        return self.conformations if self.build().needs_energies else 1

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then a cosine to a hundredth."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * step / self.steps)) + 0.01)

    def build(self) -> objectives.Objective:
        """Return the objective. Raises InputError (``unknown.objective``)."""
        return objectives.build(
            self.objective,
            alpha_t=self.alpha_t,
            beta=self.beta,
            exponent=self.exponent,
            reference=self.reference,
            crossed=self.crossed,
        )


def _wrong(setting: str, message: str) -> InputError:
    return InputError(message, code="setting.value", setting=setting)


class _Loss:
    """The value that training minimises. A batch and its noise depend on seed, step and part only."""

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
        longest = max((example.prepared.residues for example in data), default=0)
        if self.objective.needs_energies and 0 < config.crop < longest:
            raise InputError(
                f"crop {config.crop}: energies are of whole structures, the longest of {longest} residues",
                code="training.crop_energies",
                crop=config.crop,
            )
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
        """Return one of the batches of a step, and the generator of its noise."""
        seed = np.random.SeedSequence([self.config.seed, step, part]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed))
        return self.batches.draw(generator), generator

    def __call__(self, step: int, part: int) -> Tensor:
        """Return the objective of one of the batches of a step."""
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
        """Return denoising losses [B, K, draws, L] under levels [B, draws] and unit noise [B, draws, L, C].

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
        """Return the same losses under the initial weights."""
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
    """Train a denoiser in place, and return the path of its checkpoint, the moving average of the weights.

    ``out`` holds ``model.safetensors``, ``config.json``, ``log.csv`` and ``state.pt``. The same call continues a
    stopped training.

    Args:
        denoiser: The model with its initial weights.
        data: The training set.
        config: All settings.
        out: The folder of the training run.
        provenance: Facts to store in the checkpoint and ``config.json``.
        on_step: Called with step and loss after each step.
        team: The processes that train; None trains in this process.
        tensorboard: Whether to write a TensorBoard log, too.

    Raises:
        InputError: ``out`` holds another training run (``training.other_run``), the objective needs energies that are
            missing (``training.no_energies``), or the processes cannot share the batches of a step evenly
            (``training.uneven``).
        RunError: A loss, a gradient or a weight is not finite (``training.not_finite``). A state before that step is
            kept.
    """
    team = team or Alone()
    if config.accumulate % team.size:
        raise InputError(
            f"{team.size} processes cannot share accumulate = {config.accumulate} batches a step evenly",
            code="training.uneven",
        )
    loss = _Loss(denoiser, data, config, team.device)
    settings = claim(out, config, provenance)
    state = State(denoiser.network.to(team.device).train(), config.weight_decay, out)
    with _board(out, state.step) if tensorboard and team.rank == 0 else nullcontext() as board:
        _go_on(loss, state, team, board, on_step)
    denoiser.network = state.average.cpu()
    if team.rank == 0:
        state.write_log()  # a kill may have left that of an earlier state
        denoiser.save(out / "model.safetensors", settings)
    team.wait()
    return out / "model.safetensors"


def _go_on(
    loss: _Loss, state: State, team: ProcessGroup, board: Any, on_step: Callable[[int, float], None] | None
) -> None:
    """Do all remaining steps."""
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
            raise _not_finite(loss, state, bad or range(config.accumulate))
        state.optimiser.step()
        if not state.finite():
            raise RunError(
                f"the weights are not finite after step {state.step}: a lower learning_rate or weight_decay may help; "
                f"the state of the last checkpoint is kept in {state.path.parent}",
                code="training.not_finite",
                step=state.step,
            )
        # The average of a new model must forget its random initial weights. An aligned model starts from good ones.
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


def _accumulate(loss: _Loss, state: State, team: ProcessGroup) -> Tensor:
    """Compute the gradient of the mean over the batches of a step, and return their losses [accumulate]."""
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


def _not_finite(loss: _Loss, state: State, parts: Iterable[int]) -> RunError:
    targets = sorted({name for part in parts for name in loss.draw(state.step, part)[0].targets})
    return RunError(
        f"the loss or its gradient is not finite at step {state.step} (targets {', '.join(targets)}); "
        f"the last good state is kept in {state.path}",
        code="training.not_finite",
        step=state.step,
        targets=targets,
    )


def _board(out: Path, step: int) -> Any:
    """Return a TensorBoard log that continues at ``step``. Raises InputError (``package.missing``)."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "a TensorBoard log needs tensorboard: pip install ebabench[train]",
            code="package.missing",
            package="tensorboard",
        ) from error
    return SummaryWriter(str(out / "tensorboard"), purge_step=step)


def claim(out: Path, config: TrainConfig, provenance: dict[str, Any]) -> dict[str, Any]:
    """Write ``config.json`` for a training run, or check that it belongs to the same run, and return its content.

    The command may differ (another number of processes, for instance).

    Args:
        out: The folder of the training run.
        config: All settings.
        provenance: Facts to store.

    Raises:
        InputError: The folder holds another training run (``training.other_run``).
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
            raise InputError(
                f"{out} holds a training run with other settings or data; choose another --out",
                code="training.other_run",
                folder=out,
            )
        return dict(begun)
    replace_file(path, json.dumps(settings, indent=1, sort_keys=True) + "\n")
    return settings
