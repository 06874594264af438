"""Train or align a model on molecular dynamics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError
from ebabench.physics.protocols import get_protocol
from ebabench.system.schema import parse_json, read_text, read_toml
from ebabench.workflows.progress import Progress, silent

if TYPE_CHECKING:
    from ebabench.generators.cards import Card
    from ebabench.training.config import TrainConfig
    from ebabench.training.data import Trajectories
    from ebabench.training.exclusions import Exclusion
    from ebabench.training.stage import Stage

# What a run writes beside the settings that it can be made again from; the last two are a worker's.
_FACTS = ("command", "data_sha256", "start_sha256", "architecture", "random_weights")


def align(
    out: str | os.PathLike[str],
    objective: str | None = None,
    suites: Sequence[str] = (),
    *,
    config: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    samples: str | os.PathLike[str] | None = None,
    start: str | os.PathLike[str] | None = None,
    denoiser: str | None = None,
    stride: int | None = None,
    energy: str | None = None,
    settings: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    devices: int = 1,
    tensorboard: bool = False,
    command: str = "ebabench.align",
    remark: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Path:
    """Train or align a model, and return its checkpoint. Beside it lies a card, by which the model can be run.

    The same call goes on where training was stopped.

    Args:
        out: The folder for the checkpoint, its log and its state.
        objective: "sft" for plain denoising, or an objective that compares energies.
        suites: Training suites; several are merged by target.
        config: A TOML or JSON file of settings, as ``config.json`` of a training; arguments win.
        data: The folder of the references, where they are not embedded; with a folder per suite where there are
            several suites.
        samples: A folder of ensembles of the suites' targets, which take the place of the MD.
        start: The checkpoint to start from; a fresh model by default.
        denoiser: The kind of model, "compact" by default; or the card of a worker that trains.
        stride: Every how many frames one is used; 1 by default.
        energy: The energy protocol; the suites' by default.
        settings: Settings of ``ebabench.training.loop.TrainConfig``.
        model: Settings of a fresh model's shape.
        jobs: Processes that compute energies; one per core by default.
        threads: Threads that train; one per core by default.
        device: "cpu", "cuda", "cuda:1".
        devices: How many devices train together, a process each.
        tensorboard: Also write a TensorBoard log.
        command: What the checkpoint says that it was made by.
        remark: Called with a sentence on what is not trained on, before training starts, and on the validation losses,
            when it ends.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: Wrong usage or input; nothing was done.
        RunError: Training failed part-way. The message says what is kept.

    Example:
        >>> import ebabench, tempfile
        >>> settings = {"steps": 1, "batch_residues": 8, "precision": "float32"}
        >>> checkpoint = ebabench.align(tempfile.mkdtemp(), "sft", ["peptides-train-v1"], stride=100, settings=settings)
        >>> checkpoint.suffix
        '.safetensors'
    """
    given, facts = _read_config(Path(config) if config is not None else None)
    train: dict[str, Any] = {**given.get("train", {}), **(settings or {})}
    shape = {**given.get("model", {}), **(model or {})}
    objective = objective or train.get("objective")
    chosen = tuple(suites or given.get("suites", ()))
    first = Path(start) if start is not None else None
    place = Path(out)
    if not objective or not chosen:
        raise InputError(
            f"give --{'suite' if objective else 'objective'}, or a --config that has it", code="align.arguments"
        )
    if first is not None and not first.is_file():
        raise InputError(f"--start: no checkpoint at {first}", code="align.start", file=first)
    named = denoiser or given.get("denoiser", "compact")
    if first is not None and shape:
        raise InputError(
            "--model is for a fresh model: the shape of this one comes from --start", code="align.model", file=first
        )
    from ebabench.training.config import TrainConfig
    from ebabench.training.data import load
    from ebabench.training.distributed import check
    from ebabench.training.remote import finetune
    from ebabench.training.settings import configured
    from ebabench.training.stage import Stage, begun
    from ebabench.training.stage import align as train_stage

    card = _worker(named, first, bool(shape or devices > 1 or tensorboard))
    if first is None and card is None and facts.get("start_sha256"):
        raise InputError(
            f"--config {config}: its run began from a checkpoint: name it with --start", code="align.start", file=config
        )
    tuned = configured(TrainConfig, {**train, "objective": objective})
    if tuned.residual != "none" and samples is None:
        raise InputError(
            f"residual = {tuned.residual} takes off the density of the model's own samples: give their folder with "
            "--samples; residual = none is for frames of MD",
            code="align.residual",
        )
    same_data = not (suites or data or samples or stride or energy)
    stage = Stage(
        denoiser=named,
        suites=chosen,
        stride=stride or given.get("stride", 1),
        start=first,
        command=command,
        model=shape,
        energy=_protocol(chosen, energy or given.get("energy")) if tuned.build().needs_energies else None,
        data_sha256=facts.get("data_sha256") if same_data else None,
    )
    if card is None:  # what is wrong is told before hours go into energies
        check(device, devices)
        begun(stage, tuned.seed)
    loaded = load(chosen, _path(data), stage.stride, _path(samples))
    if stage.energy is not None:
        loaded = _with_energies(loaded, stage, tuned, jobs, progress)
    trajectories, left_out = _sifted(stage, loaded, tuned.compared, place, remark)

    def on_step(step: int, loss: float) -> None:
        progress(f"{objective} loss {loss:.3f}", step + 1, tuned.steps)

    with _torch_threads(threads):
        if card is None:
            return train_stage(
                stage, trajectories, tuned, place, on_step, device, devices, tensorboard, left_out, progress, remark
            )
        return finetune(card, trajectories, tuned, place, first, device, False, left_out, on_step)


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        yield
    finally:
        torch.set_num_threads(before)


def _path(given: str | os.PathLike[str] | None) -> Path | None:
    return Path(given) if given is not None else None


def _worker(denoiser: str, start: Path | None, unfit: bool) -> Card | None:
    """The card of a denoiser that a worker trains, which has all that this takes; None of another."""
    from ebabench.training.remote import required, worker_card

    card = worker_card(denoiser)
    if card is not None:
        if unfit:
            raise InputError(
                f"{denoiser} trains in its own environment: without --model, --devices and --tensorboard",
                code="align.worker",
                model=denoiser,
            )
        required(card, start)
    return card


def _with_energies(
    trajectories: list[Trajectories], stage: Stage, settings: TrainConfig, jobs: int | None, progress: Progress
) -> list[Trajectories]:
    from ebabench.system.process_pool import workers
    from ebabench.training.data import with_energies

    assert stage.energy is not None
    with workers(jobs) as pool:
        return with_energies(trajectories, stage.energy, pool, progress, settings.build().needs_residue_energies)


def _sifted(
    stage: Stage, loaded: list[Trajectories], compared: int, out: Path, remark: Callable[[str], None]
) -> tuple[list[Trajectories], list[Exclusion]]:
    """What is trained on, and what is not."""
    from ebabench.training.exclusions import FILE, sifted, told

    wanted = [target.name for name in stage.suites for target in load_suite(name).targets]
    trajectories, left_out = sifted(wanted, loaded, compared)
    if left_out:
        remark("\n".join([*told(left_out), f"{out / FILE} will name them all"]))
    return trajectories, left_out


def _protocol(suites: tuple[str, ...], chosen: str | None) -> str:
    """The energy protocol: the one chosen, or that of the suites."""
    named = {chosen} if chosen else {load_suite(name).energy for name in suites}
    if len(named) == 1 and (protocol := named.pop()) is not None:
        return get_protocol(protocol).name
    raise InputError(
        "the suites name no energy protocol in common: choose one with --forcefield", code="energy.protocol"
    )


def _read_config(path: Path | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Settings of a file: train, model, suites, stride, denoiser, energy; and the facts of a run."""
    if path is None:
        return {}, {}
    try:
        given = read_toml(path) if path.suffix == ".toml" else parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(f"--config {path}: {error}", code="config.read", file=path) from error
    if not isinstance(given, dict):
        raise InputError(f"--config {path}: expected a table of settings", code="config.read", file=path)
    known = {"train": dict, "model": dict, "suites": list, "stride": int, "denoiser": str, "energy": str}
    settings = {name: value for name, value in given.items() if name not in _FACTS and value is not None}
    for name, value in settings.items():
        if not isinstance(value, known.get(name, ())):
            raise InputError(
                f"--config {path}: {name}: expected one of {', '.join(known)}, each of its own type",
                code="config.field",
                file=path,
                field=name,
            )
    if not all(isinstance(suite, str) for suite in settings.get("suites", ())) or settings.get("stride", 1) < 1:
        raise InputError(
            f"--config {path}: suites are names, and stride is a whole number from 1", code="config.field", file=path
        )
    return settings, {name: given[name] for name in _FACTS if name in given}
