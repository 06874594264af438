"""The MD-equivalent times of a run, in ``md_time.json`` of its folder, and their medians over targets."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ebabench.results.md_equivalent import EquivalentTime, headline, median_time
from ebabench.scoring.records import Record
from ebabench.system.files import replace_file

if TYPE_CHECKING:
    from ebabench.results.runs import Run

FILE = "md_time.json"
Times = Mapping[str, Mapping[str, EquivalentTime]]
"""Target -> key of a metric -> the time."""


def records_digest(records: Sequence[Record]) -> str:
    """Return the SHA-256 of all records of a run, in hex."""
    return hashlib.sha256("".join(record.digest() for record in records).encode()).hexdigest()


def write_times(run: Run, times: Times) -> None:
    """Write the times of a run's targets into its folder, beside those of other metrics that are there.

    Raises:
        OSError: The file cannot be written.
    """
    both = {target: {**read_times(run).get(target, {}), **own} for target, own in times.items()}
    plain = {
        "records": records_digest(run.records()),
        "targets": {
            target: {key: _plain(time) for key, time in own.items() if not math.isnan(time.nanoseconds)}
            for target, own in both.items()
        },
    }
    replace_file(run.folder / FILE, json.dumps(plain, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_times(run: Run) -> Times:
    """Return the times in a run folder; empty if there are none, or if the records were changed since."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept: dict[str, Any] = json.loads((run.folder / FILE).read_text(encoding="utf-8"))
        if kept["records"] == records_digest(run.records()):
            return {
                target: {key: _time(plain) for key, plain in own.items()} for target, own in kept["targets"].items()
            }
    return {}


def _plain(time: EquivalentTime) -> dict[str, Any]:
    """The time for JSON, in which an infinite end of an interval is null."""
    plain = asdict(time)
    return plain | {"high": None if math.isinf(time.high) else time.high}


def _time(plain: Mapping[str, Any]) -> EquivalentTime:
    return EquivalentTime(**{**plain, "high": math.inf if plain["high"] is None else plain["high"]})


def medians(times: Times) -> dict[str, EquivalentTime]:
    """Return the median over targets for every metric that has a time, by key."""
    keys = dict.fromkeys(key for own in times.values() for key in own)
    return {key: median_time([own[key] for own in times.values() if key in own]) for key in keys}


def headline_of(of_metrics: Mapping[str, EquivalentTime], primary: Sequence[str]) -> EquivalentTime:
    """Return the headline of a row: the median over those primary metrics that have a time."""
    return headline([of_metrics[key] for key in primary if key in of_metrics])
