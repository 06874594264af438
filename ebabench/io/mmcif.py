"""The atom records of mmCIF and BinaryCIF files, in file order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.frames import Rows, assemble
from ebabench.io.models import Models
from ebabench.structures.arrays import FloatArray
from ebabench.structures.periodic import box_vectors

_Text = npt.NDArray[np.str_]
_COORDINATES = ("Cartn_x", "Cartn_y", "Cartn_z")
_BLOCK = re.compile(r"^data_\S*", re.MULTILINE | re.IGNORECASE)
_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_COLUMNS = (
    *_COORDINATES, "group_PDB", "type_symbol", "label_atom_id", "auth_atom_id", "label_alt_id", "label_comp_id",
    "auth_comp_id", "label_asym_id", "auth_asym_id", "label_seq_id", "auth_seq_id", "pdbx_PDB_ins_code",
    "pdbx_PDB_model_num",
)  # fmt: skip


def parse_mmcif(data: bytes, source: str) -> list[Models]:
    """Return the models of an mmCIF file, consecutive ones of the same atom records together.

    Every data block with atoms counts; a block that repeats model numbers of an earlier one adds further models.

    Args:
        data: the file, unpacked.
        source: what messages call the file.

    Raises:
        InputError: ``structure.no-atoms``; ``structure.not-a-number``; ``structure.broken``, no CIF at all.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # an author's name, say: what is read is ASCII
    blocks = []
    for block in _document(text, source):
        found = {name: block.find_values(f"_atom_site.{name}") for name in _COLUMNS}
        columns = {name: np.array([_plain(text) for text in column]) for name, column in found.items() if len(column)}
        if columns:
            blocks.append((columns, _box([_plain(block.find_value(f"_cell.{name}") or "?") for name in _CELL])))
    return _models(blocks, source)


def parse_binary_cif(data: bytes, source: str) -> list[Models]:
    """Return the models of a BinaryCIF file; see ``parse_mmcif``.

    Raises:
        InputError: what ``parse_mmcif`` raises; ``structure.package-missing``, biotite is not installed.
    """
    try:
        from biotite.structure.io.pdbx import BinaryCIFFile
    except ImportError as error:
        raise InputError(
            f"{source}: BinaryCIF is read with the package biotite: pip install 'ebabench[formats]'; or convert the "
            "file to mmCIF",
            code="structure.package-missing",
            file=source,
        ) from error
    import io

    try:
        blocks = [block for block in BinaryCIFFile.read(io.BytesIO(data)).values() if "atom_site" in block]
        sites = [(block["atom_site"], block.get("cell", {})) for block in blocks]
        tables = [{name: _decoded(site[name]) for name in _COLUMNS if name in site} for site, _ in sites]
        boxes = [_box([str(_decoded(cell[name])[0]) for name in _CELL if name in cell]) for _, cell in sites]
    except Exception as error:
        raise InputError(
            f"{source}: broken, truncated, or not BinaryCIF ({error or type(error).__name__})",
            code="structure.broken",
            file=source,
        ) from error
    return _models(zip(tables, boxes, strict=True), source)


def _document(text: str, source: str) -> Any:
    """The data blocks of a CIF file; files that were put together may have blocks of one name."""
    from gemmi import cif

    try:
        try:
            return cif.read_string(text)
        except RuntimeError as error:
            if "duplicate block name" not in str(error):
                raise
            numbers = itertools.count()
            return cif.read_string(_BLOCK.sub(lambda _: f"data_{next(numbers)}", text))
    except (RuntimeError, ValueError) as error:
        raise _broken(source, error) from error


def _plain(text: str) -> str:
    import gemmi

    return "" if gemmi.cif.is_null(text) else gemmi.cif.as_string(text)


def _decoded(column: Any) -> _Text:
    values = np.asarray(column.as_array()).astype(np.str_)
    if column.mask is not None:
        values = np.where(np.asarray(column.mask.array) != 0, "", values)
    return values


def _box(cell: Sequence[str]) -> FloatArray:
    """The vectors [3, 3] of a unit cell; zeros where there is none."""
    try:
        numbers = np.array([float(text) for text in cell])
    except ValueError:
        return np.zeros((3, 3))
    if len(numbers) != len(_CELL):
        return np.zeros((3, 3))
    vectors: FloatArray = box_vectors(numbers[None, :3], numbers[None, 3:])[0]
    return vectors


def _models(blocks: Iterable[tuple[Mapping[str, _Text], FloatArray]], source: str) -> list[Models]:
    parts: list[Models] = []
    count = 0
    for columns, box in blocks:
        if missing := [name for name in _COORDINATES if name not in columns]:
            raise InputError(f"{source}: _atom_site lacks {', '.join(missing)}", code="structure.broken", file=source)
        coordinates = _coordinates(columns, source)
        rows = _rows(columns, source)
        number = columns.get("pdbx_PDB_model_num", np.full(len(coordinates), "1"))
        previous: tuple[Rows, npt.NDArray[np.int64]] | None = None
        for index in _split(rows, number):
            count += 1
            own, here = rows.take(index), coordinates[index]
            if previous and all(np.array_equal(a, b) for a, b in zip(own, previous[0], strict=True)):
                positions = here[previous[1]].astype(np.float32)
                parts.append(parts[-1]._replace(label=f"model {count}", positions=positions[None], box=box[None]))
                continue
            atoms, kept = assemble(own)
            previous = own, kept
            positions = here[kept].astype(np.float32)
            parts.append(Models(f"model {count}", atoms, positions[None], box[None]))
    if not parts:
        raise InputError(f"{source}: no atoms in it", code="structure.no-atoms", file=source)
    return parts


def _split(rows: Rows, number: _Text) -> list[npt.NDArray[np.int64] | slice]:
    """The rows of every model: those of one number, where the models of one chain may come before another chain's.

    Where a number comes again with atoms that its model has already, another model begins.
    """
    starts = [0, *(np.flatnonzero(number[1:] != number[:-1]) + 1).tolist()]
    runs = [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(number)], strict=True)]
    if len(runs) == len(np.unique(number)):
        return list(runs)
    columns = (rows.chain, rows.number, rows.residue_name, rows.altloc, rows.name)
    found: list[tuple[list[slice], set[tuple[str, ...]]]] = []
    latest: dict[str, int] = {}
    for run in runs:
        own = set(zip(*(column[run].tolist() for column in columns), strict=True))
        k = latest.get(str(number[run.start]))
        if k is None or own & found[k][1]:
            latest[str(number[run.start])] = len(found)
            found.append(([run], own))
        else:
            found[k][0].append(run)
            found[k][1].update(own)
    return [np.concatenate([np.arange(run.start, run.stop) for run in parts]) for parts, _ in found]


def _coordinates(columns: Mapping[str, _Text], source: str) -> FloatArray:
    import gemmi

    found = np.empty((len(columns["Cartn_x"]), 3))
    for axis, name in enumerate(_COORDINATES):
        try:
            if (np.char.find(columns[name], "_") >= 0).any():  # Python reads 1_0.5 as 10.5
                raise ValueError
            found[:, axis] = columns[name].astype(np.float64)
        except ValueError:
            # Numbers may have their standard uncertainty beside them: 1.234(5).
            found[:, axis] = [gemmi.cif.as_number(text) for text in columns[name]]
    if not np.isfinite(found).all():
        row, axis = (int(where[0]) for where in np.nonzero(~np.isfinite(found)))
        given = str(columns[_COORDINATES[axis]][row]) or "?"
        raise InputError(
            f"{source}: {_COORDINATES[axis]} of atom {row + 1} is {given!r}, no number: the file is damaged, "
            "or the atom is missing and should be left out",
            code="structure.not-a-number",
            file=source,
            atom=row + 1,
        )
    return found


def _rows(columns: Mapping[str, _Text], source: str) -> Rows:
    size = len(columns["Cartn_x"])

    def column(*names: str) -> _Text:
        """The first of the columns that the file has; later ones fill its gaps."""
        found = np.full(size, "")
        for name in names:
            if name in columns:
                found = np.where(found == "", columns[name], found)
        return found

    name, residue_name = column("auth_atom_id", "label_atom_id"), column("auth_comp_id", "label_comp_id")
    if (name == "").any() or (residue_name == "").any():
        raise InputError(
            f"{source}: _atom_site has atoms without a name or a residue name", code="structure.broken", file=source
        )
    chain = column("auth_asym_id", "label_asym_id")
    number = np.char.add(column("auth_seq_id", "label_seq_id"), column("pdbx_PDB_ins_code"))
    label = column("label_seq_id")
    polymer = label != ""
    if _distinct(chain[polymer], label[polymer]) > _distinct(chain[polymer], number[polymer]):
        number = np.where(polymer, label, number)
    return Rows(
        name=name,
        residue_name=residue_name,
        chain=chain,
        number=number,
        altloc=column("label_alt_id"),
        element=np.char.upper(column("type_symbol")),
        hetero=column("group_PDB") == "HETATM",
        segment=_changes(column("label_asym_id")),
    )


def _distinct(chain: _Text, number: _Text) -> int:
    return len(set(zip(chain.tolist(), number.tolist(), strict=True)))


def _changes(column: _Text) -> npt.NDArray[np.int64]:
    return np.cumsum(np.concatenate([[False], column[1:] != column[:-1]])).astype(np.int64)


def _broken(source: str, error: Exception) -> InputError:
    return InputError(
        f"{source}: broken, truncated or of another format ({error})", code="structure.broken", file=source
    )
