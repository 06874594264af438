"""Zip archives of structures, as AlphaFold Server and ColabFold give them: unpacked into the cache."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path, PurePosixPath

from ebabench.errors import InputError, RunError
from ebabench.io.layouts.listing import Listing, kind
from ebabench.system.archives import unpack
from ebabench.system.cache import cache_dir
from ebabench.system.files import exclusive, open_regular

_WANTED = ("structure", "trajectory", "topology", "array")


def unpacked(listing: Listing) -> list[Listing]:
    """Return the files within the archives of a listing, one listing per archive that holds structures.

    Raises:
        InputError: An archive is damaged (``archive.broken``).
    """
    return [
        Listing.of(_unpack(path), tuple(reversed(listing.folders(path))))
        for path in listing.of_kind("archive")
        if _holds_structures(path)
    ]


def _holds_structures(path: Path) -> bool:
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return any(kind(Path(name)) == "structure" for name in archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not a zip archive, or damaged ({error})", code="archive.broken", file=path
        ) from error


def _unpack(path: Path) -> Path:
    """Return the folder of an archive's files in the cache."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    place = cache_dir() / "archives" / digest
    folder, done = place / path.stem.removesuffix(".result"), place / f"{path.stem}.done"
    place.mkdir(parents=True, exist_ok=True)
    with exclusive(place):
        if not done.exists():

            def inside(member: PurePosixPath) -> Path | None:
                return folder.joinpath(*member.parts) if kind(Path(member.name)) in _WANTED else None

            try:
                unpack(path, inside)
            except RunError as error:
                raise InputError(f"{path}: {error}", code="archive.broken", file=path) from error
            done.touch()
    return folder
