"""Bring leaderboards up to date."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ebabench.datasets.suites import Suite, load_suite
from ebabench.results.leaderboard import Board, rebuild, refusal
from ebabench.results.report import write_report
from ebabench.results.runs import Run
from ebabench.scoring.selection import registered

LEADERBOARDS = Path("leaderboards")
"""Where leaderboards lie by default, under the current folder."""


@dataclass(frozen=True)
class Published:
    """A leaderboard that was brought up to date.

    Attributes:
        board: Its rows.
        runs: The runs that it was made from.
        left_out: Why a run has no row, by run folder.
        table: The CSV.
        pages: The same as Markdown and as HTML.
    """

    board: Board
    runs: tuple[Run, ...]
    left_out: dict[Path, str]
    table: Path
    pages: tuple[Path, ...]


def publish(run: Run, suite: Suite, leaderboards: str | os.PathLike[str] = LEADERBOARDS) -> None:
    """Give a run its row on the leaderboard of its suite. The run's remarks say where, or why not.

    Raises:
        InputError: The row cannot stand beside the others: it was scored against other references.
        RunError: The leaderboard cannot be written.
    """
    if why := refusal(run, suite):
        run.remarks.append(f"not on the leaderboard: {why}")
        return
    made = _board(suite, [run], Path(leaderboards), {})
    run.remarks.append(f"the leaderboard is {made.table}")


def leaderboard(
    suite: str | Suite = "peptides-v1",
    runs: str | os.PathLike[str] | Iterable[Run] = "runs",
    leaderboards: str | os.PathLike[str] = LEADERBOARDS,
) -> Published:
    """Bring the leaderboard of a suite up to date with runs, and return it.

    Args:
        suite: The suite.
        runs: Runs, or a folder: all run folders under it count.
        leaderboards: The folder of leaderboards.

    Raises:
        InputError: A run cannot be read, or rows were scored against different references.
        RunError: The leaderboard cannot be written.
    """
    chosen = suite if isinstance(suite, Suite) else load_suite(suite)
    if isinstance(runs, str | os.PathLike):
        runs = [Run.read(path.parent) for path in sorted(Path(runs).rglob("manifest.json"))]
    of_suite = [run for run in runs if run.identity.suite == chosen.id]
    refused = {run.folder: why for run in of_suite if (why := refusal(run, chosen))}
    return _board(chosen, [run for run in of_suite if run.folder not in refused], Path(leaderboards), refused)


def _board(suite: Suite, runs: list[Run], folder: Path, left_out: dict[Path, str]) -> Published:
    specs = [spec for metric in registered() for spec in metric.specs]
    board = rebuild(suite, runs, specs, folder)
    pages = write_report(board, suite, folder)
    return Published(board, tuple(runs), left_out, folder / f"{suite.id}.csv", tuple(pages))
