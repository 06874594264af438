"""The atom records of PDB files, in file order. A coordinate that is not a number is refused with its line."""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.frames import Rows, assemble
from ebabench.io.models import Models
from ebabench.io.multimodel_pdb import same_but_for_coordinates
from ebabench.structures.arrays import FloatArray, IndexArray
from ebabench.structures.nomenclature import canonical_residue, parent_residue
from ebabench.structures.periodic import box_vectors

_RECORD = re.compile(
    rb"^(?:(ATOM [ \d]|HETATM)|(MODEL(?=[\s\d]|$)|ENDMDL|END(?=\s|$))|(TER(?=\s|$))|(CRYST1))", re.MULTILINE
)
# An atom record that does not begin its line is none to a program that reads columns: the atom would be lost.
_MISPLACED = re.compile(rb"^[\x00-\x09\x0b-\x20\x7f-\xff]+(?:ATOM  |HETATM).*", re.MULTILINE)
_X, _END, _AFTER, _WIDTH = 30, 54, 72, 80
_CELL = (6, 15, 24, 33, 40, 47, 54)  # a, b, c, alpha, beta, gamma of CRYST1
_STANDARD = re.compile(rb" *-?\d*\.\d{3}")  # F8.3, as the format demands
_NUMBER = re.compile(rb" *[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)? *")
_Table = npt.NDArray[np.uint8]


def parse_pdb(data: bytes, source: str) -> list[Models]:
    """Return the models of a PDB file, consecutive ones of the same atom records together.

    MODEL, ENDMDL and END records separate models. Neither numbers of models nor serial numbers of atoms are read.

    Args:
        data: the file, unpacked.
        source: what messages call the file.

    Raises:
        InputError: ``structure.no-atoms``; ``structure.cut``, a model that a MODEL record begins has no end;
            ``structure.not-a-number`` and ``structure.misplaced``, an indented atom record, which name the line.
    """
    data = _plain_text(data)
    plain = same_but_for_coordinates(data)
    if plain:
        data = plain[0]
    if misplaced := _MISPLACED.search(data):
        line = data.count(b"\n", 0, misplaced.start()) + 1
        raise InputError(
            f"{source}, line {line}: an atom record that does not begin in the first column: its atom would be left "
            "out; the columns of a PDB file are fixed: remove what stands before the record",
            code="structure.misplaced",
            file=source,
            line=line,
        )
    parts: list[tuple[str, Rows, list[FloatArray], list[FloatArray]]] = []
    identity: _Table | None = None
    for number, (starts, segment, cell) in enumerate(_models(data, source), 1):
        table = _lines(data, starts)
        coordinates = _coordinates(table, starts, data, source)
        own = np.delete(table, np.s_[_X:_AFTER], axis=1)
        own[:, 6:11] = 0  # serial numbers
        if identity is None or not np.array_equal(own, identity):
            identity = own
            parts.append((f"model {number}", _rows(table, segment), [], []))
        parts[-1][2].append(coordinates)
        parts[-1][3].append(_box(cell))
    if not parts:
        raise InputError(f"{source}: no atoms in it", code="structure.no-atoms", file=source)
    models = []
    for label, rows, frames, boxes in parts:
        atoms, kept = assemble(rows)
        positions = plain[1] if plain else np.array(frames)
        box = np.repeat(boxes, len(positions), axis=0) if plain else np.array(boxes)
        models.append(Models(label, atoms, positions[:, kept].astype(np.float32), box))
    return models


def _plain_text(data: bytes) -> bytes:
    """The file in ASCII with line feeds, whatever a shell (UTF-16) or an old editor (carriage returns) made of it."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    data = data.removeprefix(BOM_UTF8)
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def _models(data: bytes, source: str) -> Iterator[tuple[IndexArray, IndexArray, bytes]]:
    """Of every model: where its atom records begin, in bytes; how many TER records come before each; its CRYST1."""
    starts: list[int] = []
    segments: list[int] = []
    segment, cell = 0, b""
    begun, match = False, None
    for match in _RECORD.finditer(data):
        if match[1]:
            starts.append(match.start())
            segments.append(segment)
        elif match[3]:
            segment += 1
        elif match[4]:
            cell = data[match.start() : match.start() + _WIDTH]
        else:
            if starts:
                yield np.array(starts, np.int64), np.array(segments, np.int64), cell
            starts, segments, segment, begun = [], [], 0, match[2] == b"MODEL"
    if starts:
        yield np.array(starts, np.int64), np.array(segments, np.int64), cell
        if begun and match is not None and not match[3]:
            raise InputError(
                f"{source}: the last model ends without ENDMDL: the file was cut", code="structure.cut", file=source
            )


def _box(cell: bytes) -> FloatArray:
    """The vectors [3, 3] of a CRYST1 record; zeros if it has none, or those of a cube of 1 angstrom (no crystal)."""
    try:
        numbers = [float(cell[start:stop]) for start, stop in pairwise(_CELL)]
    except ValueError:
        return np.zeros((3, 3))
    vectors: FloatArray = box_vectors(np.array([numbers[:3]]), np.array([numbers[3:]]))[0]
    return vectors


def _lines(data: bytes, starts: IndexArray) -> _Table:
    """The records as a table of characters [N, 80], filled up with spaces."""
    lines = [data[start : start + _WIDTH].split(b"\n", 1)[0].rstrip(b"\r") for start in starts.tolist()]
    return np.frombuffer(b"".join(line.ljust(_WIDTH) for line in lines), np.uint8).reshape(-1, _WIDTH)


def _coordinates(table: _Table, starts: IndexArray, data: bytes, source: str) -> FloatArray:
    """The positions [N, 3] of the records."""
    fields = [field.tobytes() for field in np.ascontiguousarray(table[:, _X:_END]).reshape(-1, 8)]
    standard = [_STANDARD.fullmatch(field) is not None for field in fields]
    if not all(standard):
        # Another program's layout of numbers is read if it is used throughout.
        if any(standard):
            wrong = standard.index(False)
        else:
            wrong = next((k for k, field in enumerate(fields) if not _NUMBER.fullmatch(field)), -1)
        if wrong >= 0:
            start = int(starts[wrong // 3])
            line = data.count(b"\n", 0, start) + 1
            shown = bytes(table[wrong // 3, _X:_END]).decode("ascii", "replace")
            raise InputError(
                f"{source}, line {line}: the coordinates {shown!r} (columns 31 to 54) are not three numbers of the "
                "form -123.456: the file is damaged or of another format",
                code="structure.not-a-number",
                file=source,
                line=line,
            )
    return np.array(fields, "S8").astype(np.float64).reshape(-1, 3)


def _rows(table: _Table, segment: IndexArray) -> Rows:
    def column(first: int, last: int) -> npt.NDArray[np.str_]:
        """Columns of the format, counted from 1."""
        text = np.ascontiguousarray(table[:, first - 1 : last])
        text = np.where(text < 128, text, ord("?")).astype(np.uint8)
        return np.char.strip(text.view(f"S{last - first + 1}").reshape(-1).astype(np.str_))

    residue_name, chain, fourth, long = column(18, 20), column(22, 22), column(21, 21), column(18, 21)
    for letter in np.unique(fourth[fourth != ""]).tolist():
        # Column 21 is the fourth letter of a residue's name (NMET), or the first of a chain's, which one residue of a
        # longer chain is none of.
        rows = fourth == letter
        lone = (fourth == "").any() and len(np.unique(np.char.add(long, column(22, 27))[rows])) == 1
        if lone or all(_is_name(name) for name in np.unique(long[rows]).tolist()):
            residue_name = np.where(rows, long, residue_name)
        else:
            chain = np.where(rows, np.char.add(fourth, chain), chain)
    chain = np.where(chain == "", column(73, 76), chain)
    return Rows(
        name=column(13, 16),
        residue_name=residue_name,
        chain=chain,
        number=column(23, 27),
        altloc=column(17, 17),
        element=_elements(column(77, 78)),
        hetero=table[:, 0] == ord("H"),
        segment=segment,
    )


def _is_name(name: str) -> bool:
    """Whether four letters are the name of a residue, and not that of an amino acid and a letter more."""
    return canonical_residue(name) != name or parent_residue(name) is not None or parent_residue(name[:3]) is None


def _elements(text: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    import gemmi

    known = {name: name.upper() if gemmi.Element(name).atomic_number else "" for name in np.unique(text).tolist()}
    return np.array([known[name] for name in text.tolist()], np.str_)
