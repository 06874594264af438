"""Sources of trajectories, each with the topology beside it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ebabench.errors import InputError
from ebabench.io.layouts.source import LeftOut, Part, Source
from ebabench.io.topologies import find_topology
from ebabench.io.trajectories import names_atoms


def trajectories(
    layout: str,
    names: tuple[str, ...],
    paths: Sequence[Path],
    left_out: Sequence[LeftOut] = (),
    report: Path | None = None,
) -> Source:
    """Return the source of trajectories, each with its topology; its fault says if one has none.

    Args:
        layout: See ``Source``.
        names: See ``Source``.
        paths: The trajectories, in reading order.
        left_out: See ``Source``.
        report: See ``Part``.
    """
    parts, fault = [], None
    for path in paths:
        topology = None
        if not names_atoms(path):
            try:
                topology = find_topology(path)
            except InputError as error:
                fault = fault or error
        parts.append(Part(path, topology, report))
    return Source(layout, names, tuple(parts), tuple(left_out), fault)


def with_topology(path: Path, reason: str) -> list[LeftOut]:
    """Return a trajectory and its topology, if there is one, as left out."""
    with suppress(InputError):
        return [LeftOut(path, reason), LeftOut(find_topology(path), reason)]
    return [LeftOut(path, reason)]
