"""Statistical weights in CSV files beside the conformations."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.io.content import suffix_of
from ebabench.io.frames import Frames
from ebabench.io.structures import STRUCTURE_SUFFIXES
from ebabench.io.trajectories import TRAJECTORY_SUFFIXES

SUFFIX = ".weights.csv"
FOLDER = "weights.csv"
_CONFORMATIONS = (*STRUCTURE_SUFFIXES, *TRAJECTORY_SUFFIXES, ".npz", ".zip")
_REMEDY = (
    f"weights of one file X.pdb are read from X{SUFFIX} beside it (a column 'weight'), those of several files from "
    f"{FOLDER} (columns 'file' and 'weight'): rename it, or move it away"
)


def is_table(path: Path) -> bool:
    """Return whether a file is a table of weights by its name, in any case and place.

    Example:
        >>> is_table(Path("X_Weights.CSV")), is_table(Path("weights.npz"))
        (True, False)
    """
    name = path.name.lower()
    return name.endswith(".csv") and "weights" in name and not name.startswith(".")


@dataclass(frozen=True)
class Tables:
    """The tables of weights that lie beside files of conformations, or above them.

    Attributes:
        own: ``X.weights.csv`` by the file ``X`` that it is of.
        shared: ``weights.csv``, whose rows name files.
        unused: Tables of other names, which are read as weights of nothing.
        aside: Tables that are named after a topology or a file that is left out, by that file.
    """

    own: Mapping[Path, Path] = field(default_factory=dict)
    shared: tuple[Path, ...] = ()
    unused: tuple[Path, ...] = ()
    aside: Mapping[Path, Path] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The tables that are read."""
        return (*self.own.values(), *self.shared)

    def read(self) -> Weights:
        """Return the weights in the tables.

        Raises:
            InputError: A table is there that would not be read (``weights.unused``); or one cannot be read
                (``weights.broken``), or names a file that is not there (``weights.count``).
        """
        for table in self.unused:
            raise InputError(f"{table}: is not used: {_REMEDY}", code="weights.unused", file=str(table))
        for path, table in () if self.files else self.aside.items():
            raise InputError(
                f"{table}: is not used: the conformations are not those of {path.name}; {_REMEDY}",
                code="weights.unused",
                file=str(table),
            )
        return Weights(self)


class Weights:
    """The weights in some tables; those of many files are read once."""

    def __init__(self, tables: Tables) -> None:
        self._own, self._shared = tables.own, tables.shared
        self._rows: dict[str, dict[Path, list[float]]] = {}  # by the absolute path of a file, and the table
        for table in tables.shared:
            for path, weights in _by_file(table).items():
                self._rows.setdefault(path, {})[table] = weights

    def weighted(self, frames: Frames, counts: Mapping[Path, int]) -> Frames:
        """Return the frames of some files with the weights that the tables hold; unchanged if they hold none.

        Args:
            frames: The frames, file after file.
            counts: How many frames each file has, in the order of ``frames``.

        Raises:
            InputError: A table cannot be read (``weights.broken``), has another number of rows for a file than it has
                conformations (``weights.count``), a file has weights twice (``weights.twice``), or only some of the
                files have weights (``ensembles.weights``).
        """
        found = [one for path, count in counts.items() if (one := self._of(frames, path, count)) is not None]
        if not found:
            return frames
        check_all_weighted(frames.source, len(found), len(counts))
        tables = list(dict.fromkeys(table.name for table, _ in found))
        more = f" and {len(tables) - 1} more" * (len(tables) > 1)
        weights = np.array([weight for _, own in found for weight in own])
        return replace(frames, weights=weights).noted(f"weights from {tables[0]}{more}")

    def _of(self, frames: Frames, path: Path, count: int) -> tuple[Path, list[float]] | None:
        """Return the table that a file has weights in, and the weights; None if there is none."""
        found = list(self._rows.get(_absolute(path), {}).items())
        if path in self._own:
            found.append((self._own[path], [weight for _, weight in _rows(self._own[path], ("weight",))]))
        if len(found) + (frames.weights is not None) > 1:
            first = f"weights in {found[1][0]}" if len(found) > 1 else "weights of its own"
            raise InputError(
                f"{path}: has {first}, and so has {found[0][0].name}; remove one of them",
                code="weights.twice",
                file=str(path),
            )
        if not found and self._shared and frames.weights is None:
            found = [(self._shared[0], [])]
        if not found:
            return None
        table, weights = found[0]
        if len(weights) != count:
            raise InputError(
                f"{table}: has {len(weights)} weights of {path.name}, which has {count} conformations",
                code="weights.count",
                file=str(table),
            )
        return table, weights


class Catalogue:
    """The tables of weights in some folders.

    Args:
        files: All files in these folders; folders count as what a table may be named after.
        unpacked: Archives by the folder that they were unpacked into.
    """

    def __init__(self, files: Iterable[Path], unpacked: Mapping[Path, Path] | None = None) -> None:
        files, self._unpacked = list(files), unpacked or {}
        self._all = {path for path in files if is_table(path)}
        self._shared = {path.parent: path for path in self._all if path.name == FOLDER}
        self._named: dict[tuple[Path, str], list[Path]] = {}
        for path in sorted(self._all - set(self._shared.values())):
            self._named.setdefault((path.parent, _named_after(path)), []).append(path)
        places = {path.parent for path in self._all}
        known = {one for path in files for one in _names(path, places)} if self._named else set()
        self._strays: dict[Path, list[Path]] = {}
        for (folder, name), tables in self._named.items():
            if (folder, name) not in known:
                self._strays.setdefault(folder, []).extend(tables)

    def of(self, paths: Iterable[Path], others: Iterable[Path] = ()) -> Tables:
        """Return the tables of some files of conformations.

        Args:
            paths: The files.
            others: Files that are no conformations of theirs: topologies, and files that are left out.
        """
        if not self._all:
            return Tables()
        own, names, shared, unused = {}, dict[tuple[Path, str], None](), dict[Path, None](), dict[Path, None]()
        for path in paths:
            if (table := path.with_name(_stem(path) + SUFFIX)) in self._all:
                own[path] = table
            names |= dict.fromkeys(_names(path, None))
            for folder in path.parents if self._unpacked else ():
                if folder in self._unpacked:
                    names |= dict.fromkeys(_names(self._unpacked[folder], None))
        for folder in dict.fromkeys(folder for folder, _ in names):
            unused |= dict.fromkeys(self._strays.get(folder, ()))
            if folder in self._shared:
                shared[self._shared[folder]] = None
        for name in names:
            unused |= dict.fromkeys(self._named.get(name, ()))
        used = set(own.values())
        aside = {
            path: table
            for path in others
            for name in _names(path, {path.parent})
            for table in self._named.get(name, ())
            if table not in used
        }
        return Tables(own, tuple(shared), tuple(table for table in unused if table not in used), aside)


def read_weights(frames: Frames, path: Path) -> Frames:
    """Return the frames of one file with the weights that a table beside it holds, if there is one.

    Args:
        frames: The frames.
        path: The file that they are from.

    Raises:
        InputError: What ``Tables.read`` and ``Weights.weighted`` raise.
    """
    topology = [Path(frames.topology)] if frames.topology else []
    return Catalogue(path.parent.iterdir()).of([path], topology).read().weighted(frames, {path: len(frames)})


def check_all_weighted(source: object, weighted: int, files: int) -> None:
    """Raise InputError (``ensembles.weights``) where some of the files of a source have weights and some have none."""
    if 0 < weighted < files:
        raise InputError(
            f"{source}: {weighted} of {files} files have weights; give all or none of them weights",
            code="ensembles.weights",
        )


def check_unweighted(paths: Iterable[Path]) -> None:
    """Raise InputError (``reference.weights``) where a table of weights lies beside files of a reference."""
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    for folder, files in folders.items():
        beside = folder.iterdir() if folder.is_dir() else ()
        found = Catalogue(beside).of(path for path in files if not is_table(path))
        for table in (*found.files, *found.unused):
            raise InputError(
                f"{table}: the frames of a reference count alike, weights of them are not read; draw frames by their "
                "weights, or move the table away",
                code="reference.weights",
                file=str(table),
            )


def _names(path: Path, places: set[Path] | None) -> Iterator[tuple[Path, str]]:
    """Yield what a table of weights may be named after in the folder of a file and in those above: folder and name.

    Args:
        path: The file.
        places: The folders that count; None for all.
    """
    above = path.parent
    if places is None or above in places:
        if suffix_of(path) in _CONFORMATIONS:
            yield above, _bare(_stem(path))
        if suffix_of(path) in (*_CONFORMATIONS, ""):
            yield above, _bare(path.name)
    for folder in above.parents:
        if places is None or folder in places:
            yield folder, _bare(above.name)
        above = folder


def _named_after(table: Path) -> str:
    """Return what a table of weights is named after: ``x`` for ``X_weights.csv``."""
    return _bare(table.name.lower().removesuffix(".csv").replace("weights", ""))


def _bare(name: str) -> str:
    return name.lower().strip("._- ")


def _by_file(table: Path) -> dict[str, list[float]]:
    """Return the weights in ``weights.csv`` by the absolute path of a file."""
    given: dict[str, list[float]] = {}
    for name, weight in _rows(table, ("file", "weight")):
        given.setdefault(_absolute(table.parent / name), []).append(weight)
    for path in given:
        if not Path(path).is_file():
            raise InputError(
                f"{table}: has a weight of {path}, which is not there; its column 'file' has the names of files as "
                "seen from its folder, with their suffixes",
                code="weights.count",
                file=str(table),
            )
    return given


def _absolute(path: Path) -> str:
    return os.path.normpath(path.absolute())


def _rows(table: Path, columns: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return file (empty where there is no such column) and weight of every row."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            if lacking := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise ValueError(f"it has no column {lacking[0]!r}")
            if others := [name for name in reader.fieldnames or () if name not in columns]:
                raise ValueError(f"it has a column {others[0]!r}, and may be in another order: sort it, and remove it")
            rows = list(reader)
            if any(None in row for row in rows):
                raise ValueError("a row has more cells than the first")
            return [((row.get("file") or "").strip(), float(row["weight"])) for row in rows]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        what = " and ".join(map(repr, columns))
        raise InputError(
            f"{table}: not a table of weights ({error}); it has {'a column' if len(columns) == 1 else 'columns'} "
            f"{what}, no others, and one row per conformation",
            code="weights.broken",
            file=str(table),
        ) from error


def _stem(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return name[: len(name) - len(suffix_of(path))]
