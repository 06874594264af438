"""The application that the commands join, and how they show tables and progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.errors import InputError, RunError
from ebabench.system.names import printable

if TYPE_CHECKING:
    from rich.table import Table

    from ebabench.results.text import TextTable

app = typer.Typer(
    name="ebabench",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        from ebabench import __version__

        print(f"ebabench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Which generative model samples a protein's conformations as molecular dynamics does?"""


def show_text(table: TextTable) -> None:
    """Print a table in which nothing is cut; what does not fit is left out and named."""
    for line in table.lines(width()):
        print(line)


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text as a table, in which long texts are folded."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    show_table(table)


def show_table(table: Table) -> None:
    """Print a table, as wide as the terminal at most."""
    from rich.console import Console

    Console(width=width(), markup=False, highlight=False).print(table)


def width() -> int:
    """Return the number of characters of a line. Where the output is no terminal, a table has what it needs."""
    if not sys.stdout.isatty():
        return 10_000
    from rich.console import Console

    return Console().width


@contextmanager
def progress(shown: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar on the error stream, where that is a terminal.

    Yields ``tell(what, done, total)``. An interruption of the body becomes a RunError that says what is kept.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    console = Console(stderr=True)
    what = TextColumn("{task.description}", table_column=Column(overflow="fold"))  # before a figure is cut
    columns = (what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bars:
        task = bars.add_task("", total=None)

        def tell(what: str, done: int, total: int | None) -> None:
            bars.update(task, description=what, completed=done, total=total)

        try:
            yield tell
        except KeyboardInterrupt as error:
            notes = getattr(error, "__notes__", ["what was finished is kept, the same command goes on from it"])
            raise RunError("; ".join(["interrupted", *notes]), code="run.interrupted") from error


def pairs(option: str, texts: Sequence[str] | None) -> dict[str, str]:
    """Return the settings in texts NAME=VALUE. Raises InputError (``usage.pair``)."""
    for text in texts or ():
        if "=" not in text:
            raise InputError(f"{option} {text}: not of the form NAME=VALUE", code="usage.pair", option=option)
    return dict(text.split("=", 1) for text in texts or ())
