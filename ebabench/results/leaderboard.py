"""The leaderboard of a suite: run folders -> ``<suite>.csv``, with the same as Markdown and HTML beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.errors import InputError, RunError
from ebabench.results.aggregation import Row
from ebabench.results.board import FLOOR, Board, Line, check_references, empty_board, merged, read_board
from ebabench.results.report import best, pages, short
from ebabench.results.runs import Run
from ebabench.results.standing import OFFICIAL, QUOTED, refusal
from ebabench.scoring.spec import MetricSpec
from ebabench.system.files import exclusive, replace_file
from ebabench.system.names import printable

if TYPE_CHECKING:
    from rich.table import Table

    from ebabench.datasets.suites import Suite

__all__ = [
    "FLOOR",
    "OFFICIAL",
    "QUOTED",
    "Board",
    "best",
    "board_of",
    "board_tables",
    "print_summary",
    "rebuild",
    "refusal",
    "short",
]
_COLUMN = 27  # characters of a value with its interval, or of a long metric's name


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


def print_summary(rows: Sequence[Row], title: str) -> Table:
    """The rows of a summary as a table for ``rich.print``."""
    from rich.table import Table

    shown = Table(title=title, title_justify="left", header_style="bold")
    shown.add_column("metric", overflow="fold")
    for name in ("value", "95 % interval", "floor"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name in ("unit", "best", ""):
        shown.add_column(name)
    for row in rows:
        found = row.estimate
        span = f"{short(found.low)} to {short(found.high)}" if found.low == found.low else ""
        said = [f"{found.n_undefined} of {found.n_undefined + found.n_targets} targets undefined"]
        said = said * bool(found.n_undefined) + [found.reason] * (found.reason not in ("", "undefined"))
        shown.add_row(
            row.spec.key, short(found.value), span, short(row.floor), row.spec.unit, best(row.spec), "; ".join(said)
        )
    return shown


def board_tables(board: Board, specs: Sequence[MetricSpec], width: int) -> Iterator[Table]:
    """The leaderboard as tables for ``rich.print`` that are Markdown too: a row a model, as many metrics as fit."""
    from rich.box import MARKDOWN
    from rich.table import Table

    names = [f"{printable(line['model'])} ({line['status']})".replace(f" ({OFFICIAL})", "") for line in board.lines]
    specs = [spec for spec in specs if spec.aggregate]
    fit = max(1, (width - max(map(len, names), default=0) - 3) // _COLUMN)
    for start in range(0, len(specs), fit):
        portion = specs[start : start + fit]
        shown = Table("model", box=MARKDOWN)
        for spec in portion:
            unit = f" [{spec.unit}]" if spec.unit else ""
            shown.add_column(f"{spec.key}{unit}, {best(spec)}", overflow="fold")
        for name, line in zip(names, board.lines, strict=True):
            shown.add_row(name, *(_cell(line, spec.key) for spec in portion))
        yield shown


def _cell(line: Line, key: str) -> str:
    value, low, high = (line.get(name, "") for name in (key, f"{key}_low", f"{key}_high"))
    return f"{short(value)} [{short(low)}, {short(high)}]" if low and high else short(value)
