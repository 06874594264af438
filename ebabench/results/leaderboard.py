"""The leaderboard of a suite: run folders -> ``<suite>.csv``, with the same as Markdown and HTML beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.errors import InputError, RunError
from ebabench.results.board import FLOOR, Board, check_references, empty_board, merged, read_board
from ebabench.results.report import best, pages
from ebabench.results.runs import Run
from ebabench.results.standing import OFFICIAL, QUOTED, refusal
from ebabench.results.worth import short
from ebabench.scoring.spec import MetricSpec
from ebabench.system.files import exclusive, replace_file

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite

__all__ = [
    "FLOOR",
    "OFFICIAL",
    "QUOTED",
    "Board",
    "best",
    "board_of",
    "rebuild",
    "refusal",
    "short",
]


def rebuild(suite: Suite, runs: Sequence[Run], specs: Sequence[MetricSpec], folder: Path) -> Board:
    """Bring a leaderboard up to date with runs, in all its files, and return it. See ``board.merged``.

    Args:
        suite: Whose leaderboard.
        runs: Finished runs (``Run.finish``) of that suite.
        specs: The metrics of today; those with an aggregate become columns.
        folder: Where leaderboards lie.

    Raises:
        InputError: A run may not stand there (``refusal``), two rows were scored against different references, or the
            CSV is not a leaderboard of this suite. All files are as they were.
        RunError: A file cannot be written. The CSV is as it was, or is whole.
    """
    _check_runs(suite, runs)
    path = folder / f"{suite.id}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            board = merged(read_board(path, suite, specs), suite, runs, specs)
            check_references(path, board.lines)
            replace_file(path, board.to_csv())
            for page, text in pages(board, suite, folder).items():
                path = page
                replace_file(page, text)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror}; it is as it was, and the runs are kept",
            code="board.write",
            file=path,
        ) from error
    return board


def board_of(suite: Suite, runs: Sequence[Run], specs: Sequence[MetricSpec], table: Path | None = None) -> Board:
    """Return the board of runs, beside the rows of a published table, without writing anything.

    Args:
        suite: The suite.
        runs: Finished runs of that suite.
        specs: The metrics of today.
        table: A leaderboard's CSV, if there is one.

    Raises:
        InputError: A run may not stand there, rows were scored against different references, or the CSV is not a
            leaderboard.
    """
    _check_runs(suite, runs)
    path = table or Path(suite.id)
    board = merged(read_board(path, suite, specs) if table else empty_board(suite, specs), suite, runs, specs)
    check_references(path, board.lines)
    return board


def _check_runs(suite: Suite, runs: Sequence[Run]) -> None:
    for run in runs:
        if why := refusal(run, suite):
            raise InputError(f"{run.folder}: {why}", code="board.refused", folder=run.folder)
