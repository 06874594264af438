"""The files below a folder, what kind each is, and its stem."""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from ebabench.io.content import suffix_of
from ebabench.io.structures import STRUCTURE_SUFFIXES
from ebabench.io.topologies import TOPOLOGY_SUFFIXES
from ebabench.io.trajectories import TRAJECTORY_SUFFIXES

Kind = Literal["structure", "trajectory", "topology", "array", "archive", "other"]

_KINDS: dict[Kind, tuple[str, ...]] = {
    "structure": STRUCTURE_SUFFIXES,
    "trajectory": TRAJECTORY_SUFFIXES,
    "topology": TOPOLOGY_SUFFIXES,
    "array": (".npz",),
    "archive": (".zip",),
}
FORMATS = (
    f"structure files ({', '.join(STRUCTURE_SUFFIXES)}, each also as .gz), trajectories beside a topology "
    f"({', '.join(TRAJECTORY_SUFFIXES)}), .npz, and .zip of these"
)
"""The formats that are read, for messages."""


def kind(path: Path) -> Kind:
    """Return what a file is by its suffix, in any case.

    Example:
        >>> kind(Path("X.PDB")), kind(Path("x.cif.gz")), kind(Path("x.gro")), kind(Path("x.json"))
        ('structure', 'structure', 'topology', 'other')
    """
    suffix = suffix_of(path)
    return next((name for name, suffixes in _KINDS.items() if suffix in suffixes), "other")


def stem(path: Path) -> str:
    """Return the name of a file less its suffix; less ``.top`` of a structure, and ``traj`` of a trajectory.

    Example:
        >>> stem(Path("a/6o2v_A.cif.gz")), stem(Path("X.top.pdb")), stem(Path("X.traj.dcd"))
        ('6o2v_A', 'X', 'X')
    """
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    own = name[: len(name) - len(suffix_of(path))]
    return re.sub(r"[._-]traj$" if kind(path) == "trajectory" else r"\.top$", "", own, flags=re.I)


def full(path: Path) -> str:
    """Return an absolute path as text, for patterns that also look at folders above the root."""
    text = path.as_posix()
    return text if path.is_absolute() else f"{Path.cwd()}/{text}"


def natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key by which sample_2 comes before sample_10."""
    return [(int(digits or 0), rest) for rest, digits in re.findall(r"(\D*)(\d*)", text)]


@dataclass(frozen=True)
class Listing:
    """The files below a folder that are not hidden, in natural order.

    Attributes:
        root: The folder.
        files: Paths of the files, which begin with the folder's as it was given.
        above: The names of the folders that lead to the root, outermost first; the root's is the last.
    """

    root: Path
    files: tuple[Path, ...]
    above: tuple[str, ...]

    @cached_property
    def _sorted(self) -> tuple[list[str], list[int]]:
        """The absolute paths as sorted texts, and the place of each in ``files``."""
        pairs = sorted((full(path), place) for place, path in enumerate(self.files))
        return [text for text, _ in pairs], [place for _, place in pairs]

    @staticmethod
    def of(root: Path, above: tuple[str, ...] = ()) -> Listing:
        """Return the listing of a folder; ``above`` are folders that do not show in its path."""
        found = sorted(_walk(root), key=lambda path: natural(path.relative_to(root).as_posix()))
        return Listing(root, tuple(found), (*above, root.absolute().name))

    def less(self, files: Iterable[Path]) -> Listing:
        """Return the listing without some files."""
        gone = set(files)
        return replace(self, files=tuple(path for path in self.files if path not in gone))

    def of_kind(self, *kinds: Kind) -> list[Path]:
        """Return the files of some kinds."""
        return [path for path in self.files if kind(path) in kinds]

    def below(self, start: str) -> list[Path]:
        """Return the files whose absolute paths begin so."""
        texts, places = self._sorted
        first, last = bisect_left(texts, start), bisect_left(texts, start + chr(sys.maxunicode))
        return [self.files[place] for place in sorted(places[first:last])]

    def folders(self, path: Path) -> tuple[str, ...]:
        """Return the names of the folders that a file lies in, innermost first, the outermost root's last."""
        return (*reversed(path.relative_to(self.root).parts[:-1]), *reversed(self.above))

    def place(self, path: Path) -> tuple[str, ...]:
        """Return the names of the folders below the outermost root that lead to a file, and the file's own."""
        return (*reversed(self.folders(path)[:-1]), path.name)


def _walk(root: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        yield from (Path(folder, name) for name in names if not name.startswith("."))
