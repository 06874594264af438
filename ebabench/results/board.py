"""The rows of a leaderboard: made from runs, read from the CSV, merged.

Columns: ``model``; what the row is worth (``status``, ``because``); training overlap with the suite (``overlap``);
``samples``, ``seed``, ``targets`` (scored / asked). Tables of earlier versions lack the next three: the models that it
is better than (``better_than``: ``MODEL=METRICS``, primary metrics with adjusted p, of the runs that were together when
the table was rebuilt); and what the model is worth in MD and what sampling cost
(``ebabench.results.worth_columns``). For every metric its value and 95 % interval (``KEY``, ``KEY_low``,
``KEY_high``); in words, what is undefined and which targets are marked (``undefined``, ``marks``); the metrics whose
definition has changed since (``stale``); and where the numbers come from: ``card``, ``ebabench``, ``versions`` of the
metrics, and digests of the ``references``, of the ``suite``, of all ``records`` and of the ``row`` itself. The row
``(floor)`` is MD against itself.

A row that was changed by hand, or is of an earlier version without these digests, has the status ``claimed``. Columns
of metrics that are not installed here stay as they are.

Where others published figures for the suite (``ebabench.results.published``), these follow as rows with the status
``quoted``, and ``atoms`` and ``source`` are two more columns.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.errors import InputError, unknown
from ebabench.results.aggregation import columns, reasons, sources, summarise
from ebabench.results.costs import md_cost, run_cost
from ebabench.results.flags import marks
from ebabench.results.identity import changed_references
from ebabench.results.md_times import headline_of, medians, read_times, records_digest
from ebabench.results.published import quotes
from ebabench.results.runs import Run
from ebabench.results.standing import CLAIMED, OFFICIAL, QUOTED, standing
from ebabench.results.tables import six_digits, table
from ebabench.results.verdicts import better_than
from ebabench.results.worth_columns import cost_cells, md_time_cells, worth_columns
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.system.names import cell
from ebabench.system.schema import read_text

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite

FLOOR = "(floor)"
_HEAD = ("model", "status", "because", "overlap", "samples", "seed", "targets")
_OF_QUOTES = ("atoms", "source")
_NEW = ("references", "suite", "records", "row")  # tables of earlier versions lack these columns
_TAIL = ("undefined", "marks", "stale", "card", "ebabench", "versions", *_NEW)
BETTER_THAN = "better_than"
_UNSEALED = ("stale", "row", BETTER_THAN)  # what changes without the row
_DIGITS = 8
_LONGER = 16
_UNTRACED = "cannot be traced: changed by hand, or made by an earlier version"
_MOST_BYTES = 1 << 26

Line = dict[str, str]


@dataclass(frozen=True)
class Board:
    """The rows of one suite as text, by model name, the floor first.

    Attributes:
        suite: The suite's id.
        specs: The metrics that have columns.
        lines: What was measured.
        quoted: What others published.
        others: Columns of metrics that are not installed here.
        remarks: Why a run did not get its row, one sentence each.
    """

    suite: str
    specs: tuple[MetricSpec, ...]
    lines: tuple[Line, ...]
    quoted: tuple[Line, ...] = ()
    others: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def to_csv(self) -> str:
        """Return the whole table."""
        head = [*_HEAD, *self._optional(), *(_OF_QUOTES if self.quoted else ()), *_figures(self.specs)]
        head += [*self.others, *_TAIL]
        return table([head, *([line.get(name, "") for name in head] for line in (*self.lines, *self.quoted))])

    def _optional(self) -> list[str]:
        """The columns of MD-equivalent times and of costs that any row has."""
        names = [BETTER_THAN, *worth_columns(self.specs)]
        return [name for name in names if any(line.get(name) for line in (*self.lines, *self.quoted))]


def empty_board(suite: Suite, specs: Sequence[MetricSpec]) -> Board:
    """Return the board of a suite on which nothing was measured."""
    return Board(suite.id, tuple(spec for spec in specs if spec.aggregate), (), _quoted(suite))


def read_board(path: Path, suite: Suite, specs: Sequence[MetricSpec]) -> Board:
    """Return the board in a CSV file; an empty one if there is no file.

    Raises:
        InputError: The file is not a leaderboard (``board.read``), or is that of another suite (``board.suite``).
        OSError: It cannot be read.
    """
    empty = empty_board(suite, specs)
    if not path.exists():
        return empty
    try:
        text = read_text(path, _MOST_BYTES)
        if "\0" in text:
            raise ValueError("it holds a NUL byte")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        lines = list(reader)
        names = list(reader.fieldnames or ())
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path} is not a leaderboard: {error}", code="board.read", file=path) from error
    if missing := [name for name in (*_HEAD, *_TAIL) if name not in (*names, *_NEW)]:
        raise InputError(f"{path} is not a leaderboard: it has no column {missing[0]!r}", code="board.read", file=path)
    if len({*names}) < len(names):
        raise InputError(f"{path} is not a leaderboard: two of its columns have one name", code="board.read", file=path)
    known = {*_HEAD, *_OF_QUOTES, *_TAIL, *_figures(empty.specs), *worth_columns(empty.specs), BETTER_THAN}
    others = tuple(name for name in names if name not in known)
    for line in lines:
        if None in line or None in line.values():
            raise InputError(f"{path} is not a leaderboard: rows differ in length", code="board.read", file=path)
        if line.get("suite") not in (None, "", _suite(suite)):
            raise InputError(
                f"{path}: its rows are of {line['suite']}, not of {_suite(suite)}: keep them in another folder",
                code="board.suite",
                file=path,
            )
        for name in (*_figures(empty.specs), *others):
            if line.get(name) and not _is_number(line[name]):
                raise InputError(
                    f"{path}: {line['model']}, {name}: {line[name][:40]!r} is not a number",
                    code="board.read",
                    file=path,
                )
    # The last of two rows of one model that are both claimed from now on stands: the one that was official.
    ordered = sorted(lines, key=lambda line: line["status"] == OFFICIAL)
    measured = tuple(_traced(line) for line in ordered if line["status"] != QUOTED)
    return replace(empty, lines=measured, others=others)


def merged(board: Board, suite: Suite, runs: Sequence[Run], specs: Sequence[MetricSpec]) -> Board:
    """Return the board with the rows of runs.

    A run replaces the row of the same model, an unofficial run never an official row, one of fewer targets never one of
    more; of two, the one started later stands. Rows of models without a run here stay. A row whose metrics have other
    versions than ``specs`` stays too, but these are named in ``stale``.
    """
    lines = {_key(line): line for line in board.lines}
    remarks, official = [], dict[str, Run]()
    for run in sorted(runs, key=lambda run: run.started):
        line, floor = _lines(run, suite, specs)
        if why := _outranked(line, lines):
            remarks.append(f"{run.folder}: {why}")
            continue
        lines[_key(line)] = line
        if line["status"] == OFFICIAL:  # it stands for what was only claimed
            lines.pop((line["model"], CLAIMED), None)
            official[line["model"]] = run
        lines[_key(floor)] = _fuller(lines.get(_key(floor)), floor, specs)
    verdicts = better_than(list(official.values()), [spec for spec in specs if spec.key in suite.primary])
    for name, told in verdicts.items():
        lines[name, OFFICIAL] = lines[name, OFFICIAL] | {BETTER_THAN: told}
    ordered = sorted(lines.values(), key=lambda line: (line["model"] != FLOOR, line["model"], line["status"]))
    marked = tuple(line | {"stale": _stale(line, specs)} for line in ordered)
    return replace(board, lines=marked, remarks=tuple(remarks))


def beside(shipped: Board, board: Board) -> Board:
    """Return a board with the rows of another under its own: of two rows of one model and standing, its own stands.

    Of two floors the official one stands, and then the one of more metrics and targets.

    Args:
        shipped: The board whose rows fill in.
        board: The board whose rows, quoted rows and remarks stand.
    """
    lines = {_key(line): line for line in shipped.lines}
    for line in board.lines:
        floor = line["model"] == FLOOR
        lines[_key(line)] = _fuller(lines.get(_key(line)), line, board.specs) if floor else line
    ordered = sorted(lines.values(), key=lambda line: (line["model"] != FLOOR, line["model"], line["status"]))
    others = tuple(dict.fromkeys((*shipped.others, *board.others)))
    return replace(board, lines=tuple(ordered), others=others)


def without(board: Board, models: Sequence[str]) -> Board:
    """Return a board without the rows of some models.

    Raises:
        InputError: A model has no row there.
    """
    names = {line["model"] for line in board.lines} - {FLOOR}
    for model in models:
        if model not in names:
            raise unknown("model on the leaderboard", model, names)
    return replace(board, lines=tuple(line for line in board.lines if line["model"] not in models))


def check_references(path: Path, lines: Iterable[Line]) -> None:
    """Raise InputError unless all rows were scored against the same references, as far as they say which."""
    measured = [line for line in lines if line["model"] != FLOOR]
    for one, other in combinations(measured, 2):
        if changed := changed_references(_pairs(one, "references"), _pairs(other, "references")):
            raise InputError(
                f"{path}: {one['model']} and {other['model']} were scored against different references of "
                f"{', '.join(changed)}: they cannot stand in one table, which is left as it was",
                code="board.references",
                file=path,
            )


def _figures(specs: Iterable[MetricSpec]) -> list[str]:
    return [name for spec in specs for name in (spec.key, f"{spec.key}_low", f"{spec.key}_high")]


def _suite(suite: Suite) -> str:
    return f"{suite.id}={suite.digest()[:_LONGER]}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _pairs(line: Line, column: str) -> dict[str, str]:
    """A column of ``name=value`` items; what is none counts as not said."""
    items = (item.rpartition("=") for item in line.get(column, "").split())
    return {name: value for name, mark, value in items if mark}


def _seal(line: Line) -> str:
    told = {name: text for name, text in line.items() if text and name not in _UNSEALED}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:_LONGER]


def _traced(line: Line) -> Line:
    """The row, marked as claimed unless its digest says that it is as it was written."""
    if line["status"] == CLAIMED or line.get("row") == _seal(line):
        return line
    because = "; ".join(filter(None, (_UNTRACED, line["because"])))
    return line | {"status": CLAIMED, "because": because, "row": ""}


def _key(line: Line) -> tuple[str, ...]:
    if line["model"] == FLOOR:
        return (FLOOR,)
    if line["status"] == CLAIMED:
        return line["model"], CLAIMED
    return line["model"], OFFICIAL if line["status"] == OFFICIAL else "other"


def _outranked(line: Line, lines: Mapping[tuple[str, ...], Line]) -> str:
    """Why a row may not take the place of the one that is there."""
    official = lines.get((line["model"], OFFICIAL))
    if official is not None and official["card"] and not line["card"]:
        return f"{line['model']} has an official row, made from its card: give these ensembles another --name"
    there = lines.get(_key(line))
    if there is not None and line["status"] != CLAIMED and _scored(line) < _scored(there):
        return f"the row of {line['model']} stays, which has {there['targets']} targets: this run has {line['targets']}"
    return ""


def _scored(line: Line) -> int:
    count = line["targets"].partition("/")[0]
    return int(count) if count.isdecimal() else 0


def _lines(run: Run, suite: Suite, specs: Sequence[MetricSpec]) -> tuple[Line, Line]:
    """The row of a run, and the row of its floor, from the run's records."""
    records = run.records()
    scored, known, worth = [r for r in records if not r.error], run.identity.references or {}, standing(run, suite)
    common = dict.fromkeys((*_HEAD, *_TAIL), "") | {
        "status": worth.status,
        "targets": f"{len(scored)}/{len(suite.targets)}",
        "samples": _samples(scored),
        "ebabench": run.made_with,
        "versions": _versions(scored),
        "references": " ".join(f"{target}={digest[:_DIGITS]}" for target, digest in sorted(known.items())),
        "suite": _suite(suite),
        "records": row_digest(records),
    }
    line = common | {
        "model": run.identity.model,
        "because": "; ".join(worth.because),
        "overlap": str(run.identity.card.get("training", {}).get("overlap", "unknown")),
        "seed": "" if run.identity.seed is None else str(run.identity.seed),
        "undefined": " | ".join(text for spec in specs if spec.aggregate and (text := _undefined(records, spec))),
        "marks": "; ".join(f"{record.target}: {mark}" for record in records for mark in marks(record)),
        "card": run.identity.card_digest()[:_LONGER],
    }
    line |= cost_cells(run_cost(run.costs)) | cost_cells(md_cost(run.md_speeds))
    of_metrics = medians(read_times(run))
    line |= md_time_cells(headline_of(of_metrics, suite.primary))
    for key, time in of_metrics.items():
        line |= md_time_cells(time, key)
    floor = common | {"model": FLOOR}
    for row in summarise(records, specs):
        key, found = row.spec.key, row.estimate
        line |= {
            key: six_digits(found.value),
            f"{key}_low": six_digits(found.low),
            f"{key}_high": six_digits(found.high),
        }
        floor[key] = six_digits(row.floor)
    return _sealed(line), _sealed(floor)


def _sealed(line: Line) -> Line:
    shown = {name: cell(text) for name, text in line.items()}
    return shown if line["status"] == CLAIMED else shown | {"row": _seal(shown)}


def row_digest(records: Sequence[Record]) -> str:
    """Return the cell of a row that says which records it was made of."""
    return records_digest(records)[:_LONGER]


def _samples(records: Sequence[Record]) -> str:
    """Return the number of samples per target; where they are weighted, also the range of effective numbers."""
    asked = "/".join(map(str, sorted({record.n_samples for record in records})))
    effective = [record.effective_samples for record in records if record.effective_samples < record.n_samples]
    return f"{asked} (effective {min(effective):.3g} to {max(effective):.3g})" if effective else asked


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
    versions = _pairs(line, "versions")
    return " ".join(s.key for s in specs if versions.get(s.key, str(s.version)) != str(s.version))


def _fuller(old: Line | None, new: Line, specs: Sequence[MetricSpec]) -> Line:
    """The official floor, then that of more metrics (a model of few atoms has one of few), then that of more targets.

    Never one of other MD.
    """

    def worth(line: Line) -> tuple[bool, bool, int, int]:
        filled = sum(bool(line.get(spec.key)) for spec in specs)
        return not _stale(line, specs), line["status"] == OFFICIAL, filled, _scored(line)

    if old is None or changed_references(_pairs(old, "references"), _pairs(new, "references")):
        return new
    return old if worth(old) > worth(new) else new


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
