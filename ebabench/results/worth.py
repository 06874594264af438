"""What a row of a leaderboard is worth, in words: nanoseconds of MD, models that it beats, its own cost and MD's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ebabench.results.board import BETTER_THAN
from ebabench.results.costs import MdCost
from ebabench.results.md_equivalent import EquivalentTime
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


@dataclass(frozen=True)
class Price:
    """What a row costs per target, beside MD of the length that it is worth.

    Attributes:
        samples: Seconds for the conformations of a target; NaN if not known. Processor time if both sides ran on one
            kind of processor, else wall time.
        md: Seconds of processor time for that much MD, on one core.
        sign: Empty, or the sign of a bound: the time that the row is worth is censored.
        device: Where the conformations were sampled.
        md_device: Where the MD was measured.
    """

    samples: float
    md: float
    sign: str
    device: str
    md_device: str

    @property
    def ratio(self) -> float:
        """How many times as much that much MD costs; NaN unless both sides ran on one kind of processor."""
        return self.md / self.samples if self.device == self.md_device and self.samples > 0 else math.nan

    @classmethod
    def of(
        cls,
        time: EquivalentTime,
        md: MdCost,
        samples: int,
        seconds: float | None,
        processor_seconds: float | None,
        device: str,
    ) -> Price:
        """Return the price of a run.

        Args:
            time: How much MD it is worth.
            md: The cost of MD.
            samples: Conformations per target; 0 if not known.
            seconds: Wall time per conformation; None if not known.
            processor_seconds: Processor time per conformation; None if not known.
            device: Where the conformations were sampled.
        """
        cost = time.nanoseconds * md.md_seconds_per_ns
        each = processor_seconds if device == md.md_device and processor_seconds is not None else seconds
        own = math.nan if each is None or not samples else each * samples
        return cls(own, cost, time.sign, "" if each is None else device, md.md_device)

    def __str__(self) -> str:
        md = f"MD {self.sign}{short(self.md)} s"
        if math.isnan(self.samples):
            return f"{md} ({self.md_device})"
        own = f"{short(self.samples)} s"
        return f"{own}; {md}" if self.device == self.md_device else f"{own} ({self.device}); {md} ({self.md_device})"


def price(line: Mapping[str, str]) -> Price | None:
    """Return the cost of a row beside that of as much MD; None if the time or the speed of MD is not known."""
    time, speed, count = md_time_of(line), line.get("md_seconds_per_ns"), line.get("samples", "")
    if time is None or not speed:
        return None
    told = (line.get(name) for name in ("seconds_per_sample", "processor_seconds_per_sample"))
    wall, processor = (float(seconds) if seconds else None for seconds in told)
    md = MdCost(float(speed), line.get("md_device", ""))
    return Price.of(time, md, int(count) if count.isdecimal() else 0, wall, processor, line.get("device", ""))


def price_text(line: Mapping[str, str]) -> str:
    """Return the cost of a target's conformations and of as much MD, as ``3.94 s; MD 4.87 s (1.24 times)``."""
    told = price(line)
    if told is None:
        return ""
    return str(told) if math.isnan(told.ratio) else f"{told} ({told.sign}{short(told.ratio)} times)"


def worth_sentence(line: Mapping[str, str]) -> str:
    """Return what a row is worth and what that costs, in one or two sentences; an empty text if that is not known."""
    if (time := md_time_text(line)) == "":
        return ""
    told, sentence = price(line), f"Worth {time} of MD."
    if told is None:
        return f"{sentence} What that much MD costs on the machine of the run is not known."
    md = f"{told.sign}{short(told.md)} s on one core ({told.md_device})"
    if math.isnan(told.samples):
        return f"{sentence} That much MD takes {md}."
    kind = "processor time" if told.device == told.md_device else f"time on {told.device}"
    own = f"The {line['samples']} conformations of a target take {short(told.samples)} s of {kind}"
    return f"{sentence} {own}; that much MD takes {md}."


WORTH = (
    ("worth of MD", md_time_text),
    ("cost per target; of as much MD", price_text),
    ("better than", verdict_text),
    ("seconds per conformation", cost_text),
)
"""Heading -> the text of a row."""
