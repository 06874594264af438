"""Write the two tables of a run folder as CSV text."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence

from ebabench.results.aggregation import Row
from ebabench.results.flags import marks
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.system.names import cell

SUMMARY_COLUMNS = ("metric", "value", "low", "high", "floor", "unit", "direction", "n_targets", "n_undefined")


def targets_csv(records: Sequence[Record], specs: Sequence[MetricSpec]) -> str:
    """Return ``targets.csv``: one row per target, with the median of a profile, empty if there is no defined value.

    Args:
        records: One record per target.
        specs: The metrics.
    """
    keys = [spec.key for spec in specs if not spec.of]
    counts = ("n_samples", "effective_samples", "duplicates", "n_reference_frames", "coverage")
    head = ["target", "sequence", *counts, *keys, "marks", "error"]
    rows = [
        [
            record.target,
            record.sequence,
            str(record.n_samples),
            number(record.effective_samples),
            str(record.duplicates),
            str(record.n_reference_frames),
            number(record.coverage),
            *(number(_middle(record.figures.numbers(key))) for key in keys),
            "; ".join(marks(record)),
            record.error or "",
        ]
        for record in records
    ]
    return table([head, *rows])


def summary_csv(rows: Sequence[Row]) -> str:
    """Return ``summary.csv``: one row per metric, empty if there is no defined value.

    Args:
        rows: The aggregates.
    """
    body = [
        [
            row.spec.key,
            *(number(x) for x in (row.estimate.value, row.estimate.low, row.estimate.high, row.floor)),
            row.spec.unit,
            row.spec.better,
            str(row.estimate.n_targets),
            str(row.estimate.n_undefined),
        ]
        for row in rows
    ]
    return table([list(SUMMARY_COLUMNS), *body])


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV text, in which no cell is a formula or holds what cannot be printed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cell(one) for one in row] for row in rows)
    return text.getvalue()


def number(value: float) -> str:
    """Return the shortest text that reads back as the same number; an empty text for NaN.

    Example:
        >>> number(0.1), number(float("nan"))
        ('0.1', '')
    """
    return "" if math.isnan(value) else repr(float(value))


def six_digits(value: float) -> str:
    """Return six significant digits: fewer than scoring repeats on another machine, more than any interval needs.

    Example:
        >>> six_digits(0.123456789), six_digits(float("nan"))
        ('0.123457', '')
    """
    return "" if math.isnan(value) else f"{value:.6g}"


def _middle(numbers: tuple[float, ...] | None) -> float:
    if not numbers or any(math.isnan(x) for x in numbers):
        return math.nan
    return statistics.median(numbers)
