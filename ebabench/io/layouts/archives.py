"""Zip archives of conformations, as AlphaFold Server and ColabFold give them: unpacked into the cache."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path, PurePosixPath

from ebabench.errors import InputError, RunError
from ebabench.io.layouts.bioemu import REPORT
from ebabench.io.layouts.listing import Listing, kind
from ebabench.io.layouts.source import LeftOut
from ebabench.io.weights import is_table
from ebabench.system.archives import unpack
from ebabench.system.cache import cache_dir
from ebabench.system.files import exclusive, open_regular

_CONFORMATIONS = ("structure", "trajectory", "array")
_WANTED = (*_CONFORMATIONS, "topology")
_TAR = re.compile(r".+\.(tar(\.\w+)?|tgz|tbz2?|txz)", re.I)


def unpacked(listing: Listing) -> dict[Path, Listing]:
    """Return the files within the archives of a listing, by archive; those without conformations are left out.

    Raises:
        InputError: An archive is damaged (``archive.broken``).
    """
    return {
        path: Listing.of(_unpack(path), tuple(reversed(listing.folders(path))))
        for path in listing.of_kind("archive")
        if _holds_conformations(path)
    }


def others(listing: Listing) -> list[LeftOut]:
    """Return the archives that are not read."""
    why = "a tar archive, which is not read: unpack it, or pack its files as a zip"
    return [LeftOut(path, why) for path in listing.files if _TAR.fullmatch(path.name)]


def _holds_conformations(path: Path) -> bool:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return any(kind(Path(name)) in _CONFORMATIONS for name in archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not a zip archive, or damaged ({error})", code="archive.broken", file=path
        ) from error


def _is_wanted(name: str) -> bool:
    """Return whether a file holds conformations, their atoms or weights, or says which of them are rejected."""
    return kind(Path(name)) in _WANTED or is_table(Path(name)) or name == REPORT


def _unpack(path: Path) -> Path:
    """Return the folder of an archive's files in the cache."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    place = cache_dir() / "archives" / digest
    folder, done = place / path.stem.removesuffix(".result"), place / f"{path.stem}.whole"
    place.mkdir(parents=True, exist_ok=True)
    with exclusive(place):
        if not done.exists():

            def inside(member: PurePosixPath) -> Path | None:
                return folder.joinpath(*member.parts) if _is_wanted(member.name) else None

            try:
                unpack(path, inside)
            except RunError as error:
                raise InputError(f"{path}: {error}", code="archive.broken", file=path) from error
            done.touch()
    return folder
