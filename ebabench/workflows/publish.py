"""Bring leaderboards up to date."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebabench.datasets import DEFAULT_SUITE
from ebabench.datasets.suites import Suite, load_suite
from ebabench.errors import InputError
from ebabench.results.leaderboard import Board, rebuild, refusal
from ebabench.results.runs import Run
from ebabench.scoring.selection import registered

LEADERBOARDS = Path("runs") / "leaderboards"
"""Where the leaderboards of one's own runs lie by default, under the current folder."""


@dataclass(frozen=True)
class Published:
    """A leaderboard that was brought up to date.

    Attributes:
        board: Its rows, and those that are shipped with ebabench.
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

    def __repr__(self) -> str:
        return f"Published({str(self.table)!r}: of {len(self.runs)} runs, {len(self.left_out)} left out)"


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
    run.remarks += [*(f"no new row: {text}" for text in made.board.remarks), f"the leaderboard is {made.table}"]


_RUNS = Path("runs")  # which need not be there: the shipped rows are shown without any of one's own


def leaderboard(
    suite: str | Suite = DEFAULT_SUITE,
    runs: str | os.PathLike[str] | Iterable[Run] = "runs",
    leaderboards: str | os.PathLike[str] = LEADERBOARDS,
    remove: Sequence[str] = (),
) -> Published:
    """Bring the leaderboard of a suite up to date with runs, and return it.

    The CSV has the rows of one's own runs. The pages show them beside the rows that are shipped with ebabench.

    Args:
        suite: The suite.
        runs: Runs, or a folder: all run folders under it count.
        leaderboards: The folder of leaderboards.
        remove: Models whose rows are taken out. While their runs lie there, the next call brings them back.

    Raises:
        InputError: The folder of runs is not there, a model to remove has no row of one's own, rows were scored against
            different references, or the CSV is not a leaderboard of the suite.
        RunError: The leaderboard cannot be written.

    Example:
        >>> import ebabench, tempfile
        >>> made = ebabench.leaderboard("peptides-v1", runs=[], leaderboards=tempfile.mkdtemp())
        >>> made.table.name, any(line["model"] == "md" for line in made.board.lines)
        ('peptides-v1.csv', True)
    """
    chosen = suite if isinstance(suite, Suite) else load_suite(suite)
    left_out: dict[Path, str] = {}
    if isinstance(runs, str | os.PathLike):
        folder = Path(runs)
        if not folder.is_dir() and (folder != _RUNS or os.path.lexists(folder)):
            raise InputError(f"{folder}: there is no such folder of runs", code="runs.missing", folder=folder)
        runs = list(_found(folder, left_out))
    kept = []
    for run in (run for run in runs if run.identity.suite == chosen.id):
        try:
            why = refusal(run, chosen)
        except InputError as error:  # a record that cannot be read
            why = str(error)
        if why:
            left_out[run.folder] = why
        else:
            kept.append(run)
    return _board(chosen, kept, Path(leaderboards), left_out, remove)


def _found(folder: Path, left_out: dict[Path, str]) -> Iterator[Run]:
    """The runs under a folder; other programs write manifests, too."""
    for path in sorted(folder.rglob("manifest.json")):
        try:
            yield Run.read(path.parent)
        except InputError as error:
            left_out[path.parent] = str(error)


def _board(
    suite: Suite, runs: list[Run], folder: Path, left_out: dict[Path, str], remove: Sequence[str] = ()
) -> Published:
    specs = [spec for metric in registered() for spec in metric.specs]
    board = rebuild(suite, runs, specs, folder, remove)
    table, *pages = (folder / f"{suite.id}.{kind}" for kind in ("csv", "md", "html"))
    left_out |= {run.folder: text for run in runs for text in board.remarks if text.startswith(f"{run.folder}: ")}
    return Published(board, tuple(runs), left_out, table, tuple(pages))
