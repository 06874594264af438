"""A leaderboard for readers, from its rows alone: Markdown, and one HTML page that needs nothing beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench import __version__
from ebabench.results.aggregation import perfect_score
from ebabench.results.board import FLOOR, Board
from ebabench.results.pairs import Ranking
from ebabench.results.published import NOT_COMPARED
from ebabench.results.standing import OFFICIAL
from ebabench.results.worth import WORTH, short
from ebabench.scoring.spec import Better, MetricSpec, default_view
from ebabench.system.names import printable

if TYPE_CHECKING:
    from jinja2 import Template

    from ebabench.datasets.suites import Suite

ARROWS: Mapping[Better, str] = {"lower": "↓", "higher": "↑", "reference": "→ MD"}
NOTHING_MEASURED = "No model has been measured on this suite yet."
QUOTED_HEAD = "Quoted from others, not measured here"
QUOTED_LEGEND = (
    "Figures as their source prints them, lengths in Å, for orientation: made by other code, most of it the published "
    "scorer with its faults, some with fewer atoms, samples or targets. They are ranked neither with what is measured "
    "here nor with each other. Seconds per conformation are those of the source's machine. Atoms: those of "
    "fluctuations (rmsf, rmwd), all heavy ones or C-alphas (ca). Second-hand figures are quoted as somebody else "
    "quotes them."
)
_TEMPLATES = Path(__file__).parent / "templates"
_PLOT_WIDTH = 480.0
_LINE_HEIGHT = 22.0
UNTESTED = Ranking()
_BEST = {"lower": "lower", "higher": "higher", "reference": "nearest MD"}


@dataclass(frozen=True)
class Cell:
    """One figure of one row.

    Attributes:
        value: The figure.
        low: Lower end of its interval.
        high: Upper end.
        best: Whether its model is better than every other ranked one, by the paired test.
        stale: Whether it was made with another version of the metric.
        why: What is to be known of it.
    """

    value: float
    low: float
    high: float
    best: bool
    stale: bool
    why: str

    @property
    def text(self) -> str:
        """The value with its interval."""
        span = "" if math.isnan(self.low) else f" ({short(self.low)}–{short(self.high)})"
        return short(self.value) + span


@dataclass(frozen=True)
class Bar:
    """A row of a plot, in pixels: the interval from ``left`` to ``right``, the value at ``x``."""

    model: str
    y: float
    x: float
    left: float
    right: float
    cell: Cell


@dataclass(frozen=True)
class Plot:
    """The rows of one metric side by side. ``floor``, ``md``: x of MD against itself and of MD's own figure."""

    height: float
    bars: tuple[Bar, ...]
    floor: float | None
    md: float | None
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Column:
    """One metric: a figure for every line of the board, in their order."""

    spec: MetricSpec
    cells: tuple[Cell, ...]
    md: float
    plot: Plot | None

    @property
    def heading(self) -> str:
        """Key, unit and direction."""
        return f"{self.spec.key} {self.units}"

    @property
    def units(self) -> str:
        """Unit and direction."""
        unit = f"[{self.spec.unit}] " if self.spec.unit else ""
        return unit + ARROWS[self.spec.better]


def pages(board: Board, suite: Suite, folder: Path, ranking: Ranking) -> dict[Path, str]:
    """Return the pages beside the CSV of a leaderboard, ``<suite>.md`` and ``<suite>.html``, with their text."""
    return {
        folder / f"{suite.id}.md": markdown(board, suite, ranking),
        folder / f"{suite.id}.html": html(board, suite, ranking),
    }


def best(spec: MetricSpec) -> str:
    """Return where better lies, in words; a dash for MD's own figures, which judge others."""
    return "–" if spec.better == "reference" and spec.reference_key is None else _BEST[spec.better]


def markdown(board: Board, suite: Suite, ranking: Ranking = UNTESTED) -> str:
    """Return the leaderboard as Markdown: one row per metric, one column per model, then notes.

    The metrics of the suite's short table come first, then all metrics. A cell has value and interval. A value is bold
    where its model is better than every other ranked one by the paired test. Published values are in a table of their
    own with one row per source.

    Args:
        board: The leaderboard.
        suite: Its suite.
        ranking: The ranked models, compared with each other. Without it nothing is bold.
    """
    parts = [f"# {suite.id}: {_inert(suite.title)}", _legend(board, suite)]
    every = columns_of(board, ranking)
    short_table = _in_short_table(every, suite)
    parts.append(_measured(board, short_table, suite) if board.lines else NOTHING_MEASURED)
    if board.lines and short_table != every:
        parts += ["## All metrics", _measured(board, every, suite)]
    if notes := _notes(board):
        parts.append("## Notes\n\n" + "\n".join(f"- {_inert(note)}" for note in notes))
    if board.lines:
        parts.append(
            "## Where the rows come from\n\n" + "\n".join(f"- {_inert(_provenance(line))}" for line in board.lines)
        )
    if board.quoted:
        parts += [f"## {QUOTED_HEAD}", QUOTED_LEGEND, _quoted(board), "\n".join(f"- {text}" for text in _left_out())]
    return "\n\n".join(parts) + "\n"


def _in_short_table(columns: list[Column], suite: Suite) -> list[Column]:
    chosen = {spec.key for spec in default_view((column.spec for column in columns), suite.family)}
    return [column for column in columns if column.spec.key in chosen]


def _measured(board: Board, columns: list[Column], suite: Suite) -> str:
    heads = ["metric", "MD", "perfect model", *(_name(line) for line in board.lines)]
    rows = [heads, ["---"] * len(heads)]
    for head, text in WORTH:
        if any(told := [text(line) for line in board.lines]):
            rows.append([head, "–", "–", *(one or "–" for one in told)])
    for column in columns:
        if any(not math.isnan(cell.value) for cell in column.cells):
            cells = [
                f"**{cell.text}**" if cell.best else cell.text + ("†" if cell.stale else "") for cell in column.cells
            ]
            rows.append([column.heading, short(column.md), short(expected_perfect(board, column, suite)), *cells])
    return _table(rows)


def expected_perfect(board: Board, column: Column, suite: Suite) -> float:
    """Return the least score that a perfect model is expected to have, by the row of the floor; NaN without one.

    Args:
        board: The leaderboard.
        column: The metric.
        suite: Its suite, which says how many replicas the references have.
    """
    floors = [cell.value for cell, line in zip(column.cells, board.lines, strict=True) if line["model"] == FLOOR]
    frames = suite.frames(suite.targets[0].name)
    return perfect_score(column.spec, floors[0], len(frames)) if floors and frames else math.nan


def _quoted(board: Board) -> str:
    keys = [spec.key for spec in board.specs if any(line.get(spec.key) for line in board.quoted)]
    keys += ["seconds_per_sample"] * any(line.get("seconds_per_sample") for line in board.quoted)
    heads = ["model", "atoms", "samples", *keys, "source", "what is quoted"]
    rows = [heads, ["---"] * len(heads)]
    for line in board.quoted:
        figures = [line.get(key) or "–" for key in keys]
        rows.append([line["model"], line["atoms"], line["samples"] or "–", *figures, line["source"], line["because"]])
    return _table(rows)


def _left_out() -> list[str]:
    return [f"`{key}` is not shown: {reason}." for key, reason in NOT_COMPARED.items()]


def _table(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(_inert(text).replace("|", "\\|") for text in row) + " |" for row in rows)


def _inert(text: str) -> str:
    """A text from outside for Markdown: on one line, no HTML, no link, no picture."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("](", "]&#40;")


def html(board: Board, suite: Suite, ranking: Ranking = UNTESTED) -> str:
    """Return the leaderboard as one HTML page: table, intervals of each metric, notes, provenance. It loads nothing.

    Args:
        board: The leaderboard.
        suite: Its suite.
        ranking: As for ``markdown``.
    """
    every = columns_of(board, ranking)
    first = _in_short_table(every, suite)
    return _template().render(
        suite=suite,
        legend=_legend(board, suite),
        lines=board.lines,
        names=[_name(line) for line in board.lines],
        columns=[*first, *(column for column in every if column not in first)],
        notes=_notes(board),
        provenance=[_provenance(line) for line in board.lines],
        quoted=board.quoted,
        extra=[
            (head, [text(line) for line in board.lines], [text(line) for line in board.quoted])
            for head, text in WORTH
            if any(text(line) for line in (*board.lines, *board.quoted))
        ],
        quoted_head=QUOTED_HEAD,
        quoted_legend=QUOTED_LEGEND,
        left_out=_left_out(),
        nothing=NOTHING_MEASURED,
        floor=FLOOR,
        width=_PLOT_WIDTH,
        short=short,
        version=__version__,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("leaderboard.html.j2")


def columns_of(board: Board, ranking: Ranking) -> list[Column]:
    """Return the metrics that have a value in any row. MD's own values are no columns: they stand beside a metric's."""
    own = {spec.reference_key for spec in board.specs}
    lines = (*board.lines, *board.quoted)
    shown = [spec for spec in board.specs if spec.key not in own and any(line.get(spec.key) for line in lines)]
    return [_column(board, spec, ranking) for spec in shown]


def _column(board: Board, spec: MetricSpec, ranking: Ranking) -> Column:
    md = _md(board, spec)
    values = [_number(line.get(spec.key, "")) for line in board.lines]
    stale = [spec.key in line["stale"].split() for line in board.lines]
    losses = {
        line["model"]: {"lower": value, "higher": -value, "reference": abs(value - md)}[spec.better]
        for k, (line, value) in enumerate(zip(board.lines, values, strict=True))
        if line["status"] == OFFICIAL and line["model"] in ranking.models and not stale[k] and not math.isnan(value)
    }
    best = ranking.pairs.best(spec.key, losses)
    cells = tuple(
        Cell(
            value,
            _number(line.get(f"{spec.key}_low", "")),
            _number(line.get(f"{spec.key}_high", "")),
            line["status"] == OFFICIAL and line["model"] == best,
            stale[k],
            _why(line, spec, stale[k]),
        )
        for k, (line, value) in enumerate(zip(board.lines, values, strict=True))
    )
    return Column(spec, cells, md, _plot(board, cells, md))


def _md(board: Board, spec: MetricSpec) -> float:
    """Return MD's own value as most rows have it. It differs only for models that are a part of the MD."""
    key, models = spec.reference_key, [line for line in board.lines if line["model"] != FLOOR]
    told = [line[key] for line in models if key and line.get(key)]
    return _number(Counter(told).most_common(1)[0][0]) if told else math.nan


def _why(line: Mapping[str, str], spec: MetricSpec, stale: bool) -> str:
    said = [item for item in line["undefined"].split(" | ") if item.startswith(f"{spec.key}: ")]
    return "; ".join([*said, *["made with another version of the metric"] * stale])


def _plot(board: Board, cells: tuple[Cell, ...], md: float) -> Plot | None:
    edges = [x for cell in cells for x in (cell.value, cell.low, cell.high)] + [md]
    known = [x for x in edges if not math.isnan(x)]
    models = [k for k, line in enumerate(board.lines) if line["model"] != FLOOR and not math.isnan(cells[k].value)]
    if not models:
        return None
    least, most = min(known), max(known)
    room = (most - least) * 0.04 or abs(most) * 0.04 or 1.0
    start, scale = least - room, _PLOT_WIDTH / (most - least + 2 * room)

    def x(value: float) -> float:
        return round((value - start) * scale, 1)

    bars = []
    for row, k in enumerate(models):
        cell = cells[k]
        low, high = (cell.value, cell.value) if math.isnan(cell.low) else (cell.low, cell.high)
        y = _LINE_HEIGHT * (row + 0.5)
        bars.append(Bar(_name(board.lines[k]), y, x(cell.value), x(low), x(high), cell))
    floors = [cells[k].value for k, line in enumerate(board.lines) if line["model"] == FLOOR]
    floor = next((x(value) for value in floors if not math.isnan(value)), None)
    ticks = tuple((x(value), short(value)) for value in dict.fromkeys((least, (least + most) / 2, most)))
    return Plot(_LINE_HEIGHT * len(models), tuple(bars), floor, None if math.isnan(md) else x(md), ticks)


def _name(line: Mapping[str, str]) -> str:
    if line["model"] == FLOOR:
        return "MD against itself"
    return line["model"] if line["status"] == OFFICIAL else f"{line['model']} ({line['status']})"


def _legend(board: Board, suite: Suite) -> str:
    asked = f"{len(suite.targets)} targets against {suite.tier}, {suite.samples} samples a target, seed {suite.seed}."
    if not board.lines:
        return asked
    return (
        f"{asked} "
        "Worth of MD: the length of MD that has the model's error, median over the primary metrics "
        f"({', '.join(suite.primary) or 'none'}). Cost per target: processor time of its conformations, and of MD of "
        "the length that the row is worth, on one core of the same kind of processor; in parentheses MD over model. "
        "Seconds per conformation: wall time on the machine of the run. "
        "Better than: models that it is better than in so many primary metrics, with adjusted p (`ebabench compare`). "
        "In parentheses the 95 % interval (bootstrap over targets). MD against itself: each replica as the model "
        "against the others, mean over replicas: the score of one replica more. A perfect model: the least that it is "
        "expected to score, because the reference is finite. Arrows: the "
        "better direction; → MD: "
        "nearest MD's own figure, in the column MD. Bold: better than every other official model by the paired test at "
        "5 %, each metric by itself, in the metrics of the short table. Baselines and MD take no part. Nothing is bold "
        "where a model was not tested because its run was not there. †: made with another version of the metric."
    )


def _notes(board: Board) -> list[str]:
    heads = (("because", "not official: "), ("undefined", "undefined: "), ("marks", "marked targets: "))
    notes = [f"{line['model']}: {head}{line[key]}" for line in board.lines for key, head in heads if line[key]]
    return notes + [f"{line['model']}: other versions of {line['stale']}" for line in board.lines if line["stale"]]


def _provenance(line: Mapping[str, str]) -> str:
    if line["model"] == FLOOR:
        return f"{FLOOR}: {line['samples']} samples, ebabench {line['ebabench']}"
    seed = f"seed {line['seed']}, " if line["seed"] else ""
    card = f", card {line['card']}" if line["card"] else ""
    return (
        f"{line['model']}: {line['status']}, {line['targets']} targets, {line['samples']} samples, {seed}"
        f"training overlap with the suite: {line['overlap']}, ebabench {line['ebabench']}{card}"
    )


def _number(text: str) -> float:
    return float(text) if text else math.nan
