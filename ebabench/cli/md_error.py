"""``ebabench md-error``: how much of a run's figures is open because the MD is finite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress, show


@app.command("md-error")
def md_error(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric or family; the primary metrics by default.")
    ] = None,
    ensembles: Annotated[Path | None, typer.Option(help="The folder that was scored, if not sampled here.")] = None,
    data: Annotated[Path | None, typer.Option(help="References in the ATLAS layout, if not embedded.")] = None,
    resamples: Annotated[int, typer.Option(min=2, help="How many references are drawn.")] = 30,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
) -> None:
    """Print the interval of each target's figures that comes from the finite MD, by a block bootstrap of it."""
    from ebabench.results.worth import short
    from ebabench.workflows.md_error import md_error as measure

    with progress() as tell:
        table = measure(
            run, metrics=metric, ensembles=ensembles, data=data, resamples=resamples, jobs=jobs, progress=tell
        )
    rows = [
        (row["target"], row["metric"], short(row["value"]), f"{short(row['low'])} to {short(row['high'])}",
         short(row["floor"]), "cannot be told from the floor" if row["within"] else "",
         short(row["independent_samples"]))
        for row in table.reset_index().to_dict("records")
    ]  # fmt: skip
    head = ("target", "metric", "value", "95 % interval of MD", "floor", "", "T / 2 tau")
    show(str(run), head, rows)
