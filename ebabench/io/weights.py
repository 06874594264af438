"""Statistical weights in a CSV file beside the conformations."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.io.content import suffix_of
from ebabench.io.frames import Frames
from ebabench.structures.arrays import FloatArray

SUFFIX = ".weights.csv"
FOLDER = "weights.csv"


def with_weights(frames: Frames, path: Path) -> Frames:
    """Return the frames of one file with the weights that ``NAME.weights.csv`` beside it holds, if it is there.

    The CSV has a column ``weight`` and one row per conformation, in their order.

    Args:
        frames: The frames.
        path: The file that they are from, ``NAME`` and a suffix.

    Raises:
        InputError: The CSV cannot be read (``weights.broken``), has another number of rows than there are conformations
            (``weights.count``), or the frames have weights of their own (``weights.twice``).
    """
    table = path.with_name(_stem(path) + SUFFIX)
    if not table.is_file():
        return frames
    if frames.weights is not None:
        raise InputError(
            f"{path}: has weights of its own, and so has {table.name}; remove one of them",
            code="weights.twice",
            file=str(path),
        )
    weights = np.array([weight for _, weight in _rows(table)])
    return _weighted(frames, weights, table)


def with_folder_weights(frames: Frames, conformations: Mapping[Path, int]) -> Frames:
    """Return the frames of several files with the weights that ``weights.csv`` in their folder holds, if it is there.

    The CSV has the columns ``file`` and ``weight``: one row per conformation, in their order within a file.

    Args:
        frames: The frames, file after file.
        conformations: How many conformations each file has, in the order of ``frames``.

    Raises:
        InputError: The CSV cannot be read (``weights.broken``), or has another number of rows for a file than it has
            conformations (``weights.count``).
    """
    folders = {path.parent for path in conformations}
    table = next(iter(folders)) / FOLDER
    if len(folders) > 1 or not table.is_file():
        return frames
    rows = _rows(table)
    given: dict[str, list[float]] = {}
    for name, weight in rows:
        given.setdefault(name, []).append(weight)
    if unknown := sorted(given.keys() - {path.name for path in conformations}):
        raise InputError(
            f"{table}: has a weight of {unknown[0] or 'no file'}, which is not read; its column 'file' names files",
            code="weights.count",
            file=str(table),
        )
    weights: list[float] = []
    for path, count in conformations.items():
        own = given.get(path.name, [])
        if len(own) != count:
            raise InputError(
                f"{table}: has {len(own)} weights of {path.name}, which has {count} conformations",
                code="weights.count",
                file=str(table),
            )
        weights += own
    return _weighted(frames, np.array(weights), table)


def _weighted(frames: Frames, weights: FloatArray, table: Path) -> Frames:
    if len(weights) != len(frames):
        raise InputError(
            f"{table}: has {len(weights)} weights, and {frames.source} has {len(frames)} conformations",
            code="weights.count",
            file=str(table),
        )
    return replace(frames, weights=weights).noted(f"weights from {table.name}")


def _rows(table: Path) -> list[tuple[str, float]]:
    """Return file (empty where there is no such column) and weight of every row."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            if "weight" not in (reader.fieldnames or ()):
                raise ValueError("it has no column 'weight'")
            return [((row.get("file") or "").strip(), float(row["weight"])) for row in reader]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InputError(
            f"{table}: not a table of weights ({error}); it has a column 'weight' and one row per conformation",
            code="weights.broken",
            file=str(table),
        ) from error


def _stem(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return name[: len(name) - len(suffix_of(path))]
