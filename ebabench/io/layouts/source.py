"""Where the conformations of one target lie: files to read, files left out, and the layout that tells them apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ebabench.errors import InputError
from ebabench.io.weights import Tables


class LeftOut(NamedTuple):
    """A file, or a folder, that is not read as conformations, and the reason."""

    path: Path
    reason: str


class Part(NamedTuple):
    """One file of conformations.

    Attributes:
        path: The file.
        topology: The file that names the atoms of a trajectory; None where ``path`` names its own atoms.
        report: A JSON file that says for every frame whether the generator rejects it (``physicality.json``); or None.
    """

    path: Path
    topology: Path | None = None
    report: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the part."""
        return tuple(path for path in self if path is not None)


@dataclass(frozen=True)
class Source:
    """The conformations of one target on disk.

    Attributes:
        layout: Name of the layout, for messages (``"BioEmu 1"``).
        names: What the target may be called after, most specific first: the layout's own name for it, then folders.
        parts: The files, in reading order.
        left_out: Files that lie beside them and are not read.
        fault: Why the files cannot be read, if recognition has found that already.
        place: The folders that lead to the first file, outermost first, and its name.
        plain: True where no generator's layout is recognised, only a format.
        tables: The tables of statistical weights that lie beside the files.
    """

    layout: str
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    left_out: tuple[LeftOut, ...] = ()
    fault: InputError | None = None
    place: tuple[str, ...] = ()
    plain: bool = False
    tables: Tables = field(default_factory=Tables)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read, each once: conformations, topologies, reports, tables of weights."""
        return tuple(dict.fromkeys((*(path for part in self.parts for path in part.files), *self.tables.files)))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of conformations, in reading order."""
        return tuple(part.path for part in self.parts)

    def without(self, *left_out: LeftOut) -> Source:
        """Return the source with more files left out; they are no longer read."""
        gone = {one.path for one in left_out}
        return replace(
            self,
            parts=tuple(part for part in self.parts if part.path not in gone),
            left_out=self.left_out + left_out,
        )

    def called(self, *names: str) -> Source:
        """Return the source with other names, each once."""
        return replace(self, names=tuple(dict.fromkeys(names)))

    def tidy(self) -> Source:
        """Return the source with each file left out once, and none that is read."""
        read = set(self.files)
        left = {one.path: one for one in reversed(self.left_out) if one.path not in read}
        return replace(self, left_out=tuple(reversed(left.values())))

    def __str__(self) -> str:
        paths = self.paths or tuple(one.path for one in self.left_out)
        return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def joined(sources: Iterable[Source]) -> Source:
    """Return one source with the files of several, in their order."""
    first, *others = sources
    return replace(
        first,
        parts=first.parts + tuple(part for one in others for part in one.parts),
        left_out=first.left_out + tuple(gone for one in others for gone in one.left_out),
        fault=next((one.fault for one in (first, *others) if one.fault), None),
    )
