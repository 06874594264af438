"""Which file names the atoms of a trajectory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ebabench.errors import InputError
from ebabench.io.layouts.listing import kind
from ebabench.io.layouts.source import LeftOut, Part, Source
from ebabench.io.layouts.wording import numbered

_SUFFIXES = (
    ".top.pdb",
    ".top.cif",
    ".pdb",
    ".pdb.gz",
    ".cif",
    ".cif.gz",
    ".mmcif",
    ".ent",
    ".gro",
    ".prmtop",
    ".parm7",
    ".psf",
)
_SHARED = ("topology", "top")
_WITH_ATOMS = (".h5", ".hdf5")  # MDTraj's HDF5 names its own atoms


def find_topology(trajectory: Path) -> Path:
    """Return the file that names the atoms of a trajectory.

    The first of these that is there: a file of the trajectory's name with ``.top.pdb``, ``.pdb``, ``.cif``, ``.gro``,
    ``.prmtop`` or ``.psf``; the same without a running number (``X.pdb`` for ``X_3.xtc``), or with ``top`` for
    ``traj``; ``topology.*`` or ``top.*``; the only structure file in the folder.

    Args:
        trajectory: The trajectory.

    Raises:
        InputError: There is none (``topology.missing``), or more than one may be meant (``topology.ambiguous``).
    """
    here = {
        path.name.lower(): path
        for path in sorted(trajectory.parent.iterdir())
        if kind(path) in ("structure", "topology") and not path.name.startswith(".")
    }
    for name in _names(trajectory):
        for suffix in _SUFFIXES:
            if path := here.get(f"{name.lower()}{suffix}"):
                return path
    if len(here) == 1:
        return next(iter(here.values()))
    if not here:
        raise InputError(
            f"{trajectory}: there is no topology beside it: put {_names(trajectory)[0]}.pdb (or .cif, .gro, .prmtop, .psf), the "
            "atoms in the order of the trajectory, into the same folder",
            code="topology.missing",
            file=trajectory,
        )
    some = ", ".join(sorted(path.name for path in here.values())[:4])
    raise InputError(
        f"{trajectory}: which of {some} names its atoms? Call it {_names(trajectory)[0]}.top.pdb or topology.pdb",
        code="topology.ambiguous",
        file=trajectory,
    )


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
        if path.suffix.lower() not in _WITH_ATOMS:
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


def _names(trajectory: Path) -> list[str]:
    """Return the stems that a topology may have, best first."""
    stem = re.sub(r"\.[^.]+$", "", trajectory.name)
    return list(dict.fromkeys([*_stems(stem), *_SHARED]))


def _stems(stem: str) -> Iterator[str]:
    yield stem
    for old, new in ((r"[._-]traj(ectory)?$", ""), (r"traj$", "top"), (r"traj$", "topology")):
        if re.search(old, stem, re.I):
            yield re.sub(old, new, stem, flags=re.I)
    if series := numbered(stem):
        yield from _stems(series[0])
