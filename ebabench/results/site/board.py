"""The board of one suite, ready for its page: rows, columns, ranks, and what cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ebabench.errors import InputError
from ebabench.generators.cards import CARDS
from ebabench.results.comparison import compare
from ebabench.results.leaderboard import FLOOR, OFFICIAL, Board, best, short
from ebabench.results.runs import Run
from ebabench.scoring.metric import METRICS
from ebabench.scoring.spec import MetricSpec

Kind = Literal["model", "baseline", "quoted"]

DEFAULT_VIEW: Mapping[str, tuple[str, ...]] = {
    "peptides": (
        "basin_populations_tv",
        "ramachandran_w2",
        "energy_js",
        "js_tic",
        "md_pca_w2",
        "rmsf_r",
        "pairwise_rmsd",
        "chirality_error_percent",
    ),
    "": (
        "rmsf_r",
        "pairwise_rmsd_r",
        "rmwd",
        "md_pca_w2",
        "joint_pca_w2",
        "weak_contacts_j",
        "exposed_residue_j",
        "peptide_bond_break_percent",
    ),
}
"""Suite family -> the columns that answer "which model"; the empty name is for every other family."""


@dataclass(frozen=True)
class Cell:
    """One figure of one row.

    Attributes:
        value: NaN where there is none.
        low: Lower end of the 95 % interval.
        high: Upper end.
        loss: How far from the best a value is, for sorting: smaller is better.
        best: Whether it is the best of the ranked rows.
        tied: Whether it cannot be told apart from the best by the paired test.
    """

    value: float
    low: float
    high: float
    loss: float
    best: bool = False
    tied: bool = False

    @property
    def text(self) -> str:
        """The value for a reader."""
        return short(self.value)

    @property
    def span(self) -> str:
        """The interval for a reader; empty where there is none."""
        return "" if math.isnan(self.low) else f"{short(self.low)} to {short(self.high)}"


@dataclass(frozen=True)
class Column:
    """One metric of the board."""

    spec: MetricSpec
    family: str
    shown: bool
    floor: float
    md: float

    @property
    def direction(self) -> str:
        """Where better lies, in words."""
        return best(self.spec)


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
        rank: Mean rank over the default columns, among ranked models; NaN for others.
        paged: Whether it has a page of its own.
    """

    name: str
    kind: Kind
    status: str
    because: str
    overlap: str
    atoms: str
    source: str
    cells: Mapping[str, Cell] = field(default_factory=dict)
    rank: float = math.nan
    paged: bool = False


@dataclass(frozen=True)
class BoardView:
    """A suite's board: columns, rows best first, and where its figures come from."""

    suite: str
    title: str
    samples: int
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]

    def of(self, *kinds: Kind) -> list[BoardRow]:
        """Return the rows of some kinds, in order."""
        return [row for row in self.rows if row.kind in kinds]


def board_view(board: Board, title: str, samples: int, family: str, runs: Mapping[str, Run]) -> BoardView:
    """Return the board of a suite.

    Args:
        board: Its rows as text.
        title: The suite's title.
        samples: The suite's number of samples per target.
        family: The suite's family, which chooses the default columns.
        runs: Run folders by model name; with them rows are compared with the best one, target by target.
    """
    families = {spec.key: name for name in METRICS for spec in METRICS.load(name).specs}
    default = DEFAULT_VIEW.get(family, DEFAULT_VIEW[""])
    floor = next((line for line in board.lines if line["model"] == FLOOR), {})
    columns = tuple(
        Column(
            spec,
            families.get(spec.key, "plug-in"),
            spec.key in default,
            number(floor.get(spec.key, "")),
            _md(board, spec),
        )
        for spec in sorted(board.specs, key=lambda spec: _place(spec.key, default))
        if best(spec) != "–"
    )
    rows = [_row(line, columns, runs) for line in (*board.lines, *board.quoted) if line["model"] != FLOOR]
    rows = _ranked(rows, columns, runs)
    return BoardView(board.suite, title, samples, columns, tuple(rows))


def _place(key: str, default: Sequence[str]) -> int:
    return default.index(key) if key in default else len(default)


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


def _row(line: Mapping[str, str], columns: Sequence[Column], runs: Mapping[str, Run]) -> BoardRow:
    name = line["model"]
    cells = {}
    for column in columns:
        key = column.spec.key
        value, low, high = (number(line.get(item, "")) for item in (key, f"{key}_low", f"{key}_high"))
        cells[key] = Cell(value, low, high, _loss(column, value))
    return BoardRow(
        name,
        _kind(line, runs),
        line["status"],
        line.get("because", ""),
        line.get("overlap", "").replace("_", " "),
        line.get("atoms", ""),
        line.get("source", ""),
        cells,
        paged=name in runs,
    )


def _kind(line: Mapping[str, str], runs: Mapping[str, Run]) -> Kind:
    if line["status"] == "quoted":
        return "quoted"
    name = line["model"]
    family = str(runs[name].identity.card.get("family", "")) if name in runs else ""
    if not family and name in CARDS:
        family = CARDS.load(name).family
    return "baseline" if family == "baseline" else "model"


def _loss(column: Column, value: float) -> float:
    if column.spec.better == "lower":
        return value
    if column.spec.better == "higher":
        return -value
    return abs(value - column.md)


def _ranked(rows: Sequence[BoardRow], columns: Sequence[Column], runs: Mapping[str, Run]) -> list[BoardRow]:
    ranked = [row for row in rows if row.kind == "model" and row.status == OFFICIAL]
    ranks: dict[str, list[float]] = {row.name: [] for row in ranked}
    cells = {row.name: dict(row.cells) for row in ranked}
    for column in columns:
        key = column.spec.key
        losses = {row.name: row.cells[key].loss for row in ranked if not math.isnan(row.cells[key].loss)}
        if not losses:
            continue
        leader = min(losses, key=lambda name: losses[name])
        cells[leader][key] = replace(cells[leader][key], best=True)
        if column.shown:
            for name, loss in losses.items():
                better = sum(other < loss for other in losses.values())
                same = sum(other == loss for other in losses.values())
                ranks[name].append(better + (same + 1) / 2)
            for name in losses:
                if name != leader and _tied(column.spec, runs.get(leader), runs.get(name)):
                    cells[name][key] = replace(cells[name][key], tied=True)
    found = [
        replace(row, cells=cells[row.name], rank=sum(ranks[row.name]) / max(len(ranks[row.name]), 1))
        if row in ranked
        else row
        for row in rows
    ]
    return sorted(found, key=lambda row: (row.kind != "model", math.isnan(row.rank), row.rank, row.name))


def _tied(spec: MetricSpec, leader: Run | None, other: Run | None) -> bool:
    if leader is None or other is None:
        return False
    try:
        (difference,) = compare(leader, other, [spec])
    except (InputError, ValueError):
        return False
    return not difference.winner
