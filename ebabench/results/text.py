"""Tables of text for a terminal: nothing in them is cut or wrapped. Where a line is too short, columns are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebabench.results.aggregation import Row
from ebabench.results.board import FLOOR, Board
from ebabench.results.comparison import SAME, Difference, tests
from ebabench.results.report import best
from ebabench.results.standing import OFFICIAL
from ebabench.results.worth import WORTH, short
from ebabench.scoring.spec import MetricSpec, default_view
from ebabench.system.names import printable

if TYPE_CHECKING:
    from ebabench.results.runs import Run

_GAP = "  "
_MOST_ROWS = 8  # with the title and the heading a table of ten lines
WORSE, AT, BETTER = "worse than floor", "at the floor", "better than floor"


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        title: The line above it.
        columns: The headings.
        rows: One text per column each.
        drop: The columns that may be left out, in the order in which they are.
        left: The columns whose texts stand at the left; others stand at the right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    drop: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def lines(self, width: int) -> list[str]:
        """Return the lines of the table. If columns are left out, the last line names them.

        Args:
            width: Number of characters of a line. A table of columns that must not be left out may be wider.

        Example:
            >>> table = TextTable("Models", ("name", "size", "note"), (("static", "0", "rigid"),), ("note",), ("name",))
            >>> for line in table.lines(16):
            ...     print(line)
            Models
            name    size
            static     0
            not shown for want of room: note
        """
        from rich.cells import cell_len

        texts = [self.columns, *(tuple(map(printable, row)) for row in self.rows)]
        widths = {name: max(cell_len(row[k]) for row in texts) for k, name in enumerate(self.columns)}
        dropped = self._dropped(widths, width)
        kept = [name for name in self.columns if name not in dropped]
        places = [self.columns.index(name) for name in kept]
        found = [self.title] * bool(self.title)
        for row in texts:
            cells = []
            for name, k in zip(kept, places, strict=True):
                room = " " * (widths[name] - cell_len(row[k]))
                cells.append(row[k] + room if name in self.left else room + row[k])
            found.append(_GAP.join(cells).rstrip())
        return found + [f"not shown for want of room: {'; '.join(dropped)}"] * bool(dropped)

    def _dropped(self, widths: Mapping[str, int], width: int) -> list[str]:
        """The columns without room: the first of ``drop``, less those that fit beside what is left."""

        def needed(dropped: Sequence[str]) -> int:
            kept = [widths[name] for name in self.columns if name not in dropped]
            return sum(kept) + len(_GAP) * (len(kept) - 1)

        most = next((k for k in range(len(self.drop)) if needed(self.drop[:k]) <= width), len(self.drop))
        dropped = list(self.drop[:most])
        for name in reversed(self.drop[:most]):
            others = [one for one in dropped if one != name]
            if needed(others) <= width:
                dropped = others
        return dropped


def family_of(run: Run) -> str:
    """Return the family of the suite of a run; empty where the run is of no suite that is here."""
    from ebabench.datasets.suites import SUITES, load_suite

    return load_suite(run.identity.suite).family if run.identity.suite in SUITES else ""


def short_summary(rows: Sequence[Row], family: str) -> list[Row]:
    """Return the rows of the default view of a family of suites that have a value: at most eight.

    Args:
        rows: The aggregates of a run.
        family: The suite's family; empty where there is no suite.
    """
    known = {row.spec: row for row in rows if math.isfinite(row.estimate.value) and best(row.spec) != "–"}
    return [known[spec] for spec in default_view(known, family)][:_MOST_ROWS]


def summary_table(rows: Sequence[Row], shown: Sequence[Row], title: str) -> TextTable:
    """Return rows of a summary as a table with value, interval, floor, and the verdict against the floor.

    Args:
        rows: All aggregates of a run, among them MD's own figures.
        shown: Those to show.
        title: The line above.
    """
    md = {row.spec.key: row.estimate.value for row in rows}
    columns: tuple[str, ...] = ("metric", "value", "95 % interval", "floor", "verdict", "best", "remarks")
    body: list[tuple[str, ...]] = []
    for row in shown:
        found = row.estimate
        span = f"{short(found.low)} to {short(found.high)}" if math.isfinite(found.low) else ""
        said = [f"{found.n_undefined} of {found.n_undefined + found.n_targets} targets undefined"]
        said = said * bool(found.n_undefined) + [found.reason] * (found.reason not in ("", "undefined"))
        value = f"{short(found.value)} {row.spec.unit}".strip()
        verdict = against_floor(row, md.get(row.spec.reference_key or "", math.nan))
        body.append((row.spec.key, value, span, short(row.floor), verdict, best(row.spec), "; ".join(said)))
    if not any(row[-1] for row in body):
        columns, body = columns[:-1], [row[:-1] for row in body]
    drop = tuple(name for name in ("remarks", "best", "floor") if name in columns)
    return TextTable(title, columns, tuple(body), drop, ("metric", "verdict", "best", "remarks"))


def against_floor(row: Row, md: float = math.nan) -> str:
    """Return how a value stands to the noise floor, as far as its 95 % interval tells; empty without floor or interval.

    Args:
        row: The aggregate.
        md: MD's own figure, for a metric of which the nearest to MD is best.

    Returns:
        One of three verdicts. At the floor means that the interval contains values as good as the floor and values no
        better.
    """
    found = row.estimate
    ends = (found.low, found.high)
    if not all(map(math.isfinite, (*ends, row.floor))):
        return ""
    if row.spec.better == "reference":
        if math.isnan(md):
            return ""
        inside = ends[0] <= md <= ends[1]
        losses = (0.0 if inside else min(abs(end - md) for end in ends), max(abs(end - md) for end in ends))
        floor = abs(row.floor - md)
    else:
        sign = -1.0 if row.spec.better == "higher" else 1.0
        losses, floor = (min(sign * end for end in ends), max(sign * end for end in ends)), sign * row.floor
    if losses[0] > floor:
        return WORSE
    return BETTER if losses[1] < floor else AT


def comparison_table(differences: Sequence[Difference], title: str) -> TextTable:
    """Return paired differences as a table.

    Args:
        differences: One per metric.
        title: The line above.
    """
    count = tests(differences)
    told = f"{count} metric{'s' * (count != 1)} tested together: p is adjusted for so many by Holm's method"
    columns = (
        "metric", "A", "B", "A less B", "95 % interval", "p", "adjusted p", "targets", "verdict",
        "told with 80 % power", "targets to tell it",
    )  # fmt: skip
    body = []
    for row in differences:
        name = f"{row.spec.key} (distance to MD)" if row.spec.better == "reference" else row.spec.key
        span = "" if math.isnan(row.low) else f"{short(row.low)} to {short(row.high)}"
        figures = (short(row.a), short(row.b), short(row.difference), span, short(row.p), short(row.p_adjusted))
        body.append((name, *figures, str(row.n_targets), row.verdict, *_power(row)))
    drop = ("targets to tell it", "told with 80 % power", "targets", "p", "95 % interval", "adjusted p", "A less B")
    return TextTable(f"{title}\n{told}", columns, tuple(body), drop, ("metric", "verdict"))


def _power(row: Difference) -> tuple[str, str]:
    """Of a tie: the difference that these targets could have told, and how many targets would tell this one."""
    if row.verdict != SAME or math.isnan(row.detectable):
        return "", ""
    needed = "more than 1,024" if math.isinf(row.targets_needed) else f"{row.targets_needed:.0f}"
    return "none" if math.isinf(row.detectable) else f"{row.detectable:.3g}", needed


def board_table(board: Board, specs: Sequence[MetricSpec], title: str) -> TextTable:
    """Return a leaderboard as a table: one row per model, one column per metric.

    Args:
        board: The leaderboard.
        specs: The metrics; the last ones are left out first.
        title: The line above.
    """
    shown = [spec for spec in specs if spec.aggregate and any(line.get(spec.key) for line in board.lines)]
    worth = [(head, text) for head, text in WORTH if any(text(line) for line in board.lines)]
    heads = [head for head, _ in worth]
    heads += [f"{spec.key}{f' ({spec.unit})' if spec.unit else ''}, {best(spec)}" for spec in shown]
    rows = [
        (_name(line), *(text(line) or "–" for _, text in worth), *(_cell(line, spec.key) for spec in shown))
        for line in board.lines
    ]
    wide = [head for head, _ in WORTH[1:] if head in heads]  # names of models and of machines
    drop = (*wide, *reversed([head for head in heads if head not in wide][1:]))
    return TextTable(title, ("model", *heads), tuple(rows), drop, ("model",))


def _name(line: Mapping[str, str]) -> str:
    if line["model"] == FLOOR:
        return "MD against itself"
    return f"{line['model']} ({line['status']})".replace(f" ({OFFICIAL})", "")


def _cell(line: Mapping[str, str], key: str) -> str:
    value, low, high = (line.get(name, "") for name in (key, f"{key}_low", f"{key}_high"))
    return f"{short(value)} [{short(low)}, {short(high)}]" if low and high else short(value)
