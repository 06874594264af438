"""What a row of a leaderboard is worth, in words: nanoseconds of MD, models that it beats, seconds per conformation."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ebabench.results.board import BETTER_THAN
from ebabench.results.standing import QUOTED
from ebabench.results.worth_columns import md_time_of


def short(value: float | str) -> str:
    """Return three significant digits for a reader; a dash for what is not there."""
    number = math.nan if value == "" else float(value)
    if math.isnan(number):
        return "–"
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:#.3g}".rstrip(".")


def md_time_text(line: Mapping[str, str]) -> str:
    """Return the headline of a row with its interval, as ``≥ 10 ns (2.4–∞)``; an empty text without one."""
    time = md_time_of(line)
    if time is None:
        return ""
    return f"{time} ({short(time.low)}–{'∞' if math.isinf(time.high) else short(time.high)})"


def verdict_text(line: Mapping[str, str]) -> str:
    """Return the models that a row is better than, with the number of primary metrics; empty if none is told."""
    return ", ".join(item.replace("=", " (") + ")" for item in line.get(BETTER_THAN, "").split())


def cost_text(line: Mapping[str, str]) -> str:
    """Return seconds per conformation and the device, or that the figure is quoted; an empty text if not known."""
    seconds = line.get("seconds_per_sample")
    if not seconds:
        return ""
    where = "quoted, on the machine of the source" if line["status"] == QUOTED else line.get("device", "")
    return f"{short(seconds)} ({where})"


WORTH = (
    ("worth of MD", md_time_text),
    ("better than", verdict_text),
    ("seconds per conformation", cost_text),
)
"""Heading -> the text of a row."""
