"""``ebabench align``: trains a diffusion model on molecular dynamics, by plain denoising or by energies."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, pairs, progress


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
        typer.Option(
            help="MD as ATLAS, MDGen or Timewarp lay it out; or a folder with SUITE in it, as several suites need."
        ),
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
        list[str] | None, typer.Option("--set", help="NAME=VALUE of TrainConfig (ebabench.training.loop).")
    ] = None,
    shape: Annotated[list[str] | None, typer.Option("--model", help="NAME=VALUE of a fresh model's shape.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that compute energies.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that train; one per core by default.")] = None,
    device: Annotated[str, typer.Option(help="Where the model trains: cpu, cuda, cuda:1.")] = "cpu",
    devices: Annotated[int, typer.Option(min=1, help="How many of them train together, a process each.")] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write a TensorBoard log, too.")] = False,
) -> None:
    """Train or align a model; the same command goes on where it was stopped."""
    from ebabench.workflows.align import align as train

    # Several devices are trained on by several processes of this command: the first one speaks.
    leads = os.environ.get("LOCAL_RANK", "0") == "0"
    with progress(leads) as tell:
        checkpoint = train(
            out,
            objective,
            suite or (),
            config=config,
            data=data,
            samples=samples,
            start=start,
            denoiser=denoiser,
            stride=stride,
            energy=forcefield,
            settings=pairs("--set", setting),
            model=pairs("--model", shape),
            jobs=jobs,
            threads=threads,
            device=device,
            devices=devices,
            tensorboard=tensorboard,
            command=shlex.join(["ebabench", *sys.argv[1:]]),
            remark=lambda text: print(text, file=sys.stderr) if leads else None,
            progress=tell,
        )
    if leads:
        print(f"the checkpoint is {checkpoint}")
