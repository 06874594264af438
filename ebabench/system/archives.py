"""What an archive from elsewhere holds: zip or tar, written file by file to places that we choose."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from ebabench.errors import RunError

_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError)
_BLOCK = 1 << 20


def unpack(archive: Path, place: Callable[[PurePosixPath], Path | None]) -> list[Path]:
    """Write the files of an archive to where ``place`` puts them by their path in it; those with None are left.

    Returns:
        The files written, in the archive's order.

    Raises:
        RunError: it is no zip or tar (plain, gz, bz2, xz) or damaged, checksums included; two files come to lie in the
            same place; or a path leads out of the archive, which nobody packs by accident.
    """
    written: list[Path] = []
    try:
        for name, stream in (_zip if _magic(archive) == b"PK" else _tar)(archive):
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
                raise RunError(f"{archive.name}: holds {name!r}, a path that leads out of it; nothing of it is kept")
            if (target := place(path)) is None:
                continue
            if target in written:
                raise RunError(f"{archive.name}: holds {path.name} more than once")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(stream, file, _BLOCK)
            written.append(target)
    except _BROKEN as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise RunError(f"{archive.name}: not a zip or tar archive, damaged, or cut off ({reason})") from error
    return written


def _magic(archive: Path) -> bytes:
    with archive.open("rb") as file:  # a zip that was cut has lost its directory, but not its beginning
        return file.read(2)


def _zip(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if not member.is_dir():
                with file.open(member) as stream:
                    yield member.filename, stream


def _tar(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as file:
        for member in file:
            # Links, devices and folders are nothing that we want; a link is never followed.
            if member.isreg() and (stream := file.extractfile(member)):
                yield member.name, stream
