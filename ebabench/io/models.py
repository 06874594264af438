"""One table of atoms for many models: what all have in common, in the order of the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.frames import FileAtoms, Frames
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.nomenclature import canonical_residue, parent_residue

NOT_IN_ALL = "that not all models have are left out (hydrogens, OXT, waters, ions or ligands)"
"""How the note on atoms ends that models do not have in common."""
_Key = tuple[int, str, str, str, int]  # residue (-1 outside the protein), where it is, its name, the atom, which one


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

    Hydrogens, OXT at the end of a chain, waters, ions and ligands may differ from model to model; those that not all
    models have are left out. So may the names of residues for protonation states; a residue whose name differs is
    called by the PDB name. The order of atoms within a residue may differ, too, and that of chains, if all models have
    the same chains by name.

    Raises:
        InputError: ``structure.models-differ``, a model lacks a heavy atom of the protein that the first has, or has
            one that the first lacks.
    """
    first, box = parts[0], np.concatenate([part.box for part in parts])
    by_name = _have_same_chains(parts)
    if all(_same(part.atoms, first.atoms, by_name) for part in parts):
        return Frames(source, first.atoms, np.concatenate([part.positions for part in parts]), box=box)
    rows = _rows(first.atoms, by_name)
    found, common = [rows], set(rows)
    for part in parts[1:]:
        if _same(part.atoms, first.atoms, by_name):
            found.append(rows)
            continue
        found.append(_rows(part.atoms, by_name))
        _check(first, found[0], part, found[-1], source)
        common &= found[-1].keys()
    keys = [key for key in rows if key in common]
    index = np.array([rows[key] for key in keys], np.int64)
    columns = (np.array([own[key] for key in keys], np.int64) for own in found)
    positions, atoms = [], first.atoms.take(index)
    for part, column in zip(parts, columns, strict=True):
        positions.append(part.positions[:, column])
        if (differ := part.atoms.residue_name[column] != atoms.residue_name).any():
            atoms = replace(atoms, residue_name=np.where(differ, _proper_names(atoms), atoms.residue_name))
    left_out = len(rows) - len(keys)
    frames = Frames(source, atoms, np.concatenate(positions), box=box)
    return frames.noted(f"{left_out} atoms {NOT_IN_ALL}" if left_out else "")


def _have_same_chains(parts: Sequence[Models]) -> bool:
    """Whether chains of one name have the same residues in all models: the names then say which chain is which."""
    tables = {id(part.atoms): part.atoms for part in parts}.values()
    return len({_chains(atoms) for atoms in tables}) == 1


def _chains(atoms: FileAtoms) -> tuple[tuple[str, str], ...]:
    """The chain and the name of every residue of the protein, by chains."""
    rows = np.flatnonzero(_of_protein(atoms))
    first = rows[np.unique(atoms.residue[rows], return_index=True)[1]]
    order = first[np.argsort(atoms.chain[first], kind="stable")]
    names = _proper_names(atoms)[order]
    return tuple(zip(atoms.chain[order].tolist(), names.tolist(), strict=True))


def _proper_names(atoms: FileAtoms) -> npt.NDArray[np.str_]:
    """[N], the PDB names of the residues: protonation states are one residue."""
    names, inverse = np.unique(atoms.residue_name, return_inverse=True)
    return np.array([canonical_residue(name) for name in names.tolist()], np.str_)[inverse]


def _same(one: FileAtoms, other: FileAtoms, by_name: bool) -> bool:
    columns = ("name", "residue_name", "residue", *(("chain",) if by_name else ()))
    return one is other or all(np.array_equal(getattr(one, column), getattr(other, column)) for column in columns)


def _of_protein(atoms: FileAtoms) -> npt.NDArray[np.bool_]:
    """[N], True for atoms of amino acids, by the name of the residue."""
    known = [name for name in np.unique(atoms.residue_name).tolist() if parent_residue(name) is not None]
    return np.isin(atoms.residue_name, known)


def _rows(atoms: FileAtoms, by_name: bool) -> dict[_Key, int]:
    """The row of every atom by what it is called: residues of the protein by their order, others by their number.

    With ``by_name``, the order of residues is that within a chain.
    """
    order: dict[str, dict[int, int]] = {}
    seen: Counter[_Key] = Counter()
    rows: dict[_Key, int] = {}
    columns = (_of_protein(atoms), atoms.chain, atoms.residue, _proper_names(atoms), atoms.name)
    for row, (of_protein, chain, residue, residue_name, name) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        if of_protein:
            where = chain if by_name else ""
            numbers = order.setdefault(where, {})
            key = (numbers.setdefault(residue, len(numbers)), where, residue_name, name, 0)
        else:
            key = (-1, f"{chain}/{atoms.number[row]}", residue_name, name, 0)
        seen[key] += 1
        rows[*key[:4], seen[key]] = row
    return rows


def _optional(atoms: FileAtoms) -> npt.NDArray[np.bool_]:
    """[N], True for hydrogens, and for OXT where nothing else says that a chain ends: behind it, none goes on."""
    rows = np.flatnonzero(_of_protein(atoms))
    last = dict(zip(atoms.chain[rows].tolist(), atoms.residue[rows].tolist(), strict=True))
    ends = np.isin(atoms.residue, list(last.values()))
    optional: npt.NDArray[np.bool_] = atoms.hydrogen | (ends & (atoms.name == "OXT"))
    return optional


def _check(first: Models, rows: dict[_Key, int], part: Models, own: dict[_Key, int], source: str) -> None:
    for one, other, keys in ((first, part, rows.keys() - own.keys()), (part, first, own.keys() - rows.keys())):
        table = rows if one is first else own
        index: IndexArray = np.array(sorted(table[key] for key in keys if key[0] >= 0), np.int64)
        index = index[~_optional(one.atoms)[index]]
        if len(index):
            row = int(index[0])
            raise InputError(
                f"{source}: {part.label} has other atoms than {first.label}: {other.label} lacks {len(index)} heavy "
                f"atoms of {one.label}, first {one.atoms.name[row]} of {one.atoms.label(row)}",
                code="structure.models-differ",
                file=source,
                model=part.label,
            )
