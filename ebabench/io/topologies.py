"""Topologies: files that name the atoms of a trajectory, and the search for the one that belongs to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ebabench.errors import InputError
from ebabench.io.content import read_content, suffix_of
from ebabench.io.frames import FileAtoms, Rows, assemble
from ebabench.io.structures import STRUCTURE_SUFFIXES, parse_models
from ebabench.structures.arrays import Positions

TOPOLOGY_SUFFIXES = (*STRUCTURE_SUFFIXES, ".gro", ".psf", ".prmtop", ".parm7")
_NAMES = ("topology", "top")
_CHARGE = re.compile(r"[-+]?\d*\.\d*([eE][-+]?\d+)?")


class Topology(NamedTuple):
    """The atoms of a trajectory, in the order of its columns; and one structure [N, 3] in angstrom, if there is one."""

    source: str
    atoms: FileAtoms
    positions: Positions | None


def read_topology(path: Path) -> Topology:
    """Return the atoms that a topology file names, in the order of the file.

    Args:
        path: PDB, mmCIF or BinaryCIF (the first model), GRO (the first frame), PSF, or AMBER's prmtop.

    Raises:
        InputError: the file is missing, damaged or of another format.
    """
    match suffix_of(path):
        case ".gro":
            return _read_gro(path)
        case ".psf":
            return _read_psf(path)
        case ".prmtop" | ".parm7":
            return _read_prmtop(path)
    first = parse_models(path)[0]
    return Topology(str(path), first.atoms, first.positions[0])


def find_topology(trajectory: Path) -> Path:
    """Return the topology that lies beside a trajectory.

    The first rule that finds a file decides. For ``X.xtc``: ``X.top.pdb`` (or another suffix of a topology); ``X.pdb``;
    ``topology.*`` or ``top.*``; a file whose name ``X`` goes on from (``NAME.pdb`` for ``NAME_prod_R1.xtc``), or that
    says ``top`` where ``X`` says ``traj``; the only structure file of the folder. Where the folder has none at all, as
    that of one run of several, the folder above is asked: ``X.top.pdb``, ``X.pdb``, ``topology.*`` or ``top.*``, or a
    file that has that folder's name. Of two files whose names differ in the suffix only (``X.psf`` and ``X.pdb``) and
    which name the same atoms, the one with names of chains counts, or else that with positions.

    Raises:
        InputError: ``topology.missing``; ``topology.ambiguous``, a rule finds two files.
    """
    stem = trajectory.name[: -len(trajectory.suffix)].lower()
    beside = {path: _stem(path) for path in sorted(trajectory.parent.iterdir()) if _is_topology(path)}
    longest = max((len(own) for own in beside.values() if _goes_on(stem, own)), default=0)
    rules = (
        [path for path, own in beside.items() if own == f"{stem}.top"],
        [path for path, own in beside.items() if own == stem],
        [path for path, own in beside.items() if own in _NAMES],
        [path for path, own in beside.items() if "traj" in stem and own == stem.replace("traj", "top")],
        [path for path, own in beside.items() if _goes_on(stem, own) and len(own) == longest],
        list(beside),
        *([] if beside else _above(trajectory, stem)),
    )
    for found in rules:
        if len(found) == 1:
            return found[0]
        if found and (best := _best_of_one_name(found)):
            return best
        if found:
            names = " or ".join(path.name for path in found[:3]) + (", ..." if len(found) > 3 else "")
            raise InputError(
                f"{trajectory}: its topology may be {names}; name the right one {trajectory.stem}.top.pdb (or .cif, "
                ".gro, ...)",
                code="topology.ambiguous",
                file=str(trajectory),
            )
    raise InputError(
        f"{trajectory}: needs its topology beside it, as {trajectory.stem}.top.pdb or {trajectory.stem}.pdb "
        "(or .cif, .gro, .psf, .prmtop)",
        code="topology.missing",
        file=str(trajectory),
    )


def _best_of_one_name(found: list[Path]) -> Path | None:
    """Return one of the topologies in several formats of one name; None if they are not of the same atoms."""
    if len({_stem(path) for path in found}) > 1:
        return None
    try:
        tables = {path: read_topology(path).atoms for path in found}
    except InputError:
        return None
    first, *others = tables.values()
    if not all(np.array_equal(one.name, first.name) and np.array_equal(one.residue, first.residue) for one in others):
        return None
    return min(found, key=lambda path: ((tables[path].chain == "").all(), TOPOLOGY_SUFFIXES.index(suffix_of(path))))


def _above(trajectory: Path, stem: str) -> list[list[Path]]:
    """Return what rules find in the folder above that of a trajectory."""
    beside = trajectory.parent
    folder, name = beside.parent if beside.name else beside / "..", trajectory.absolute().parent.parent.name.lower()
    there = {path: _stem(path) for path in sorted(folder.iterdir()) if _is_topology(path)}
    names = ((f"{stem}.top", stem), _NAMES, (f"{name}.top", name))
    return [[path for path, own in there.items() if own in wanted] for wanted in names]


def _is_topology(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and suffix_of(path) in TOPOLOGY_SUFFIXES


def _stem(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return name[: -len(suffix_of(path))]


def _goes_on(stem: str, own: str) -> bool:
    return stem.startswith(own) and len(stem) > len(own) and not stem[len(own)].isalnum()


def _read_gro(path: Path) -> Topology:
    """A GRO file: residue number, residue name, atom name, atom number, and positions in nm of as many decimals."""
    lines = read_content(path).decode("utf-8", "replace").splitlines()
    try:
        size = int(lines[1])
        records = lines[2 : 2 + size]
        if len(records) < size or size < 1:
            raise ValueError(f"{size} atoms, {len(records)} lines")
        first = records[0].index(".", 20)
        width = records[0].index(".", first + 1) - first
        fields = [[line[20 + k * width : 20 + (k + 1) * width] for k in range(3)] for line in records]
        positions = np.array(fields, np.str_).astype(np.float64) * 10
    except (ValueError, IndexError) as error:
        raise _broken(path, "GRO", error) from error
    columns = [np.char.strip(np.array([line[a:b] for line in records])) for a, b in ((0, 5), (5, 10), (10, 15))]
    return _assembled(path, columns[2], columns[1], columns[0], np.full(size, ""), positions.astype(np.float32))


def _read_psf(path: Path) -> Topology:
    """The !NATOM section of a PSF file."""
    text = read_content(path).decode("utf-8", "replace")
    match = re.search(r"^\s*(\d+)\s+!NATOM.*\n", text, re.MULTILINE)
    try:
        if match is None:
            raise ValueError("no section !NATOM")
        records = [_psf_fields(line) for line in text[match.end() :].splitlines()[: int(match[1])]]
        if len(records) < int(match[1]) or not records:
            raise ValueError(f"{match[1]} atoms, {len(records)} lines")
        chain, number, residue_name, name = (np.array([record[k] for record in records]) for k in range(1, 5))
    except (ValueError, IndexError) as error:
        raise _broken(path, "PSF", error) from error
    return _assembled(path, name, residue_name, number, chain, None)


def _psf_fields(line: str) -> list[str]:
    """Serial number, segment (which may be blank), residue number, residue name, atom name, type, charge, and more."""
    fields = line.split()
    charge = next((k for k, field in enumerate(fields) if _CHARGE.fullmatch(field)), None)
    return [fields[0], "", *fields[1:]] if charge == 5 else fields


def _read_prmtop(path: Path) -> Topology:
    """The sections ATOM_NAME, RESIDUE_LABEL and RESIDUE_POINTER of an AMBER topology."""
    text = read_content(path).decode("utf-8", "replace")

    def section(flag: str) -> list[str]:
        match = re.search(
            rf"^%FLAG {flag}\s*\n(?:%COMMENT.*\n)*%FORMAT\((\d+)[aI](\d+)\)\s*\n([^%]*)", text, re.MULTILINE
        )
        if match is None:
            raise ValueError(f"no section {flag}")
        width = int(match[2])
        return [
            line[k : k + width].strip() for line in match[3].splitlines() for k in range(0, len(line.rstrip()), width)
        ]

    try:
        names, labels = section("ATOM_NAME"), section("RESIDUE_LABEL")
        first = np.array(section("RESIDUE_POINTER"), np.int64) - 1
        residue = np.searchsorted(first, np.arange(len(names)), side="right") - 1
        residue_name = np.array(labels)[residue]
    except (ValueError, IndexError) as error:
        raise _broken(path, "AMBER topology (prmtop)", error) from error
    return _assembled(path, np.array(names), residue_name, (residue + 1).astype(np.str_), np.full(len(names), ""), None)


def _assembled(
    path: Path,
    name: np.ndarray,
    residue_name: np.ndarray,
    number: np.ndarray,
    chain: np.ndarray,
    positions: Positions | None,
) -> Topology:
    size = len(name)
    blank, zero = np.full(size, ""), np.zeros(size, np.int64)
    rows = Rows(name, residue_name, chain, number, blank, blank, zero > 0, zero)
    return Topology(str(path), assemble(rows)[0], positions)


def _broken(path: Path, what: str, error: Exception) -> InputError:
    return InputError(f"{path}: broken, truncated, or not {what} ({error})", code="structure.broken", file=str(path))
