"""What an archive from elsewhere holds: zip or tar, written file by file to places that we choose, within bounds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from ebabench.errors import RunError
from ebabench.system.names import printable

_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
    ValueError,
)  # fmt: skip
_BLOCK = 1 << 20
_RATIO = 200  # how often its own size an archive may hold: text shrinks 20 times at most, bombs 1,000 times
_SMALL = 1 << 26  # bytes that any archive may hold
_MEMBERS = 1_000_000
_TAIL = (1 << 16) + 256  # bytes that hold the end of a zip, whatever its comment
_REGULAR = 8  # the kind of a file in a zip, where the packer says it


def unpack(archive: Path, place: Callable[[PurePosixPath], Path | None]) -> list[Path]:
    """Write the files of an archive to where ``place`` puts them.

    Args:
        archive: A zip, or a tar that is plain or packed by gzip, bzip2 or xz.
        place: From the path of a file in the archive to where it is written; None for one that is left.

    Returns:
        The files written, in the archive's order.

    Raises:
        RunError: It is no such archive, or is damaged, checksums included; it holds much more than an archive of its
            size holds of anything honest; two files come to lie in the same place; or a path leads out of the archive,
            which nobody packs by accident.
        OSError: A file cannot be written.
    """
    written: list[Path] = []
    left = max(_SMALL, _RATIO * archive.stat().st_size)
    members = (_zip if _magic(archive) == b"PK" else _tar)(archive)
    for number, (name, stream) in enumerate(_checked(archive, members)):
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or name[1:2] == ":" or "\0" in name:
            raise RunError(
                f"{archive.name}: holds {printable(name)!r}, a path that leads out of it; nothing of it is kept",
                code="archive.traversal",
            )
        if printable(name) != name:
            raise RunError(
                f"{archive.name}: holds {printable(name)}, a name that cannot be printed", code="archive.name"
            )
        if number >= _MEMBERS:
            raise RunError(f"{archive.name}: holds more than {_MEMBERS} files", code="archive.bomb")
        if (target := place(path)) is None:
            continue
        if target in written:
            raise RunError(f"{archive.name}: holds {printable(path.name)} more than once", code="archive.duplicate")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for block in _checked(archive, iter(partial(stream.read, _BLOCK), b"")):
                left -= len(block)
                if left < 0:
                    raise RunError(
                        f"{archive.name}: holds more than {_RATIO} times its own size: a bomb", code="archive.bomb"
                    )
                file.write(block)
        written.append(target)
    return written


def _checked(archive: Path, items: Iterator[Any]) -> Iterator[Any]:
    """The items; what reading them raises of a broken archive is a RunError."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except (*_BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk; those of gzip and bz2 have no number
            reason = str(error).partition("\n")[0].rstrip(":")
            raise RunError(
                f"{archive.name}: not a zip or tar archive, damaged, or cut off ({printable(reason)})",
                code="archive.damaged",
            ) from error
        yield item


def _magic(archive: Path) -> bytes:
    with archive.open("rb") as file:  # a zip that was cut has lost its directory, but not its beginning
        return file.read(6)[:2]


def _zip(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        if len(file.infolist()) != _declared(archive):
            raise zipfile.BadZipFile("its directory lacks members")
        for member in file.infolist():
            if member.is_dir() and not member.file_size:
                continue
            if member.external_attr >> 28 not in (0, _REGULAR):
                raise zipfile.BadZipFile(f"{member.filename} is not a regular file")
            with file.open(member) as stream:
                yield member.filename, stream


def _declared(archive: Path) -> int:
    """How many members the end of a zip says that there are. The reader does not look."""
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - _TAIL))
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    wide = tail.rfind(b"PK\6\6", 0, end)  # of archives with very many members
    return int.from_bytes(tail[wide + 32 : wide + 40], "little") if count == 0xFFFF and wide >= 0 else count


def _tar(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with closing(_unpacked(archive)) as stream, tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member) as file:
        for member in file:
            if member.issparse():
                raise tarfile.ReadError(f"{member.name} is a sparse file")
            # Links, devices and folders are nothing that we want; a link is never followed.
            if member.isreg() and (content := file.extractfile(member)):
                yield member.name, content
        while stream.read(_BLOCK):  # the sums of gzip, bzip2 and xz stand at the end, and are checked there
            pass


class _Member(tarfile.TarInfo):
    """A header that must be whole. The reader takes a broken one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile)
        except _END:
            raise
        except _HEADER as error:
            raise _READ(f"broken header: {error}") from error


_END: type[Exception] = tarfile.EOFHeaderError  # type: ignore[attr-defined]
_HEADER, _READ = tarfile.HeaderError, tarfile.ReadError


def _unpacked(archive: Path) -> IO[bytes]:
    """The archive as a plain tar."""
    with archive.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(archive))
    if start.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(archive))
    if start == b"\xfd7zXZ\x00":
        return cast(IO[bytes], lzma.open(archive))
    return archive.open("rb")
