"""The leaderboard of a suite: run folders -> ``<suite>.csv``, with the same as Markdown and HTML beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.errors import InputError, RunError
from ebabench.results.board import (
    FLOOR,
    Board,
    beside,
    check_references,
    empty_board,
    merged,
    read_board,
    row_digest,
    without,
)
from ebabench.results.pairs import Ranking, all_pairs, card_family, is_ranked
from ebabench.results.report import best, pages
from ebabench.results.runs import Run
from ebabench.results.standing import OFFICIAL, QUOTED, refusal
from ebabench.results.worth import short
from ebabench.scoring.spec import MetricSpec, default_view
from ebabench.system.files import exclusive, replace_file
from ebabench.system.registry import folder as package_folder

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


def rebuild(
    suite: Suite, runs: Sequence[Run], specs: Sequence[MetricSpec], folder: Path, remove: Sequence[str] = ()
) -> Board:
    """Bring a leaderboard up to date with runs, in all its files, and return it. See ``board.merged``.

    The CSV holds the rows of that folder alone. The pages and the board that is returned also show the rows that are
    shipped with ebabench, of models that have no row of the same standing there.

    Args:
        suite: Whose leaderboard.
        runs: Finished runs (``Run.finish``) of that suite.
        specs: The metrics of today; those with an aggregate become columns.
        folder: Where leaderboards lie.
        remove: Models whose rows are taken out; their runs get none.

    Raises:
        InputError: A run may not stand there (``refusal``), a model to remove has no row there, two rows were scored
            against different references, or the CSV is not a leaderboard of this suite. All files are as they were.
        RunError: A file cannot be written. The CSV is as it was, or is whole.
    """
    _check_runs(suite, runs)
    path = folder / f"{suite.id}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            kept = without(read_board(path, suite, specs), remove)
            board = merged(kept, suite, [run for run in runs if run.identity.model not in remove], specs)
            shown = beside(_shipped(suite, specs, folder), board)
            check_references(path, shown.lines)
            replace_file(path, board.to_csv())
            for page, text in pages(shown, suite, folder, _ranking(shown, suite, runs)).items():
                path = page
                replace_file(page, text)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror}; it is as it was, and the runs are kept",
            code="board.write",
            file=path,
        ) from error
    return shown


def _ranking(board: Board, suite: Suite, runs: Sequence[Run]) -> Ranking:
    """The ranked models of a board, compared in the metrics of the short table; only runs that its rows are made of."""
    official = {line["model"]: line["records"] for line in board.lines if line["status"] == OFFICIAL}
    of_rows = {run.identity.model: run for run in runs if row_digest(run.records()) == official.get(run.identity.model)}
    ranked = frozenset(
        line["model"]
        for line in board.lines
        if line["model"] != FLOOR and is_ranked(line["status"], card_family(line["model"], of_rows))
    )
    shown = default_view(board.specs, suite.family)
    return Ranking(ranked, all_pairs({name: run for name, run in of_rows.items() if name in ranked}, shown))


def _shipped(suite: Suite, specs: Sequence[MetricSpec], folder: Path) -> Board:
    """The board that comes with ebabench; an empty one beside the shipped files themselves."""
    place = package_folder("ebabench.leaderboards")
    if folder.resolve() == place.resolve():
        return empty_board(suite, specs)
    return read_board(place / f"{suite.id}.csv", suite, specs)


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
