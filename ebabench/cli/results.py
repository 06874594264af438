"""``ebabench compare`` and ``leaderboard``: what runs say together; ``plot``: what one looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress, show_table, width
from ebabench.errors import InputError

_Metric = Annotated[list[str] | None, typer.Option(help="Only this metric or family; may be given more than once.")]


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is compared with each of the others.")],
    metric: _Metric = None,
) -> None:
    """Print paired differences between runs, with intervals and verdicts; a verdict may be that nobody can tell."""
    from ebabench.results.comparison import comparison_table
    from ebabench.workflows.compare import as_run, differences

    if len(runs) < 2:
        raise InputError("give two run folders or more", code="compare.runs")
    first, *others = [as_run(folder) for folder in runs]
    for other in others:
        title = f"A: {first.folder}\nB: {other.folder}"
        show_table(comparison_table(differences(first, other, metric), title))


@app.command()
def plot(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    target: Annotated[list[str] | None, typer.Option(help="Only this target; may be given more than once.")] = None,
    ensembles: Annotated[Path | None, typer.Option(help="The folder that was scored, if not sampled here.")] = None,
    data: Annotated[Path | None, typer.Option(help="References in the ATLAS layout, if not embedded.")] = None,
) -> None:
    """Draw the targets of a run beside MD, and write conformations of both for viewers of structures."""
    from ebabench.workflows.plot import plot as plot_targets

    with progress() as tell:
        pictures = plot_targets(run, targets=target or (), ensembles=ensembles, data=data, progress=tell)
    print(f"{len(pictures)} pictures and the conformations in them are in {run / 'plots'}")


@app.command()
def leaderboard(
    suite: Annotated[str, typer.Option(help="The suite whose leaderboard is rebuilt.")] = "peptides-v1",
    runs: Annotated[Path, typer.Option(help="Where run folders lie.")] = Path("runs"),
    leaderboards: Annotated[Path, typer.Option(help="Where leaderboards are kept.")] = Path("leaderboards"),
    metric: _Metric = None,
) -> None:
    """Rebuild a leaderboard from the run folders under a folder, and show it."""
    from ebabench.results.leaderboard import board_tables
    from ebabench.scoring.selection import select_metrics
    from ebabench.workflows.publish import leaderboard as rebuild

    shown = select_metrics(metric).specs
    made = rebuild(suite, runs, leaderboards)
    for folder, why in made.left_out.items():
        print(f"left out: {folder}: {why}")
    if made.board.lines:
        for table in board_tables(made.board, shown, width()):
            show_table(table)
    if made.board.quoted:
        print(f"{len(made.board.quoted)} rows quoted from others stand in these files too, and are not ranked")
    print(f"{len(made.runs)} runs; the leaderboard is {made.table}, also as {', '.join(map(str, made.pages))}")
