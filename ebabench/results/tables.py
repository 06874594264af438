"""The two tables of a run folder, as CSV text."""

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

SUMMARY_COLUMNS = ("metric", "value", "low", "high", "floor", "unit", "direction", "n_targets", "n_undefined")


def targets_csv(records: Sequence[Record], specs: Sequence[MetricSpec]) -> str:
    """One row a target; of a profile, its median. Empty where there is no defined value."""
    keys = [spec.key for spec in specs if not spec.of]
    head = ["target", "sequence", "n_samples", "n_reference_frames", "coverage", *keys, "marks", "error"]
    rows = [
        [
            record.target,
            record.sequence,
            str(record.n_samples),
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
    """One row a metric, with SUMMARY_COLUMNS. Empty where there is no defined value."""
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
    """Rows as CSV text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def number(value: float) -> str:
    """The shortest text that reads back as the same number; empty for NaN."""
    return "" if math.isnan(value) else repr(float(value))


def _middle(numbers: tuple[float, ...] | None) -> float:
    if not numbers or any(math.isnan(x) for x in numbers):
        return math.nan
    return statistics.median(numbers)
