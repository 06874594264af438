"""``ebabench list``: what there is, without loading any of it."""

from __future__ import annotations

import json as json_text
from enum import StrEnum
from typing import Annotated

import typer

from ebabench.cli.app import app, show_text


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    METRICS = "metrics"
    SUITES = "suites"


_COLUMNS = {
    Kind.MODELS: ("name", "state", "size", "family", "overlap", "licence", "title"),
    Kind.METRICS: ("key", "unit", "better", "version", "aggregate", "title", "paper"),
    Kind.SUITES: ("id", "split", "targets", "samples", "tier", "title"),
}

_DROPPED = {
    Kind.MODELS: ("licence", "size", "title", "overlap", "family"),
    Kind.METRICS: ("paper", "version", "aggregate", "title"),
    Kind.SUITES: ("tier", "split", "title", "samples"),
}


@app.command("list")
def list_(
    kind: Annotated[Kind | None, typer.Argument(help="Which; all three if it is left out.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List models, metrics and suites."""
    from ebabench.results.text import TextTable
    from ebabench.workflows.listing import metric_rows, model_rows, suite_rows

    of_kind = {Kind.MODELS: model_rows, Kind.METRICS: metric_rows, Kind.SUITES: suite_rows}
    rows = {one: read() for one, read in of_kind.items() if kind in (None, one)}
    if json:
        print(json_text.dumps(rows[kind] if kind else rows, indent=1, ensure_ascii=False))
        return
    for one, of_one in rows.items():
        columns = _COLUMNS[one]
        shown = tuple(tuple(str(row[column]) for column in columns) for row in of_one)
        show_text(TextTable(one, columns, shown, _DROPPED[one], columns))
        print()
