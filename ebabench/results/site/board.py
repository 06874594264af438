"""The board of one suite, ready for its page: rows, columns, ranks, and what cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ebabench.results.leaderboard import FLOOR, QUOTED, Board, best, short
from ebabench.results.pairs import BASELINE, Pairs, card_family, is_ranked
from ebabench.results.runs import Run
from ebabench.results.site.costs import COST, COSTS, MD_PRICE, MD_TIME, SECONDS, Cost, costs_of
from ebabench.results.worth import worth_sentence
from ebabench.scoring.metric import METRICS
from ebabench.scoring.spec import MetricSpec, default_view

Kind = Literal["model", "baseline", "quoted"]
_MOST_SHOWN = 8
_ATOMS = {"ca": "C-alphas", "heavy": "heavy atoms"}


@dataclass(frozen=True)
class Cell:
    """One figure of one row.

    Attributes:
        value: NaN where there is none.
        low: Lower end of the 95 % interval.
        high: Upper end.
        loss: How far from the best a value is, for sorting: smaller is better.
        best: Whether it is better than every other ranked model, by the paired test.
        tied: Whether no tested model is better by the paired test, without being the best.
        note: What stands below the value beside the interval.
    """

    value: float
    low: float
    high: float
    loss: float
    best: bool = False
    tied: bool = False
    note: str = ""

    @property
    def text(self) -> str:
        """The value for a reader."""
        return short(self.value)

    @property
    def span(self) -> str:
        """The note and the interval for a reader; empty where there is neither."""
        ends = (
            "" if math.isnan(self.low) else f"{short(self.low)} to {'∞' if math.isinf(self.high) else short(self.high)}"
        )
        return ", ".join(filter(None, (self.note, ends)))


@dataclass(frozen=True)
class Column:
    """One metric, or one cost, of the board.

    Attributes:
        spec: The metric.
        family: Its family.
        shown: Whether it stands in the default view.
        floor: MD against itself.
        md: MD's own figure.
    """

    spec: MetricSpec
    family: str
    shown: bool = False
    floor: float = math.nan
    md: float = math.nan

    @property
    def direction(self) -> str:
        """Where better lies, in words."""
        return best(self.spec)

    @property
    def heading(self) -> str:
        """What stands over the column: the metric's key, or what it is in words."""
        return {MD_TIME.key: "worth of MD", MD_PRICE.key: "cost of as much MD"}.get(self.spec.key, self.spec.key)

    @property
    def visible(self) -> bool:
        """Whether a reader sees it first: the default view's metrics; how much MD a model is worth, at what cost."""
        return self.shown or self.spec in (MD_TIME, MD_PRICE)


@dataclass(frozen=True)
class Rank:
    """Where a model stands over the columns of the default view.

    Attributes:
        mean: Its mean rank by value.
        low: The mean of the best ranks that the paired tests allow: one more than the models that are better.
        high: The mean of the worst ranks that they allow.
        leads: In how many columns it is the best or cannot be told apart from the best.
        of: How many columns it has.
    """

    mean: float
    low: float
    high: float
    leads: int
    of: int


@dataclass(frozen=True)
class BoardRow:
    """One model of the board.

    Attributes:
        name: The model's name.
        kind: Ranked model, baseline or MD, or a row quoted from others.
        status: official, unofficial, incomplete or quoted.
        because: Why it is not official.
        overlap: Training overlap, as its card says.
        atoms: Of quoted rows.
        source: Of quoted rows.
        cells: Figures by metric.
        family: The model's family, as its card says.
        rank: None for rows that are not ranked.
        paged: Whether it has a page of its own.
        order: Its place on the board, from 1.
        worth: How much MD it is worth, and what that costs, in words; empty if not known.
    """

    name: str
    kind: Kind
    status: str
    because: str
    overlap: str
    atoms: str
    source: str
    cells: Mapping[str, Cell] = field(default_factory=dict)
    family: str = ""
    rank: Rank | None = None
    paged: bool = False
    order: int = 0
    worth: str = ""


@dataclass(frozen=True)
class BoardView:
    """A suite's board: columns, rows best first, and where its figures come from.

    Attributes:
        suite: The suite's id.
        title: The suite's title.
        samples: Conformations per target.
        columns: The default view first, then the other metrics, then costs.
        rows: Models best first, then baselines, then quoted rows.
        tested: Whether two ranked models or more were compared by the paired test.
    """

    suite: str
    title: str
    samples: int
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    tested: bool

    def of(self, *kinds: Kind) -> list[BoardRow]:
        """Return the rows of some kinds, in order."""
        return [row for row in self.rows if row.kind in kinds]

    @property
    def unmeasured(self) -> bool:
        """Whether all rows are quoted."""
        return not self.of("model", "baseline")

    @property
    def shown(self) -> list[MetricSpec]:
        """The metrics of the default view."""
        return [column.spec for column in self.columns if column.shown]

    def figures(self, row: BoardRow) -> dict[str, dict[str, float | str]]:
        """Return the figures of a row as plain data, by metric; what is not there is left out."""
        found: dict[str, dict[str, float | str]] = {}
        for column in self.columns:
            cell = row.cells[column.spec.key]
            numbers = {
                "value": cell.value,
                "low": cell.low,
                "high": cell.high,
                "floor": column.floor,
                "md": column.md,
            }
            known: dict[str, float | str] = {key: value for key, value in numbers.items() if math.isfinite(value)}
            found[column.spec.key] = known | {"unit": column.spec.unit, "best": column.direction}
        return found

    @property
    def quoted_columns(self) -> list[Column]:
        """The columns that a quoted row has a figure in."""
        return [column for column in self.columns if self._has(column, "quoted")]

    @property
    def axes(self) -> tuple[str, str]:
        """The two columns of the scatter at first: the first error against cost, where that is known."""
        known = [column for column in self.columns if self._has(column, "model", "baseline", "quoted")]
        of_metrics = [column for column in known if column.family != COST]
        # A distance from the best can be read off an axis, a distance from MD's own value cannot.
        of_metrics.sort(key=lambda column: column.spec.better == "reference")
        first, second = (*(column.spec.key for column in of_metrics), "", "")[:2]
        return (SECONDS.key, first) if SECONDS in [column.spec for column in known] else (first, second)

    def _has(self, column: Column, *kinds: Kind) -> bool:
        return any(not math.isnan(row.cells[column.spec.key].value) for row in self.of(*kinds))

    @property
    def leaders(self) -> list[BoardRow]:
        """The ranked models that lead in most columns; none where nothing was tested."""
        ranked = [(row.rank.leads, row) for row in self.rows if row.rank is not None]
        most = max((leads for leads, _ in ranked), default=0)
        return [row for leads, row in ranked if leads == most] if self.tested and most else []


def shown_specs(board: Board, family: str) -> tuple[MetricSpec, ...]:
    """Return the metrics of the default view of a board: at most eight.

    Args:
        board: The board.
        family: The suite's family.
    """
    return default_view((spec for spec in board.specs if best(spec) != "–"), family)[:_MOST_SHOWN]


def board_view(
    board: Board, title: str, samples: int, family: str, runs: Mapping[str, Run], pairs: Pairs | None = None
) -> BoardView:
    """Return the board of a suite.

    Args:
        board: Its rows as text.
        title: The suite's title.
        samples: The suite's number of samples per target.
        family: The suite's family, which chooses the default columns.
        runs: Run folders by model name.
        pairs: The runs compared with each other in the metrics of the default view.
    """
    pairs = pairs or Pairs()
    lines = (*board.lines, *board.quoted)
    costs = {id(line): costs_of(line) for line in lines if line["model"] != FLOOR}
    columns = _columns(board, shown_specs(board, family), {key for found in costs.values() for key in found})
    rows = [_row(line, columns, runs, costs[id(line)]) for line in lines if line["model"] != FLOOR]
    ranked = [row.name for row in rows if _ranks(row)]
    rows = _ranked(rows, columns, pairs)
    tested = any(pairs.tested(a, b) for a in ranked for b in ranked if a != b)
    placed = tuple(replace(row, order=place) for place, row in enumerate(rows, 1))
    return BoardView(board.suite, title, samples, columns, placed, tested)


def _columns(board: Board, shown: Sequence[MetricSpec], costs: set[str]) -> tuple[Column, ...]:
    families = {spec.key: name for name in METRICS for spec in METRICS.load(name).specs}
    floor = next((line for line in board.lines if line["model"] == FLOOR), {})
    others = [spec for spec in board.specs if spec not in shown and best(spec) != "–"]
    of_cost = [Column(spec, COST) for spec in COSTS if spec.key in costs]
    return (
        *(column for column in of_cost if column.visible),
        *(
            Column(
                spec,
                families.get(spec.key, "plug-in"),
                spec in shown,
                number(floor.get(spec.key, "")),
                _md(board, spec),
            )
            for spec in (*shown, *others)
        ),
        *(column for column in of_cost if not column.visible),
    )


def number(text: str) -> float:
    """Return a figure of a table; NaN where there is none, or what is there is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _md(board: Board, spec: MetricSpec) -> float:
    """MD's own figure, as the first complete row has it."""
    if spec.reference_key is None:
        return math.nan
    found = [number(line.get(spec.reference_key, "")) for line in board.lines if line["model"] != FLOOR]
    return next((value for value in found if not math.isnan(value)), math.nan)


def _row(
    line: Mapping[str, str], columns: Sequence[Column], runs: Mapping[str, Run], costs: Mapping[str, Cost]
) -> BoardRow:
    name = line["model"]
    family = card_family(name, runs)
    cells = {}
    for column in columns:
        key = column.spec.key
        if column.family == COST:
            cost = costs.get(key, Cost())
            cells[key] = Cell(cost.value, cost.low, cost.high, _loss(column, cost.value), note=cost.note)
            continue
        value, low, high = (number(line.get(item, "")) for item in (key, f"{key}_low", f"{key}_high"))
        cells[key] = Cell(value, low, high, _loss(column, value))
    return BoardRow(
        name,
        _kind(line, family),
        line["status"],
        line.get("because", ""),
        line.get("overlap", "").replace("_", " "),
        _ATOMS.get(line.get("atoms", ""), line.get("atoms", "")),
        line.get("source", ""),
        cells,
        family,
        paged=name in runs and line["status"] != QUOTED,
        worth=worth_sentence(line),
    )


def _kind(line: Mapping[str, str], family: str) -> Kind:
    if line["status"] == QUOTED:
        return "quoted"
    return "baseline" if family == BASELINE else "model"


def _loss(column: Column, value: float) -> float:
    if column.spec.better == "lower":
        return value
    if column.spec.better == "higher":
        return -value
    return abs(value - column.md)


def _ranks(row: BoardRow) -> bool:
    return is_ranked(row.status, row.family)


def _ranked(rows: Sequence[BoardRow], columns: Sequence[Column], pairs: Pairs) -> list[BoardRow]:
    """The rows with ranks and marks, in order. Marks stand where the paired test was made, and nowhere else."""
    ranked = {row.name: row for row in rows if _ranks(row)}
    cells = {name: dict(row.cells) for name, row in ranked.items()}
    places: dict[str, list[tuple[float, int, int]]] = {name: [] for name in ranked}
    leads = dict.fromkeys(ranked, 0)
    for key in (column.spec.key for column in columns if column.shown):
        losses = {name: row.cells[key].loss for name, row in ranked.items() if not math.isnan(row.cells[key].loss)}
        for name in losses:
            places[name].append(_place(key, name, losses, pairs))
        first = pairs.best(key, losses)
        for name in pairs.leading(key, losses):
            cells[name][key] = replace(cells[name][key], best=name == first, tied=name != first)
            leads[name] += 1
    others = [row for row in rows if not _ranks(row)]
    placed = [replace(row, cells=cells[name], rank=_rank(places[name], leads[name])) for name, row in ranked.items()]
    return sorted([*placed, *others], key=_order)


def _rank(places: Sequence[tuple[float, int, int]], leads: int) -> Rank | None:
    if not places:
        return None
    mean, low, high = (sum(place[k] for place in places) / len(places) for k in range(3))
    return Rank(mean, low, high, leads, len(places))


def _order(row: BoardRow) -> tuple[object, ...]:
    rank = row.rank
    return row.kind != "model", rank is None, -rank.leads if rank else 0, rank.mean if rank else 0.0, row.name


def _place(key: str, name: str, losses: Mapping[str, float], pairs: Pairs) -> tuple[float, int, int]:
    """The rank by value (equal values share theirs), and the best and the worst rank that the tests allow."""
    own, others = losses[name], [other for other in losses if other != name]
    better, same = (sum(losses[other] < own for other in others), sum(losses[other] == own for other in others))
    verdicts = [pairs.better(key, name, other) for other in others]
    beaten = sum(bool(winner) and winner != name for winner in verdicts)
    beats = sum(winner == name for winner in verdicts)
    return better + 1 + same / 2, 1 + beaten, len(losses) - beats
