"""What a row costs and how much MD it is worth, as far as the leaderboard says so. What is not said is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ebabench.results.worth import price
from ebabench.scoring.spec import MetricSpec

COST = "cost"
_spec = partial(MetricSpec, version=1, aggregate=None, needs="ca", paper="")
SECONDS, PARAMETERS, MD_TIME, MD_PRICE = (
    _spec(
        key="seconds_per_sample",
        title="Wall time of sampling per conformation, on the machine of the row",
        unit="s",
        better="lower",
        means="Wall time of sampling divided by the number of conformations, mean over all conformations of a run. The "
        "device stands below the figure. Quoted rows have the figure of their source.",
        cannot_see="Rows of different devices do not compare. The time of training, of loading the model and of "
        "preparing its input elsewhere (an alignment of sequences, for instance) does not count.",
    ),
    _spec(
        key="parameters",
        title="Number of trained parameters",
        unit="",
        better="lower",
        means="Number of trained parameters, as the model reports it.",
        cannot_see="It does not see how often the parameters are used: `seconds_per_sample` does.",
    ),
    _spec(
        key="md_ns",
        title="MD-equivalent time: the length of MD that has the model's error, median over the primary metrics",
        unit="ns",
        better="higher",
        means="How many nanoseconds of MD have the model's error, against the rest of the MD. The error of windows of "
        "MD falls with their length; the length at which it equals the model's is read off that curve. Median over "
        "targets and over the primary metrics of the suite. The interval is a bootstrap interval.",
        cannot_see="Nothing is extrapolated: a model that is better than the longest window is worth at least that "
        "length. The MD that is the judge is finite itself. What the primary metrics cannot see does not count.",
    ),
    _spec(
        key="md_price",
        title="How many times the cost of the model's conformations MD of the length that it is worth costs: processor "
        "time on one kind of processor",
        unit="",
        better="higher",
        means="Processor time of MD of the length `md_ns`, divided by the processor time of the model's conformations, "
        "both on one kind of processor. Above 1 the model is cheaper than MD of its worth.",
        cannot_see="The time of training does not count, nor do devices other than processors. It has the bounds and "
        "the blind spots of `md_ns`.",
    ),
)
COSTS = (SECONDS, PARAMETERS, MD_TIME, MD_PRICE)
"""The columns of cost, in their order. Their keys are columns of the leaderboard."""


@dataclass(frozen=True)
class Cost:
    """One figure of cost.

    Attributes:
        value: The figure.
        low: Lower end of its 95 % interval; NaN where there is none.
        high: Upper end; infinite where it is not bounded.
        note: On what device, or that the figure is a bound or quoted.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""


def costs_of(line: Mapping[str, str]) -> dict[str, Cost]:
    """Return the costs of a row of a leaderboard by key, without those that it does not say and that do not follow.

    Args:
        line: The row, as text.
    """
    quoted = "as quoted" if line.get("status") == "quoted" else ""
    notes = {SECONDS.key: quoted or line.get("device", ""), MD_TIME.key: line.get(f"{MD_TIME.key}_censored", "")}
    found = {}
    for spec in COSTS:
        value, low, high = (_number(line.get(f"{spec.key}{part}", "")) for part in ("", "_low", "_high"))
        if math.isfinite(value):
            found[spec.key] = Cost(value, low, high, notes.get(spec.key, ""))
    if (told := price(line)) is not None:
        found[MD_PRICE.key] = Cost(told.ratio, note=str(told))
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
