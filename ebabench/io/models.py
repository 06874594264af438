"""One table of atoms for many models: what all have in common, in the order of the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ebabench.errors import InputError
from ebabench.io.frames import FileAtoms, Frames
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.nomenclature import parent_residue

_Key = tuple[int, str, str, str, int]


class Models(NamedTuple):
    """Models of the same atoms: positions [F, N, 3] in angstrom, and what a message calls the first of them.

    ``box`` [F, 3, 3] are the vectors of the unit cells as rows; zeros where there is none.
    """

    label: str
    atoms: FileAtoms
    positions: Positions
    box: FloatArray


def join_models(parts: Sequence[Models], source: str) -> Frames:
    """Return all models as frames over the atoms that they have in common, in the order of the first model.

    Hydrogens, waters, ions and ligands may differ from model to model; those that not all models have are left out.
    The order of atoms within a residue may differ, too.

    Raises:
        InputError: ``structure.models-differ``, a model lacks a heavy atom of the protein that the first has, or has
            one that the first lacks.
    """
    first, box = parts[0], np.concatenate([part.box for part in parts])
    if all(_same(part.atoms, first.atoms) for part in parts):
        return Frames(source, first.atoms, np.concatenate([part.positions for part in parts]), box=box)
    rows = _rows(first.atoms)
    found, common = [rows], set(rows)
    for part in parts[1:]:
        if _same(part.atoms, first.atoms):
            found.append(rows)
            continue
        found.append(_rows(part.atoms))
        _check(first, found[0], part, found[-1], source)
        common &= found[-1].keys()
    keys = [key for key in rows if key in common]
    index = np.array([rows[key] for key in keys], np.int64)
    columns = (np.array([own[key] for key in keys], np.int64) for own in found)
    positions = [part.positions[:, column] for part, column in zip(parts, columns, strict=True)]
    left_out = len(rows) - len(keys)
    note = f"{left_out} atoms that not all models have are left out (hydrogens, waters, ions or ligands)"
    frames = Frames(source, first.atoms.take(index), np.concatenate(positions), box=box)
    return frames.noted(note if left_out else "")


def _same(one: FileAtoms, other: FileAtoms) -> bool:
    return one is other or all(
        np.array_equal(getattr(one, column), getattr(other, column)) for column in ("name", "residue_name", "residue")
    )


def _rows(atoms: FileAtoms) -> dict[_Key, int]:
    """The row of every atom by what it is called: residues of the protein by their order, others by their number."""
    is_protein = {str(name): parent_residue(str(name)) is not None for name in np.unique(atoms.residue_name)}
    order: dict[int, int] = {}
    seen: Counter[_Key] = Counter()
    rows: dict[_Key, int] = {}
    columns = (atoms.residue.tolist(), atoms.residue_name.tolist(), atoms.name.tolist())
    for row, (residue, residue_name, name) in enumerate(zip(*columns, strict=True)):
        if is_protein[residue_name]:
            key = (order.setdefault(residue, len(order)), "", residue_name, name, 0)
        else:
            key = (-1, f"{atoms.chain[row]}/{atoms.number[row]}", residue_name, name, 0)
        seen[key] += 1
        rows[*key[:4], seen[key]] = row
    return rows


def _check(first: Models, rows: dict[_Key, int], part: Models, own: dict[_Key, int], source: str) -> None:
    for one, other, keys in ((first, part, rows.keys() - own.keys()), (part, first, own.keys() - rows.keys())):
        table = rows if one is first else own
        index: IndexArray = np.array(sorted(table[key] for key in keys if key[0] >= 0), np.int64)
        index = index[~one.atoms.hydrogen[index]]
        if len(index):
            row = int(index[0])
            raise InputError(
                f"{source}: {part.label} has other atoms than {first.label}: {other.label} lacks {len(index)} heavy "
                f"atoms of {one.label}, first {one.atoms.name[row]} of {one.atoms.label(row)}",
                code="structure.models-differ",
                file=source,
                model=part.label,
            )
