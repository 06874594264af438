"""NumPy archives: ensembles as ebabench writes them, and ConfRover's atom37 coordinates."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ebabench.errors import InputError
from ebabench.io.layouts.listing import Listing, stem
from ebabench.io.layouts.source import LeftOut, Part, Source
from ebabench.system.files import open_regular

ATOM37 = "ConfRover atom37"
OWN = "npz of ebabench"
_OWN_KEYS = {"positions", "name", "residue_name", "residue"}


class Header(NamedTuple):
    """The shape and type of an array in an archive."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def recognise(listing: Listing) -> list[Source]:
    """Return one source per archive that holds conformations."""
    found = []
    for path in listing.of_kind("array"):
        arrays = headers(path)
        # A file that is cut or damaged is read as an ensemble, so that its reader refuses it by name.
        layout = OWN if arrays is None or arrays.keys() >= _OWN_KEYS else ATOM37 if atom37(arrays) else None
        if layout is not None:
            found.append(Source(layout, (stem(path), *listing.folders(path)), (Part(path),), plain=True))
    return found


def others(listing: Listing) -> list[LeftOut]:
    """Return the archives that hold no conformations, and what they hold."""
    left = []
    for path in listing.of_kind("array"):
        arrays = headers(path) or {}
        held = ", ".join(list(arrays)[:4]) + ", ..." * (len(arrays) > 4) if arrays else "no arrays"
        left.append(
            LeftOut(path, f"holds {held}: neither positions with atom names nor atom37 coordinates with aatype")
        )
    return left


def headers(path: Path) -> dict[str, Header] | None:
    """Return what an archive holds by name, without reading the arrays; None for a file that is damaged or none."""
    found = {}
    try:
        with open_regular(path) as stored, zipfile.ZipFile(stored) as archive:
            for member in archive.namelist():
                with archive.open(member) as file:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(file)
                    found[member.removesuffix(".npy")] = Header(shape, dtype)
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
    return found


def atom37(arrays: dict[str, Header]) -> str:
    """Return the name of the atom37 coordinates, an array [..., L, 37, 3] beside ``aatype``; else the empty string.

    Raises:
        InputError: More than one array may be meant.
    """
    if "aatype" not in arrays:
        return ""
    names = [name for name, (shape, _) in arrays.items() if len(shape) >= 3 and shape[-2:] == (37, 3)]
    if len(names) > 1:
        raise InputError(
            f"which of {' and '.join(names)} are the conformations? Keep one array of shape [conformations, residues, "
            "37, 3]",
            code="ensembles.ambiguous",
        )
    return names[0] if names else ""
