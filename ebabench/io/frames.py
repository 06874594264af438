"""The content of structure files and trajectories: every atom of a file, and its positions frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ebabench.structures import THREE_TO_ONE, StoredFrames
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.nomenclature import canonical_residue, is_hydrogen
from ebabench.structures.periodic import Bonds, make_whole

_Text = npt.NDArray[np.str_]


class TrajectoryFrames(StoredFrames, Protocol):
    """Stored frames whose atoms can be narrowed down before anything is read."""

    def take(self, index: IndexArray) -> TrajectoryFrames:
        """Return the frames of the atoms at ``index`` only."""
        ...

    def whole(self, bonds: Bonds) -> TrajectoryFrames:
        """Return the same frames; molecules that a periodic boundary cuts are put together on reading."""
        ...


@dataclass(frozen=True)
class FileAtoms:
    """All atoms of a file, one row per atom, in the order of the file.

    Attributes:
        name: [N], atom names as the file has them.
        residue_name: [N], residue names as the file has them (``NMET``, ``HID``, ``SEP``, ``HOH``).
        residue: [N], residue index from 0, in the order in which residues first appear. The atoms of one residue need
            not be neighbours in the file.
        chain: [N], chain identifiers; the empty string where the file gives none.
        number: [N], residue numbers with their insertion code, as text. They serve as labels in messages.
        element: [N], element symbols in upper case; the empty string where unknown.
        hetero: [N], True for atoms that the file sets apart from the polymers (HETATM).
        segment: [N], an index that rises by one after every TER record.
    """

    name: _Text
    residue_name: _Text
    residue: IndexArray
    chain: _Text
    number: _Text
    element: _Text
    hetero: npt.NDArray[np.bool_]
    segment: IndexArray

    def __len__(self) -> int:
        return len(self.name)

    @property
    def hydrogen(self) -> npt.NDArray[np.bool_]:
        """[N], True for hydrogen and deuterium: by the element, and by the name where the element is unknown.

        Programs that guess the element by the name make mercury of HG and helium of HE. In the twenty amino acids,
        where no element has two letters, the name decides about those.
        """
        unknown = self.element == ""
        guessed = np.char.str_len(self.element) > 1
        if guessed.any():
            standard = [
                name for name in np.unique(self.residue_name[guessed]) if canonical_residue(name) in THREE_TO_ONE
            ]
            unknown |= guessed & np.isin(self.residue_name, standard)
        return np.where(unknown, is_hydrogen(self.name), np.isin(self.element, ("H", "D")))

    def take(self, index: IndexArray) -> FileAtoms:
        """Return the atoms at ``index``. Residues keep their index."""
        return FileAtoms(*(getattr(self, column)[index] for column in self.__dataclass_fields__))

    def label(self, row: int) -> str:
        """Return how a message names the residue of an atom: ``SEP 30 of chain A``."""
        chain = f" of chain {self.chain[row]}" if self.chain[row] else ""
        return f"{self.residue_name[row]} {self.number[row]}{chain}"


@dataclass(frozen=True)
class Frames:
    """The frames of one source, over the atoms of the source.

    Attributes:
        source: what messages call the source: the path of a file, or of several.
        atoms: the N atoms.
        positions: [F, N, 3] in angstrom; an array, or frames that stay on disk until they are asked for.
        weights: [F], statistical weights; None where all frames count alike.
        notes: what was left out or changed, one sentence each.
        native: [N, 3], the structure in the topology file of a trajectory, in angstrom; None for a structure file, and
            for a topology without positions.
        topology: what messages call the topology of a trajectory.
        random_weights: True for the output of an untrained network.
        box: [F, 3, 3], the vectors of the unit cells as rows, in angstrom, for positions that are an array; zeros where
            there is none.
    """

    source: str
    atoms: FileAtoms
    positions: Positions | TrajectoryFrames
    weights: FloatArray | None = None
    notes: tuple[str, ...] = ()
    native: Positions | None = None
    topology: str = ""
    random_weights: bool = False
    box: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, index: IndexArray) -> Frames:
        """Return the frames of the atoms at ``index`` only. Nothing is read from disk."""
        stored = self.positions
        positions = stored[:, index] if isinstance(stored, np.ndarray) else stored.take(index)
        native = None if self.native is None else self.native[index]
        return replace(self, atoms=self.atoms.take(index), positions=positions, native=native)

    def noted(self, *notes: str) -> Frames:
        """Return the same frames with more notes. Empty notes are dropped."""
        return replace(self, notes=self.notes + tuple(note for note in notes if note))

    def whole(self, bonds: Bonds) -> Frames:
        """Return the same frames; molecules that a periodic boundary cuts are put together."""
        stored = self.positions
        if not isinstance(stored, np.ndarray):
            return replace(self, positions=stored.whole(bonds))
        return self if self.box is None else replace(self, positions=make_whole(stored, self.box, bonds))

    def first(self) -> Positions:
        """Return one structure [N, 3] of these atoms: that of the topology, or the first frame."""
        return self.native if self.native is not None else np.asarray(self.positions[:1])[0]


class Rows(NamedTuple):
    """The atom records of one model as a parser finds them, all of length N; see ``FileAtoms``.

    ``altloc`` [N] are the indicators of alternate locations; the empty string means none.
    """

    name: _Text
    residue_name: _Text
    chain: _Text
    number: _Text
    altloc: _Text
    element: _Text
    hetero: npt.NDArray[np.bool_]
    segment: IndexArray

    def take(self, index: IndexArray | slice) -> Rows:
        """Return the records at ``index``."""
        return Rows(*(column[index] for column in self))  # type: ignore[arg-type]


def assemble(rows: Rows) -> tuple[FileAtoms, IndexArray]:
    """Return the atoms of one model, grouped into residues, and the rows that they come from.

    Chain, residue number and residue name tell one residue from the next. A residue may come in pieces (heavy atoms
    first, hydrogens at the end of the file). Where numbers do not change, a residue begins where the name of the first
    atom comes again. Of alternate locations, and of alternate residues in one place, the first counts.
    """
    size = len(rows.name)
    change = np.ones(size, bool)
    change[1:] = False
    for column in (rows.chain, rows.number, rows.residue_name):
        change[1:] |= column[1:] != column[:-1]
    starts = np.flatnonzero(change)
    residue, kept = np.zeros(size, np.int64), np.ones(size, bool)
    known: dict[tuple[str, str, str], tuple[int, set[str]]] = {}
    alternate: dict[tuple[str, str], str] = {}
    here, first_here, count = ("", ""), "", 0
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), size], strict=True):
        place = str(rows.chain[start]), str(rows.number[start])
        key = (*place, str(rows.residue_name[start]))
        if place != here:
            here, first_here = place, key[2]
        located = rows.altloc[start:stop] != ""
        if located.any() and alternate.setdefault(place, first_here) != key[2] and located.all():
            kept[start:stop] = False
            continue
        names = rows.name[start:stop].tolist()
        first_again = [k for k in range(1, len(names)) if names[k] == names[0] and rows.altloc[start + k] == ""]
        for begin, end in zip([0, *first_again], [*first_again, len(names)], strict=True):
            own = set(names[begin:end])
            index, others = known.get(key, (count, set()))
            if index < count and own & others:
                index, others = count, set()
            count += index == count
            known[key] = index, others | own
            residue[start + begin : start + end] = index
    if (rows.altloc != "").any():
        first: dict[int, str] = {}
        for row in np.flatnonzero((rows.altloc != "") & kept).tolist():
            kept[row] = rows.altloc[row] == first.setdefault(int(residue[row]), str(rows.altloc[row]))
    chosen = np.flatnonzero(kept)
    columns = (rows.chain, rows.number, rows.element, rows.hetero, rows.segment)
    return FileAtoms(rows.name, rows.residue_name, residue, *columns).take(chosen), chosen
