"""``ebabench compare`` and ``ebabench leaderboard``: what runs say together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, show_table
from ebabench.contracts import MetricSpec
from ebabench.errors import InputError, unknown
from ebabench.registry import METRICS
from ebabench.suites import load_suite


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is compared with each of the others.")],
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric; may be given more than once.")] = None,
) -> None:
    """Paired differences between runs, with intervals and a verdict that may be that they cannot be told apart."""
    from ebabench.comparison import compare as compare_two
    from ebabench.comparison import comparison_table
    from ebabench.runs import Run

    if len(runs) < 2:
        raise InputError("give two run folders or more")
    specs = _specs(metric)
    first, *others = [Run.read(folder) for folder in runs]
    for other in others:
        differences = compare_two(first, other, specs)
        show_table(comparison_table(differences, f"A: {first.folder}\nB: {other.folder}"))


@app.command()
def leaderboard(
    suite: Annotated[str, typer.Option(help="The suite whose leaderboard is rebuilt.")] = "peptides-v1",
    runs: Annotated[Path, typer.Option(help="Where run folders lie.")] = Path("runs"),
    leaderboards: Annotated[Path, typer.Option(help="Where leaderboards are kept.")] = Path("leaderboards"),
    metric: Annotated[list[str] | None, typer.Option(help="Show only this one; may be given more than once.")] = None,
) -> None:
    """Rebuilds a leaderboard from the run folders under a folder, and shows it."""
    from ebabench.leaderboard import board_table, rebuild, refusal
    from ebabench.report import write_report
    from ebabench.runs import Run

    chosen, shown = load_suite(suite), _specs(metric)
    found = [Run.read(path.parent) for path in sorted(runs.rglob("manifest.json"))]
    ranked = []
    for run in found:
        if run.identity.suite != chosen.id:
            continue
        if why := refusal(run, chosen):
            print(f"left out: {run.folder}: {why}")
        else:
            ranked.append(run)
    board = rebuild(chosen, ranked, _specs(None), leaderboards)
    if board.lines:
        show_table(board_table(board, shown))
    if board.quoted:
        print(f"{len(board.quoted)} rows quoted from others stand in these files too, and are not ranked")
    pages = write_report(board, chosen, leaderboards)
    print(
        f"{len(ranked)} runs; the leaderboard is {leaderboards / chosen.id}.csv, also as {', '.join(map(str, pages))}"
    )


def _specs(names: list[str] | None) -> list[MetricSpec]:
    """All metrics, or those of these names. Raises InputError, with the nearest names."""
    specs = {spec.key: spec for family in METRICS for spec in METRICS.load(family).specs}
    for name in names or ():
        if name not in specs:
            raise unknown("metric", name, specs)
    return [spec for key, spec in specs.items() if not names or key in names]
