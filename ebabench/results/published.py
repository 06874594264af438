"""Figures that others published, quoted beside what was measured here and never ranked with it.

``leaderboards/published/SUITE.csv`` (the suite's id without its version) has one figure a row: model, variant, metric
(our key), value, n_samples, atoms, aggregate, provenance, source, note. ``provenance``: "paper", the authors' own;
"authors-repository"; "third-party-rescore"; "second-hand", as somebody quotes it. ``atoms``: those that figures of
fluctuation were made from, "heavy" or "ca". Lengths are in angstrom there as here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass

from ebabench.errors import InputError
from ebabench.system.registry import folder

NOT_COMPARED = {
    "seconds_per_sample": "a cost, on the hardware of each paper, and no property of an ensemble",
    "ramachandran_w2": "quoted without a unit, of one distribution a protein; here in degrees, a residue at a time",
    "ca_clash_percent": (
        "counted otherwise: here it is the share of conformations with a clash, which the same source gives as 39 to "
        "53 % for these models"
    ),
}
"""What is quoted under one of our names, or none, and is not the same thing: carried in the file, not shown."""

_COLUMNS = ("model", "variant", "metric", "value", "n_samples", "atoms", "aggregate", "provenance", "source", "note")
_SHARED = ("atoms", "n_samples", "aggregate", "provenance", "source")


@dataclass(frozen=True)
class PublishedResult:
    """What one source says of one model. ``figures``: as they are printed there, by our key."""

    model: str
    atoms: str
    samples: str
    aggregate: str
    provenance: str
    source: str
    notes: tuple[str, ...]
    figures: Mapping[str, str]


def quotes(suite_id: str) -> list[PublishedResult]:
    """What is published for a suite, in the order of the file; nothing for most suites.

    Raises InputError if the file is not what it should be.
    """
    path = folder("ebabench.leaderboards") / "published" / f"{suite_id.rpartition('-v')[0] or suite_id}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise InputError(f"{path}: its columns are {reader.fieldnames}, not {', '.join(_COLUMNS)}")
        rows = [row for row in reader if row["metric"] not in NOT_COMPARED]
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault((_name(row), *(row[name] for name in _SHARED)), []).append(row)
    return [_quote(rows) for rows in found.values()]


def _quote(rows: list[dict[str, str]]) -> PublishedResult:
    model, atoms, samples, aggregate, provenance, source = (_name(rows[0]), *(rows[0][name] for name in _SHARED))
    notes = tuple(dict.fromkeys(row["note"] for row in rows if row["note"]))
    return PublishedResult(model, atoms, samples, aggregate, provenance, source, notes, _figures(rows))


def _name(row: Mapping[str, str]) -> str:
    return f"{row['model']}, {row['variant']}" if row["variant"] else row["model"]


def _figures(rows: list[dict[str, str]]) -> dict[str, str]:
    figures: dict[str, str] = {}
    for row in rows:
        if figures.setdefault(row["metric"], row["value"]) != row["value"]:
            raise InputError(f"{_name(row)} ({row['source']}): {row['metric']} is quoted twice, with two values")
    return figures
