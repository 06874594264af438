"""What is not trained on, and why: told on the console, and kept as ``left_out.csv`` beside the checkpoint."""

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
    """A frame, by its place among those that were read, counted from 0; or, where that is none, a whole target."""

    target: str
    frame: int | None
    reason: str


def sifted(
    wanted: Iterable[str], data: Sequence[Trajectories], compared: int
) -> tuple[list[Trajectories], list[Exclusion]]:
    """The targets that have as many conformations as are ``compared``, and what of the ``wanted`` ones is left out.

    Without energies every conformation counts, and a target is read when it is trained on, not here. Raises
    InputError where no target is left.
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
        raise InputError("; ".join(["no target is left to train on", *told(rows, most=3)]))
    return kept, rows


def told(rows: Sequence[Exclusion], most: int = 10) -> list[str]:
    """A line a target, whose rows are together: how much of it is left out, and why (of several reasons the first).

    Of more than ``most`` targets the number of the others.
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
    """Writes all of it to the folder: target, frame, reason. Where nothing is left out there is no file."""
    if not rows:
        (folder / FILE).unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([Exclusion._fields, *rows])
    replace_file(folder / FILE, text.getvalue())
