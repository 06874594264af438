"""Structure files of any format: PDB, mmCIF and BinaryCIF, plain or gzipped."""

from __future__ import annotations

from pathlib import Path

from ebabench.errors import InputError
from ebabench.io.content import read_content, suffix_of
from ebabench.io.frames import Frames
from ebabench.io.mmcif import parse_binary_cif, parse_mmcif
from ebabench.io.models import Models, join_models
from ebabench.io.pdb import parse_pdb

STRUCTURE_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif", ".bcif")


def is_structure(path: Path) -> bool:
    """Return whether a file is a structure file, by its suffix in any case; it may be gzipped."""
    return suffix_of(path) in STRUCTURE_SUFFIXES


def read_structures(path: Path) -> Frames:
    """Return all models of a structure file, with every atom that all models have.

    Args:
        path: PDB (``.pdb``, ``.ent``), mmCIF (``.cif``, ``.mmcif``) or BinaryCIF (``.bcif``); each may be gzipped.

    Raises:
        InputError: the file is missing, damaged or without atoms, or its models are of different heavy atoms.
    """
    return join_models(parse_models(path), str(path))


def parse_models(path: Path) -> list[Models]:
    """Return the models of a structure file; neighbours of the same atom records may come together.

    Raises:
        InputError: the file is missing, damaged, without atoms, or of another format.
    """
    data, source = read_content(path), str(path)
    match suffix_of(path):
        case ".pdb" | ".ent":
            return parse_pdb(data, source)
        case ".cif" | ".mmcif":
            return parse_mmcif(data, source)
        case ".bcif":
            return parse_binary_cif(data, source)
    raise InputError(
        f"{path}: not a structure file that can be read ({', '.join(STRUCTURE_SUFFIXES)}, each also as .gz)",
        code="structure.format",
        file=source,
    )
