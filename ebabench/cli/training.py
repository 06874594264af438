"""``ebabench align``: trains a diffusion model on molecular dynamics, by plain denoising or by energies."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ebabench.cli.app import app, progress
from ebabench.errors import InputError
from ebabench.system.schema import parse_json, read_text, read_toml

if TYPE_CHECKING:
    from ebabench.generators.cards import Card
    from ebabench.training.data import Trajectories
    from ebabench.training.exclusions import Exclusion
    from ebabench.training.loop import TrainConfig
    from ebabench.training.stage import Stage

# What a run writes beside the settings that it can be made again from; the last two are a worker's.
_FACTS = ("command", "data_sha256", "start_sha256", "architecture", "random_weights")


@app.command()
def align(
    out: Annotated[Path, typer.Option(help="Where the checkpoint, its log and its state are kept.")],
    objective: Annotated[str | None, typer.Option(help="sft, plain denoising, or one that compares energies.")] = None,
    suite: Annotated[list[str] | None, typer.Option(help="Training suite; several are merged by target.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings as TOML or JSON, as in the config.json of a run; options go first.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="References in the ATLAS layout; or a folder with SUITE in it, as several suites need."),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="Ensembles of the suite's targets, a model's own, say, in place of its MD.")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Checkpoint to go on from; a fresh model without.")] = None,
    denoiser: Annotated[
        str | None, typer.Option(help="The kind of model, compact by default; or a worker's card, by name or path.")
    ] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Every how many frames are used; 1 by default.")] = None,
    forcefield: Annotated[str | None, typer.Option(help="The energy protocol; the suite's by default.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of ebabench.training.loop.TrainConfig.")
    ] = None,
    shape: Annotated[list[str] | None, typer.Option("--model", help="NAME=VALUE of a fresh model's shape.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that compute energies.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that train; one a core by default.")] = None,
    device: Annotated[str, typer.Option(help="Where the model trains: cpu, cuda, cuda:1.")] = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="How many of them train together, a process each.")] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write a TensorBoard log, too.")] = False,
) -> None:
    """Trains or aligns a model; the same command goes on where it was stopped."""
    given, facts = _file(config)
    train: dict[str, Any] = {**given.get("train", {}), **_pairs("--set", setting)}
    model = {**given.get("model", {}), **_pairs("--model", shape)}
    objective = objective or train.get("objective")
    suites = tuple(suite or given.get("suites", ()))
    if not objective or not suites:
        raise InputError(f"give --{'suite' if objective else 'objective'}, or a --config that has it")
    if start is not None and not start.is_file():
        raise InputError(f"--start: no checkpoint at {start}")
    named = denoiser or given.get("denoiser", "compact")
    if start is not None and model:
        raise InputError("--model is for a fresh model: the shape of this one comes from --start")
    import torch

    from ebabench.training.data import load
    from ebabench.training.distributed import check
    from ebabench.training.loop import TrainConfig
    from ebabench.training.remote import finetune
    from ebabench.training.settings import configured
    from ebabench.training.stage import Stage, begun
    from ebabench.training.stage import align as run

    card = _elsewhere(named, start, bool(model or devices > 1 or tensorboard))
    if start is None and card is None and facts.get("start_sha256"):
        raise InputError(f"--config {config}: its run began from a checkpoint: name it with --start")
    settings = configured(TrainConfig, {**train, "objective": objective})
    needs_energies = settings.build().needs_energies
    if threads:
        torch.set_num_threads(threads)
    stage = Stage(
        denoiser=named,
        suites=suites,
        stride=stride or given.get("stride", 1),
        start=start,
        command=shlex.join(["ebabench", *sys.argv[1:]]),
        model=model,
        energy=_protocol(suites, forcefield or given.get("energy")) if needs_energies else None,
        data_sha256=None if suite or data or samples or stride or forcefield else facts.get("data_sha256"),
    )
    if card is None:  # what is wrong is told before hours go into energies
        check(device, devices)
        begun(stage, settings.seed)
    loaded = load(suites, data, stage.stride, samples)
    if stage.energy is not None:
        loaded = _with_energies(loaded, stage, settings, jobs)
    trajectories, left_out = _sifted(stage, loaded, settings.compared, out)
    with progress(_leads()) as on_progress:

        def on_step(step: int, loss: float) -> None:
            on_progress(f"{objective} loss {loss:.3f}", step + 1, settings.steps)

        if card is None:
            checkpoint = run(
                stage, trajectories, settings, out, on_step, device, devices, tensorboard, left_out, on_progress
            )
        else:
            checkpoint = finetune(card, trajectories, settings, out, start, device, False, left_out, on_step)
    if _leads():
        print(f"the checkpoint is {checkpoint}")


def _elsewhere(denoiser: str, start: Path | None, unfit: bool) -> Card | None:
    """The card of a denoiser that a worker trains, which has all that this takes; None of another."""
    from ebabench.training.remote import required, worker_card

    card = worker_card(denoiser)
    if card is not None:
        if unfit:
            raise InputError(f"{denoiser} trains in its own environment: without --model, --devices and --tensorboard")
        required(card, start)
    return card


def _leads() -> bool:
    """Whether this is the process that a user started, and not one that it started to train with it."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _with_energies(
    trajectories: list[Trajectories], stage: Stage, settings: TrainConfig, jobs: int | None
) -> list[Trajectories]:
    from ebabench.system.process_pool import workers
    from ebabench.training.data import with_energies

    assert stage.energy is not None
    residues = settings.build().needs_residue_energies
    with progress(_leads()) as on_progress, workers(jobs) as pool:
        return with_energies(trajectories, stage.energy, pool, on_progress, residues)


def _sifted(
    stage: Stage, loaded: list[Trajectories], compared: int, out: Path
) -> tuple[list[Trajectories], list[Exclusion]]:
    """What is trained on, and what is not, which the console is told."""
    from ebabench.datasets.suites import load_suite
    from ebabench.training.exclusions import FILE, sifted, told

    wanted = [target.name for name in stage.suites for target in load_suite(name).targets]
    trajectories, left_out = sifted(wanted, loaded, compared)
    if left_out and _leads():
        print("\n".join([*told(left_out), f"{out / FILE} will name them all"]), file=sys.stderr)
    return trajectories, left_out


def _protocol(suites: tuple[str, ...], chosen: str | None) -> str:
    """The energy protocol: the one chosen, or that of the suites."""
    from ebabench.datasets.suites import load_suite

    named = {chosen} if chosen else {load_suite(name).energy for name in suites}
    if len(named) == 1 and (protocol := named.pop()) is not None:
        from ebabench.physics.protocols import get_protocol

        return get_protocol(protocol).name
    raise InputError("the suites name no energy protocol in common: choose one with --forcefield")


def _file(path: Path | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
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


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """NAME=VALUE, taken apart."""
    for text in texts or ():
        if "=" not in text or text.startswith("objective="):
            raise InputError(f"{option} {text}: expected NAME=VALUE")
    return dict(text.split("=", 1) for text in texts or ())
