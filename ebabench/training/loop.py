"""The training loop for any objective and any Denoiser. On a CPU a resumed run ends with bitwise equal weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ebabench.errors import InputError, RunError
from ebabench.system.files import replace_file
from ebabench.training.batches import Example
from ebabench.training.config import TrainConfig
from ebabench.training.denoiser import Denoiser
from ebabench.training.distributed import Alone, ProcessGroup
from ebabench.training.loss import Loss
from ebabench.training.state import State
from ebabench.training.validation import Validated, Validation, split

__all__ = ["TrainConfig", "claim", "train"]


def train(
    denoiser: Denoiser,
    data: Sequence[Example],
    config: TrainConfig,
    out: Path,
    provenance: dict[str, Any],
    on_step: Callable[[int, float], None] | None = None,
    team: ProcessGroup | None = None,
    tensorboard: bool = False,
    remark: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train a denoiser in place, and return the path of its checkpoint, the moving average of the weights.

    ``out`` holds ``model.safetensors``, ``config.json``, ``log.csv`` and ``state.pt``. The same call continues a
    stopped training. If targets are held out, the checkpoint holds the moving average at the step of least validation
    loss, and ``validation.csv`` has the losses of every validation, per noise level.

    Args:
        denoiser: The model with its initial weights.
        data: The training set.
        config: All settings.
        out: The folder of the training run.
        provenance: Facts to store in the checkpoint and ``config.json``.
        on_step: Called with step and loss after each step.
        team: The processes that train; None trains in this process.
        tensorboard: Whether to write a TensorBoard log, too.
        remark: Called with a sentence on the validation losses when training ends.

    Raises:
        InputError: ``out`` holds another training run (``training.other_run``), the objective needs energies that are
            missing (``training.no_energies``), the processes cannot share the batches of a step evenly
            (``training.uneven``), or no target is held out or left to train on (``training.held_out``).
        RunError: A loss, a gradient or a weight is not finite (``training.not_finite``). A state before that step is
            kept.
    """
    team = team or Alone()
    config = config.on(team.device)
    if config.accumulate % team.size:
        raise InputError(
            f"{team.size} processes cannot share accumulate = {config.accumulate} batches a step evenly",
            code="training.uneven",
        )
    training, held_out = split(data, config.held_out)
    loss = Loss(denoiser, training, config, team.device)
    validation = Validation(denoiser, training, held_out, config, team.device) if held_out else None
    _set_dropout(denoiser.network, config.dropout)
    settings = claim(out, config, provenance)
    state = State(denoiser.network.to(team.device).train(), config.weight_decay, out)
    with _board(out, state.step) if tensorboard and team.rank == 0 else nullcontext() as board:
        _go_on(loss, validation, state, team, board, on_step)
    if state.validations:
        best, last = state.lowest, state.validations[-1]
        state.average.load_state_dict(state.best)
        settings = {**settings, "validated": {"step": best.step, "value": best.value}}
        remark(_told(best, last))
    denoiser.network = state.average.cpu()
    if team.rank == 0:
        state.write_log()  # a kill may have left that of an earlier state
        denoiser.save(out / "model.safetensors", settings)
    team.wait()
    return out / "model.safetensors"


def _set_dropout(network: nn.Module, probability: float) -> None:
    """Set the probability of all dropout layers. Raises InputError (``setting.value``) if there is none to set."""
    layers = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    if probability and not layers:
        raise InputError("this network has no dropout layers", code="setting.value", setting="dropout")
    for layer in layers:
        layer.p = probability if probability else layer.p


def _told(best: Validated, last: Validated) -> str:
    """Return when the losses of training and validation part."""
    kept, end = (
        f"step {one.step} (held out {sum(one.held_out) / len(one.held_out):.4f}, "
        f"training {sum(one.training) / len(one.training):.4f})"
        for one in (best, last)
    )
    if best.step == last.step:
        return f"the validation loss is lowest at the last step, {kept}: more steps may help"
    return f"the checkpoint is of {kept}, where the validation loss is lowest; training ended at {end}"


def _go_on(
    loss: Loss,
    validation: Validation | None,
    state: State,
    team: ProcessGroup,
    board: Any,
    on_step: Callable[[int, float], None] | None,
) -> None:
    """Do all remaining steps."""
    config = loss.config
    if validation and not state.validations:
        state.validated(_shared(validation(state.average, 0), team))
    while state.step < config.steps and not state.waits_in_vain(config.patience):
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
        state.follow(config.decay(state.step))
        value, rate = float(values.mean()), config.rate(state.step)
        state.log.append([str(state.step), f"{value:.6g}", f"{float(norm):.4g}", f"{rate:.4g}"])
        if board:
            for name, number in zip(state.log[0][1:], (value, float(norm), rate), strict=True):
                board.add_scalar(name, number, state.step)
        state.step += 1
        if validation and (state.step % config.validate_every == 0 or state.step == config.steps):
            state.validated(_shared(validation(state.average, state.step), team))
        ended = state.step == config.steps or state.waits_in_vain(config.patience)
        if team.rank == 0 and (state.step % config.checkpoint_every == 0 or ended):
            state.write()
        if on_step:
            on_step(state.step - 1, value)


def _shared(one: Validated, team: ProcessGroup) -> Validated:
    """Return the validation with the same value in every process, so that all stop at the same step."""
    return replace(one, value=float(team.total(torch.tensor([one.value / team.size], device=team.device))))


def _accumulate(loss: Loss, state: State, team: ProcessGroup) -> Tensor:
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


def _not_finite(loss: Loss, state: State, parts: Iterable[int]) -> RunError:
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

    The command may differ (another number of processes, for instance). A setting that the run's version did not have is
    at its default.

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
            known = begun | {"train": asdict(TrainConfig()) | begun["train"], "command": None}
            same = known == json.loads(json.dumps(settings)) | {"command": None}
        except (KeyError, ValueError, TypeError):
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
