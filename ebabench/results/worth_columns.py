"""The columns of a row that say what its model is worth in MD and what sampling costs: names, cells, times read back.

How much MD the model is worth: ``md_ns`` with ``_low``, ``_high`` and ``_censored`` (the median over the suite's
primary metrics); for single metrics ``KEY_md_ns`` with the same. What sampling cost on the machine of the run:
``seconds_per_sample``, ``processor_seconds_per_sample``, ``device``, ``peak_memory_mib``, ``peak_device_memory_mib``,
``parameters``. A quoted row has at most the first of these. What a nanosecond of the suite's MD costs on the
machine of the run: ``md_seconds_per_ns`` (one core), ``md_device``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ebabench.results.costs import MdCost, RunCost
from ebabench.results.md_equivalent import Censored, EquivalentTime
from ebabench.results.tables import six_digits
from ebabench.scoring.spec import MetricSpec

COST = (
    "seconds_per_sample", "processor_seconds_per_sample", "device", "peak_memory_mib", "peak_device_memory_mib",
    "parameters", "md_seconds_per_ns", "md_device",
)  # fmt: skip
"""Columns of the cost: of sampling, then of MD."""
_MD_NS = "md_ns"
_MD_PARTS = ("", "_low", "_high", "_censored")


def worth_columns(specs: Iterable[MetricSpec]) -> list[str]:
    """Return the names of the columns in their order: the headline, the cost, the times of single metrics.

    Args:
        specs: The metrics that have columns.
    """
    return [*_md_columns(), *COST, *(name for spec in specs for name in _md_columns(spec.key))]


def cost_cells(cost: RunCost | MdCost | None) -> dict[str, str]:
    """Return the cells of a cost; none for what is not known."""
    values = {name: getattr(cost, name, None) for name in COST} if cost else {}
    return {name: _text(value) for name, value in values.items() if value is not None}


def md_time_cells(time: EquivalentTime, key: str = "") -> dict[str, str]:
    """Return the cells of an MD-equivalent time; none if the time is undefined.

    Args:
        time: The time.
        key: A metric; empty for the headline.
    """
    if math.isnan(time.nanoseconds):
        return {}
    texts = (*(six_digits(x) for x in (time.nanoseconds, time.low, time.high)), time.censored)
    return dict(zip(_md_columns(key), texts, strict=True))


def md_time_of(line: Mapping[str, str], key: str = "") -> EquivalentTime | None:
    """Return the MD-equivalent time of a row; None if the row has none.

    Args:
        line: The row.
        key: A metric; empty for the headline.
    """
    columns = _md_columns(key)
    if not line.get(columns[0]):
        return None
    value, low, high = (float(line.get(name) or "nan") for name in columns[:3])
    told = line.get(columns[3])
    censored: Censored = "at least" if told == "at least" else "at most" if told == "at most" else ""
    return EquivalentTime(value, low, high, censored)


def _md_columns(key: str = "") -> list[str]:
    name = f"{key}_{_MD_NS}" if key else _MD_NS
    return [f"{name}{part}" for part in _MD_PARTS]


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else six_digits(value)
