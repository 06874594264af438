"""Published values, quoted beside measured rows and never ranked with them.

``leaderboards/published/SUITE.csv`` (the suite's id without its version) has one value per row: model, variant, metric
(ebabench's key, or ``seconds_per_sample``, the cost on the machine of the source), value, n_samples, atoms, aggregate,
provenance, source, note. ``provenance`` is "paper" (by the authors), "authors-repository", "third-party-rescore" or
"second-hand". ``atoms`` is the atom set of fluctuations, "heavy" or "ca". Lengths are in angstrom.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass

from ebabench.errors import InputError
from ebabench.system.registry import folder

NOT_COMPARED = {
    "ramachandran_w2": "quoted without a unit, of one distribution a protein; here in degrees, a residue at a time",
    "ca_clash_percent": (
        "counted otherwise: here it is the share of conformations with a clash, which the same source gives as 39 to "
        "53 % for these models"
    ),
}
"""Quantities in the file that are not shown, because ebabench measures something else under their name."""

_COLUMNS = ("model", "variant", "metric", "value", "n_samples", "atoms", "aggregate", "provenance", "source", "note")
_SHARED = ("atoms", "n_samples", "aggregate", "provenance", "source")


@dataclass(frozen=True)
class PublishedResult:
    """The values of one model in one source.

    Attributes:
        model: Name of the model.
        atoms: Atom set of fluctuations.
        samples: Number of conformations, as text.
        aggregate: "median" or "mean" over targets.
        provenance: Who made the values.
        source: The publication.
        notes: Remarks of the collector.
        figures: The values as printed, by ebabench's key.
    """

    model: str
    atoms: str
    samples: str
    aggregate: str
    provenance: str
    source: str
    notes: tuple[str, ...]
    figures: Mapping[str, str]


def quotes(suite_id: str) -> list[PublishedResult]:
    """Return the published values for a suite, in the order of the file; an empty list for most suites.

    Args:
        suite_id: Id of the suite.

    Raises:
        InputError: The file has other columns (``published.columns``), or two values for one quantity
            (``published.twice``).
    """
    path = folder("ebabench.leaderboards") / "published" / f"{suite_id.rpartition('-v')[0] or suite_id}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise InputError(
                f"{path}: its columns are {reader.fieldnames}, not {', '.join(_COLUMNS)}",
                code="published.columns",
                file=path,
            )
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
            raise InputError(
                f"{_name(row)} ({row['source']}): {row['metric']} is quoted twice, with two values",
                code="published.twice",
                metric=row["metric"],
            )
    return figures
