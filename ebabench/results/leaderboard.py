"""The leaderboard of a suite: run folders -> ``<suite>.csv``; one row a model, kept until a newer run replaces it.

Columns: ``model``; what the row is worth (``status``, ``because``); training overlap with the suite (``overlap``);
``samples``, ``seed``, ``targets`` (scored / asked); for every metric its value and 95 % interval (``KEY``, ``KEY_low``,
``KEY_high``); in words, what is undefined and which targets are marked (``undefined``, ``marks``); the metrics whose
definition has changed since (``stale``); and where the numbers come from (``card``, ``ebabench``, ``versions`` of the
metrics, digests of the ``references``; rows of earlier versions do not have these). The row ``(floor)`` is MD against
itself.

Where others published figures for the suite (``ebabench.results.published``), these follow as rows with the status
``quoted``, and ``atoms`` and ``source`` are two more columns. They are shown beside what was measured, and never ranked
with it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.errors import InputError, RunError
from ebabench.results.aggregation import Row, columns, reasons, sources
from ebabench.results.flags import marks
from ebabench.results.identity import changed_references
from ebabench.results.published import quotes
from ebabench.results.runs import Run
from ebabench.results.tables import table
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.system.files import exclusive, replace_file

if TYPE_CHECKING:
    from rich.table import Table

    from ebabench.datasets.suites import Suite

FLOOR = "(floor)"
OFFICIAL, UNOFFICIAL, INCOMPLETE, QUOTED = "official", "unofficial", "incomplete", "quoted"
_HEAD = ("model", "status", "because", "overlap", "samples", "seed", "targets")
_OF_QUOTES = ("atoms", "source")
_NEW = "references"  # tables of earlier versions lack this column
_TAIL = ("undefined", "marks", "stale", "card", "ebabench", "versions", _NEW)
_DIGITS = 8
_COLUMN = 27  # characters of a value with its interval, or of a long metric's name
_BEST = {"lower": "lower", "higher": "higher", "reference": "nearest MD"}

Line = dict[str, str]


@dataclass(frozen=True)
class Board:
    """The rows of one suite as text, by model name, the floor first.

    ``specs``: the metrics that have columns. ``lines``: what was measured; ``quoted``: what others published.
    """

    suite: str
    specs: tuple[MetricSpec, ...]
    lines: tuple[Line, ...]
    quoted: tuple[Line, ...] = ()

    def to_csv(self) -> str:
        """The whole table."""
        figures = [name for spec in self.specs for name in (spec.key, f"{spec.key}_low", f"{spec.key}_high")]
        head = [*_HEAD, *(_OF_QUOTES if self.quoted else ()), *figures, *_TAIL]
        return table([head, *([line.get(name, "") for name in head] for line in (*self.lines, *self.quoted))])


def rebuild(suite: Suite, runs: Sequence[Run], specs: Sequence[MetricSpec], folder: Path) -> Board:
    """Bring ``folder/<suite>.csv`` up to date with runs, and give it.

    A run replaces the row of the same model, an unofficial run never an official row; of two, the one started later
    stands. Rows of models without a run here stay. A row whose metrics have other versions than ``specs`` stays too,
    but these are named in ``stale``: their figures are not to be compared with the others.

    Args:
        suite: whose leaderboard.
        runs: finished runs (``Run.finish``) of that suite.
        specs: the metrics of today; those with an aggregate become columns.
        folder: where leaderboards lie.

    Raises:
        InputError: a run may not stand there (``refusal``), two rows were scored against different references, or the
            CSV is not a leaderboard.
        RunError: it cannot be written.
    """
    for run in runs:
        if why := refusal(run, suite):
            raise InputError(f"{run.folder}: {why}")
    path = folder / f"{suite.id}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            board = _merged(_read(path), suite, runs, specs)
            _check_references(path, board.lines)
            replace_file(path, board.to_csv())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; it is as it was, and the runs are kept") from error
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
    for run in runs:
        if why := refusal(run, suite):
            raise InputError(f"{run.folder}: {why}", code="board.refused", run=run.folder)
    board = _merged(_read(table) if table is not None else {}, suite, runs, specs)
    _check_references(table or Path(suite.id), board.lines)
    return board


def _merged(
    lines: dict[tuple[str, bool], Line], suite: Suite, runs: Sequence[Run], specs: Sequence[MetricSpec]
) -> Board:
    for run in sorted(runs, key=lambda run: run.started):
        line, floor = _lines(run, suite, specs)
        lines[_key(line)] = line
        lines[_key(floor)] = _fuller(lines.get(_key(floor)), floor, specs)
    for line in lines.values():
        line["stale"] = _stale(line, specs)
    ordered = sorted(lines.values(), key=lambda line: (line["model"] != FLOOR, line["model"], line["status"]))
    return Board(suite.id, tuple(spec for spec in specs if spec.aggregate), tuple(ordered), _quoted(suite))


def _check_references(path: Path, lines: Iterable[Line]) -> None:
    """Raises InputError unless all rows were scored against the same references, as far as they say which."""
    measured = [line for line in lines if line["model"] != FLOOR]
    for one, other in combinations(measured, 2):
        if changed := changed_references(_digests(one), _digests(other)):
            raise InputError(
                f"{path}: {one['model']} and {other['model']} were scored against different references of "
                f"{', '.join(changed)}: they cannot stand in one table, which is left as it was"
            )


def _digests(line: Line) -> dict[str, str]:
    """The column ``references`` of a row: the beginning of a digest for every target."""
    return dict(item.rsplit("=", 1) for item in line.get("references", "").split())


def _quoted(suite: Suite) -> tuple[Line, ...]:
    return tuple(
        {
            "model": quote.model,
            "status": QUOTED,
            "because": "; ".join((quote.provenance, f"{quote.aggregate} over targets", *quote.notes)),
            "samples": quote.samples,
            "atoms": quote.atoms,
            "source": quote.source,
            **quote.figures,
        }
        for quote in quotes(suite.id)
    )


def refusal(run: Run, suite: Suite) -> str:
    """Why a run may not stand on the leaderboard of ``suite``, marked or not; empty if it may."""
    if run.identity.suite != suite.id:
        return f"is a run of {run.identity.suite}, not of {suite.id}"
    records = run.records()
    if others := sorted({record.tier for record in records if record.tier != suite.tier}):
        return f"scored against {', '.join(others)}; {suite.id} is {suite.tier}: tiers are never mixed"
    if run.identity.random_weights or any(record.random_weights for record in records):
        return "made with random weights, to test the plumbing: never ranked"
    if not (run.folder / "summary.csv").exists():
        return "is not finished; the same command goes on with it"
    return ""


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

    names = [f"{line['model']} ({line['status']})".replace(f" ({OFFICIAL})", "") for line in board.lines]
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


def best(spec: MetricSpec) -> str:
    """Where better lies, in words; a dash for MD's own figures, which judge others."""
    return "–" if spec.better == "reference" and spec.reference_key is None else _BEST[spec.better]


def short(value: float | str) -> str:
    """Three significant digits for a reader; a dash for what is not there."""
    number = math.nan if value == "" else float(value)
    if math.isnan(number):
        return "–"
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:#.3g}".rstrip(".")


def _lines(run: Run, suite: Suite, specs: Sequence[MetricSpec]) -> tuple[Line, Line]:
    """The row of a run, and the row of its floor."""
    records = run.records()
    scored, known = [record for record in records if not record.error], run.identity.references or {}
    status = OFFICIAL if not run.unofficial_because else INCOMPLETE if len(scored) < len(suite.targets) else UNOFFICIAL
    with (run.folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        summary = {row["metric"]: row for row in csv.DictReader(file)}
    common = dict.fromkeys((*_HEAD, *_TAIL), "") | {
        "targets": f"{len(scored)}/{len(suite.targets)}",
        "samples": "/".join(map(str, sorted({record.n_samples for record in scored}))),
        "ebabench": run.made_with,
        "versions": _versions(scored),
        "references": " ".join(f"{target}={digest[:_DIGITS]}" for target, digest in sorted(known.items())),
    }
    line = common | {
        "model": run.identity.model,
        "status": status,
        "because": "; ".join(run.unofficial_because),
        "overlap": str(run.identity.card.get("training", {}).get("overlap", "unknown")),
        "seed": "" if run.identity.seed is None else str(run.identity.seed),
        "undefined": " | ".join(text for spec in specs if spec.aggregate and (text := _undefined(records, spec))),
        "marks": "; ".join(f"{record.target}: {mark}" for record in records for mark in marks(record)),
        "card": run.identity.card_digest()[:16],
    }
    floor = common | {"model": FLOOR, "status": status}
    for spec in specs:
        if row := summary.get(spec.key):
            line |= {spec.key: _figure(row["value"]), f"{spec.key}_low": _figure(row["low"])}
            line |= {f"{spec.key}_high": _figure(row["high"])}
            floor[spec.key] = _figure(row["floor"])
    return line, floor


def _figure(text: str) -> str:
    """Six significant digits: fewer than scoring repeats on another machine, more than any interval needs."""
    return f"{float(text):.6g}" if text else ""


def _undefined(records: Sequence[Record], spec: MetricSpec) -> str:
    """``KEY: k of n (why)``, or nothing."""
    keys = sources(spec)
    lacking = [record for record in records if columns(record.figures, keys) is None]
    return f"{spec.key}: {len(lacking)} of {len(records)} ({reasons(lacking, keys)})" if lacking else ""


def _versions(records: Iterable[Record]) -> str:
    found: Mapping[str, int] = {key: version for record in records for key, version in record.metric_versions.items()}
    return " ".join(f"{key}={version}" for key, version in sorted(found.items()))


def _stale(line: Line, specs: Sequence[MetricSpec]) -> str:
    """The metrics of which the row has other versions than ``specs``."""
    versions = dict(item.split("=") for item in line["versions"].split())
    return " ".join(s.key for s in specs if versions.get(s.key, str(s.version)) != str(s.version))


def _fuller(old: Line | None, new: Line, specs: Sequence[MetricSpec]) -> Line:
    """The floor that has more metrics: a model of few atoms has a floor with the same few. Never one of other MD."""

    def worth(line: Line) -> tuple[bool, bool, int]:
        filled = sum(bool(line.get(spec.key)) for spec in specs)
        return not _stale(line, specs), line["status"] == OFFICIAL, filled

    if old is None or changed_references(_digests(old), _digests(new)):
        return new
    return old if worth(old) > worth(new) else new


def _key(line: Line) -> tuple[str, bool]:
    return line["model"], line["model"] == FLOOR or line["status"] == OFFICIAL


def _read(path: Path) -> dict[tuple[str, bool], Line]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in (*_HEAD, *_TAIL) if name not in (*(reader.fieldnames or ()), _NEW)]:
            raise InputError(f"{path} is not a leaderboard: it has no column {missing[0]!r}")
        return {_key(line): line for line in reader if line["status"] != QUOTED}
