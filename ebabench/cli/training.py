"""``ebabench align``: trains a diffusion model on molecular dynamics, by plain denoising or by energies."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress
from ebabench.errors import InputError
from ebabench.suites import load_suite


@app.command()
def align(
    objective: Annotated[str, typer.Option(help="sft (plain denoising), eba or eba-dpo.")],
    suite: Annotated[list[str], typer.Option(help="Training suite; several are merged by target.")],
    out: Annotated[Path, typer.Option(help="Where the checkpoint, its log and its state are kept.")],
    data: Annotated[
        Path | None, typer.Option(help="Holds DATA/SUITE in the ATLAS layout; what is embedded by default.")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Checkpoint to go on from; a fresh model without.")] = None,
    denoiser: Annotated[str, typer.Option(help="The kind of model.")] = "compact",
    stride: Annotated[int, typer.Option(min=1, help="Every how many frames are used.")] = 1,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of ebabench.alignment.training.TrainConfig.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that compute energies.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that train; one a core by default.")] = None,
    device: Annotated[str, typer.Option(help="Where the model trains: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Trains or aligns a model; the same command goes on where it was stopped."""
    settings = _settings(objective, setting or [])
    if start is not None and not start.is_file():
        raise InputError(f"--start: no checkpoint at {start}")
    protocols = {load_suite(name).energy for name in suite}
    import torch

    from ebabench.alignment import objectives
    from ebabench.alignment.align import Stage
    from ebabench.alignment.align import align as run
    from ebabench.alignment.data import load, with_energies
    from ebabench.alignment.training import TrainConfig
    from ebabench.parallel import workers

    needs_energies = objectives.build(objective, alpha_t=1.0, beta=1.0).needs_energies
    config = TrainConfig(**settings)  # type: ignore[arg-type]
    if threads:
        torch.set_num_threads(threads)
    stage = Stage(denoiser, tuple(suite), stride, start, shlex.join(["ebabench", *sys.argv[1:]]))
    conformations = load(suite, data, stride)
    with progress() as bar:
        if needs_energies:
            if len(protocols) != 1:
                raise InputError(f"the suites name different energy protocols: {', '.join(sorted(protocols))}")
            task = bar.add_task("energies", total=len(conformations))
            with workers(jobs) as pool:
                conformations = with_energies(conformations, protocols.pop(), pool, lambda: bar.advance(task))
        task = bar.add_task(objective, total=config.steps)

        def on_step(step: int, loss: float) -> None:
            bar.update(task, completed=step + 1, description=f"{objective} loss {loss:.3f}")

        checkpoint = run(stage, conformations, config, out, on_step, device)
    print(f"the checkpoint is {checkpoint}")


def _settings(objective: str, given: list[str]) -> dict[str, bool | int | float | str]:
    from ebabench.alignment.training import TrainConfig

    defaults = TrainConfig()
    kinds = {field.name: type(getattr(defaults, field.name)) for field in fields(TrainConfig)}
    chosen: dict[str, bool | int | float | str] = {"objective": objective}
    for text in given:
        name, _, value = text.partition("=")
        if name not in kinds or name == "objective":
            raise InputError(f"--set {text}: no such setting; known: {', '.join(sorted(set(kinds) - {'objective'}))}")
        try:
            chosen[name] = {"true": True, "false": False}[value] if kinds[name] is bool else kinds[name](value)
        except (KeyError, ValueError) as error:
            raise InputError(f"--set {text}: {name} is a {kinds[name].__name__}") from error
    return chosen
