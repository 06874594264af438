"""``ebabench compare`` and ``leaderboard``: what runs say together; ``plot``: what one looks like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app, progress, show_table, width
from ebabench.datasets.references import read_reference
from ebabench.datasets.suites import SUITES, load_suite, reference_reader
from ebabench.errors import InputError, unknown
from ebabench.scoring.metric import METRICS
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble, Reference

if TYPE_CHECKING:
    from ebabench.results.runs import Run


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is compared with each of the others.")],
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric; may be given more than once.")] = None,
) -> None:
    """Paired differences between runs, with intervals and a verdict that may be that they cannot be told apart."""
    from ebabench.results.comparison import compare as compare_two
    from ebabench.results.comparison import comparison_table
    from ebabench.results.runs import Run

    if len(runs) < 2:
        raise InputError("give two run folders or more")
    specs = _specs(metric)
    first, *others = [Run.read(folder) for folder in runs]
    for other in others:
        differences = compare_two(first, other, specs)
        show_table(comparison_table(differences, f"A: {first.folder}\nB: {other.folder}"))


@app.command()
def plot(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    target: Annotated[list[str] | None, typer.Option(help="Only this target; may be given more than once.")] = None,
    ensembles: Annotated[Path | None, typer.Option(help="The folder that was scored, if not sampled here.")] = None,
    data: Annotated[Path | None, typer.Option(help="References in the ATLAS layout, if not embedded.")] = None,
) -> None:
    """Draws the targets of a run beside MD, and writes conformations of both for viewers of structures."""
    from ebabench.results.plots import plot_run
    from ebabench.results.runs import Run

    folder = Run.read(run)
    for name in target or ():
        if name not in folder.identity.targets:
            raise unknown("target", name, folder.identity.targets)
    records = [
        record for record in folder.records() if record.error is None and (not target or record.target in target)
    ]
    if not records:
        raise InputError(f"{run}: no target {'of these ' if target else ''}is scored, so there is nothing to draw")
    with progress() as bar:
        pictures = plot_run(folder, records, _references(folder, data), _ensembles(folder, ensembles))
        for _ in bar.track(pictures, total=len(records), description="drawing"):
            pass
    print(f"{len(records)} pictures and the conformations in them are in {run / 'plots'}")


def _references(run: Run, data: Path | None) -> Callable[[str], Reference]:
    """Reads what the run was scored against: its suite, or the folder that was given as ``--reference``."""
    if run.identity.suite in SUITES:
        return reference_reader(load_suite(run.identity.suite), data)
    folder = data or Path(run.identity.suite)
    if not folder.is_dir():
        raise InputError(f"{folder} is not here: give its references as --data")
    return partial(read_reference, folder, tier=run.identity.tier)


def _ensembles(run: Run, folder: Path | None) -> Callable[[str], Ensemble]:
    """Reads what was scored: ensembles of the run folder, or those of a folder that must hold the same files."""
    from ebabench.io.structure_files import find_ensembles, load_ensemble, read_ensemble
    from ebabench.results.runs import files_digest

    paths = {name: run.ensemble_path(name) for name in run.identity.targets}
    if folder is not None:
        found = find_ensembles(folder)
        paths = {name: found[name] for name in paths if name in found}
        if files_digest(paths) != run.identity.ensembles:
            raise InputError(f"{folder}: not the ensembles that {run.folder} was made of")
    elif not any(path.exists() for path in paths.values()):
        raise InputError(f"{run.folder} was scored from files elsewhere: give their folder as --ensembles")
    read = load_ensemble if folder is None else read_ensemble
    return lambda name: read(paths[name], name)


@app.command()
def leaderboard(
    suite: Annotated[str, typer.Option(help="The suite whose leaderboard is rebuilt.")] = "peptides-v1",
    runs: Annotated[Path, typer.Option(help="Where run folders lie.")] = Path("runs"),
    leaderboards: Annotated[Path, typer.Option(help="Where leaderboards are kept.")] = Path("leaderboards"),
    metric: Annotated[list[str] | None, typer.Option(help="Show only this one; may be given more than once.")] = None,
) -> None:
    """Rebuilds a leaderboard from the run folders under a folder, and shows it."""
    from ebabench.results.leaderboard import board_tables, rebuild, refusal
    from ebabench.results.report import write_report
    from ebabench.results.runs import Run

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
        for table in board_tables(board, shown, width()):
            show_table(table)
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
