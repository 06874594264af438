"""Frames and targets that are excluded from training, with the reason: ``left_out.csv`` beside the checkpoint."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ebabench.errors import InputError
from ebabench.system.files import replace_file
from ebabench.training.data import Trajectories

FILE = "left_out.csv"


class Exclusion(NamedTuple):
    """An excluded frame (its index among the frames that were read, from 0), or a whole target if ``frame`` is None."""

    target: str
    frame: int | None
    reason: str


def sifted(
    wanted: Iterable[str], data: Sequence[Trajectories], compared: int
) -> tuple[list[Trajectories], list[Exclusion]]:
    """Return the targets that have enough conformations, and what is excluded.

    Without energies every conformation counts, and no target is read.

    Args:
        wanted: Names of the targets that were asked for.
        data: The targets that were found.
        compared: Number of conformations that the objective compares.

    Raises:
        InputError: No target remains (``training.no_target``).
    """
    given = {one.name for one in data}
    rows = [Exclusion(name, None, "there are no samples of it") for name in dict.fromkeys(wanted) if name not in given]
    kept = []
    for one in data:
        rows += [Exclusion(one.name, frame, reason) for frame, reason in sorted(one.reasons.items())]
        count = 0 if one.energies is None else len(one.energies)
        left = count - len(one.reasons)
        if one.energies is None or left >= compared:
            kept.append(one)
        else:
            few = f"{left} of its {count} frames have an energy, fewer than the {compared} that are compared"
            rows.append(Exclusion(one.name, None, few))
    if not kept:
        raise InputError("; ".join(["no target is left to train on", *told(rows, most=3)]), code="training.no_target")
    return kept, rows


def told(rows: Sequence[Exclusion], most: int = 10) -> list[str]:
    """Return one line per target: how much of it is excluded, and the first reason.

    Args:
        rows: Exclusions, those of one target next to each other.
        most: Number of lines; the last line counts the other targets.
    """
    lines = []
    for target, of_target in groupby(rows, lambda row: row.target):
        rows_of = list(of_target)
        frames = [row for row in rows_of if row.frame is not None]
        whole = [row for row in rows_of if row.frame is None]
        first = f": {frames[0].reason}" if frames else ""
        if whole:
            lines.append(f"{target} is left out, {whole[0].reason}{first}")
        else:
            count = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
            lines.append(f"{target}: {count} without an energy left out{first}")
    more = [f"and {len(lines) - most} further targets"] if len(lines) > most else []
    return lines[:most] + more


def keep(rows: Sequence[Exclusion], folder: Path) -> None:
    """Write ``left_out.csv`` (target, frame, reason) to a folder, or remove it if nothing is excluded."""
    if not rows:
        (folder / FILE).unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([Exclusion._fields, *rows])
    replace_file(folder / FILE, text.getvalue())
