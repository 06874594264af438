"""``ebabench md-time``: how many nanoseconds of MD a run is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress, show


@app.command("md-time")
def md_time(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric or family; the primary metrics by default.")
    ] = None,
    ensembles: Annotated[Path | None, typer.Option(help="The folder that was scored, if not sampled here.")] = None,
    data: Annotated[Path | None, typer.Option(help="References in the ATLAS layout, if not embedded.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
) -> None:
    """Print how many nanoseconds of MD have a model's error: bounds are marked, nothing is extrapolated."""
    from ebabench.workflows.md_time import md_time as measure

    for run in runs:
        with progress() as tell:
            found = measure(run, metrics=metric, ensembles=ensembles, data=data, jobs=jobs, progress=tell)
        rows = [
            (key, str(time), f"{time.low:.3g} to {time.high:.3g}", str(time.n_targets))
            for key, time in found.metrics.items()
        ]
        title = f"{found.model}: {found.headline} of MD (median over {', '.join(found.primary)})"
        if (cost := found.cost) is not None:
            title += f"; sampled at {cost.seconds_per_sample:.3g} s per conformation on {cost.device}"
        if (price := found.price) is not None:
            title += f"; as much MD takes {price.sign}{price.md:.3g} s on one core of {price.md_device}"
        show(title, ("metric", "MD-equivalent time", "95 % interval (ns)", "targets"), rows)
