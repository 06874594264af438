"""Published values, quoted beside measured rows and never ranked with them.

``leaderboards/published/SUITE.csv`` (the suite's id without its version) has one value per row: model, variant, metric
(ebabench's key, or ``seconds_per_sample``, the cost on the machine of the source), value, n_samples, atoms, aggregate,
provenance, source, note. ``provenance`` is "paper" (by the authors), "authors-repository", "third-party-rescore" or
"second-hand". ``atoms`` is the atom set of fluctuations, "heavy" or "ca". Lengths are in angstrom. Values that agree in
all but metric, value and note are one row of the board, and no two rows have one name: what several sources print of a
model is told apart by the source, then by the atoms.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

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
_ADDRESSED = re.compile(r"(?:arXiv:|github\.com/|huggingface\.co/)[^(]*\((.*?)\)(.*)")


@dataclass(frozen=True)
class PublishedResult:
    """The values of one model in one source.

    Attributes:
        model: Name of the model and its variant; also where the values are from, if that alone tells two rows apart.
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
        InputError: The file has other columns (``published.columns``), two values for one quantity, or two rows that
            nothing tells apart (``published.twice``).
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
    return _told_apart([_quote(rows) for rows in found.values()])


def _told_apart(results: list[PublishedResult]) -> list[PublishedResult]:
    """The results under names of their own."""
    for said in (_origin, _atoms):
        results = [replace(r, model=f"{r.model} ({said(r)})") if r.model in _repeated(results) else r for r in results]
    if names := _repeated(results):
        raise InputError(
            f"{min(names)} has two rows of published values from one source: give them two variants, or the same "
            f"{', '.join(_SHARED[1:4])}",
            code="published.twice",
            model=min(names),
        )
    return results


def _repeated(results: list[PublishedResult]) -> set[str]:
    return {name for name, count in Counter(result.model for result in results).items() if count > 1}


def _origin(result: PublishedResult) -> str:
    """The name that the source has beside its address; the whole source where it has none."""
    found = _ADDRESSED.fullmatch(result.source)
    return found[1] + found[2] if found else result.source


def _atoms(result: PublishedResult) -> str:
    return "C-alphas" if result.atoms == "ca" else f"{result.atoms} atoms"


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
