"""``ebabench compare`` and ``leaderboard``: what runs say together; ``plot``: what one looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app, progress, show, show_text
from ebabench.datasets import DEFAULT_SUITE
from ebabench.errors import InputError

if TYPE_CHECKING:
    from ebabench.results.runs import Run

_Metric = Annotated[list[str] | None, typer.Option(help="Only this metric or family; may be given more than once.")]


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is compared with each of the others.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="This metric or family, or all; the primary metrics of the suite by default."),
    ] = None,
) -> None:
    """Print paired differences between runs, with intervals and verdicts; a verdict may be that nobody can tell.

    p values are adjusted for the number of metrics.
    """
    from ebabench.results.text import comparison_table
    from ebabench.workflows.compare import as_run, differences

    if len(runs) < 2:
        raise InputError("give two run folders or more", code="compare.runs")
    first, *others = [as_run(folder) for folder in runs]
    for other in others:
        title = f"A: {first.folder}\nB: {other.folder}"
        show_text(comparison_table(differences(first, other, metric), title))


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
    print(f"{len(pictures)} picture{'s' * (len(pictures) != 1)} and the conformations in them: {run / 'plots'}")


@app.command()
def leaderboard(
    suite: Annotated[
        str | None, typer.Option(help=f"The suite; {DEFAULT_SUITE} by default, with --verify that of the run or CSV.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders lie.")] = Path("runs"),
    leaderboards: Annotated[Path, typer.Option(help="Where the leaderboards of your runs lie.")] = Path(
        "runs/leaderboards"
    ),
    remove: Annotated[list[str] | None, typer.Option(help="Take out the row of this model.")] = None,
    metric: _Metric = None,
    unseen: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Also show rows at targets below this sequence identity to training data."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all metrics.")] = False,
    verify: Annotated[
        Path | None, typer.Option(help="Do not rebuild: verify this run folder, or this CSV by the runs of --runs.")
    ] = None,
    ensembles: Annotated[Path | None, typer.Option(help="With --verify RUN: the ensembles that were scored.")] = None,
    data: Annotated[Path | None, typer.Option(help="With --verify RUN: references, if not embedded.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="With --verify RUN: processes that score.")] = None,
) -> None:
    """Rebuild a leaderboard from the run folders under a folder, and show it; or verify a run or a leaderboard."""
    if verify is not None:
        _verify(verify, suite, runs, ensembles, data, jobs)
        return
    from ebabench.datasets.suites import load_suite
    from ebabench.results.text import board_table
    from ebabench.scoring.selection import select_metrics
    from ebabench.scoring.spec import default_view
    from ebabench.workflows.publish import leaderboard as rebuild

    shown = select_metrics(metric).specs
    made = rebuild(suite or DEFAULT_SUITE, runs, leaderboards, remove or ())
    for folder, why in made.left_out.items():
        print(f"left out: {folder}: {why}")
    if made.board.lines:
        chosen = shown if metric or everything else default_view(shown, load_suite(suite or DEFAULT_SUITE).family)
        show_text(board_table(made.board, chosen, made.board.suite))
        if len(chosen) < len(shown):
            print("the metrics of the short table; --metric chooses others, --all shows all")
    if unseen is not None:
        _at_unseen(made.runs, suite or DEFAULT_SUITE, unseen, metric)
    if made.board.quoted:
        print(f"{len(made.board.quoted)} rows quoted from others stand in these files too, and are not ranked")
    print(f"{len(made.runs)} runs; the leaderboard is {made.table}, also as {', '.join(map(str, made.pages))}")


def _at_unseen(runs: Sequence[Run], suite: str, threshold: float, metrics: list[str] | None) -> None:
    from ebabench.datasets.suites import load_suite
    from ebabench.results.worth import short
    from ebabench.workflows.leakage import unseen_rows

    chosen = load_suite(suite)
    rows = unseen_rows(chosen, runs, threshold, metrics)
    head = ["model", "unseen", *(one.spec.key for one in rows[0].every)] if rows else ["model", "unseen"]
    cells = []
    for row in rows:
        there = {one.spec.key: short(one.estimate.value) for one in row.at_unseen}
        figures = [f"{short(one.estimate.value)} / {there.get(one.spec.key, '–')}" for one in row.every]
        cells.append((row.model, row.why or f"{row.unseen} of {len(chosen.targets)}", *figures))
    show(f"at all targets / at targets below {100 * threshold:.0f} % identity to training data", tuple(head), cells)


def _verify(
    subject: Path, suite: str | None, runs: Path, ensembles: Path | None, data: Path | None, jobs: int | None
) -> None:
    from ebabench.workflows.verify import verify

    with progress() as tell:
        found = verify(subject, suite=suite, runs=runs, ensembles=ensembles, data=data, jobs=jobs, progress=tell)
    rows = [(check.name, "ok" if check.passed else "refused", check.detail) for check in found.checks]
    show(f"verification of {subject}", ("check", "outcome", "found"), rows)
    found.require()
