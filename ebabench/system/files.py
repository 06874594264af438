"""Files that are either whole or absent, whatever kills the process that writes them; locks; bounded reading."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO

from filelock import FileLock

from ebabench.system.names import composed

LOCK_FILE = ".lock"
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_NAME_KEPT = 60  # characters of a file's name in that of its temporary, so that a long name stays within 255 bytes


def entry(folder: Path, name: str) -> Path:
    """Return the path of a name in a folder, by the spelling of accents that the disk has, if it is there."""
    path = folder / name
    if name.isascii() or path.exists():
        return path
    with suppress(OSError):
        found = (one for one in folder.iterdir() if composed(one.name) == composed(name))
        return next(found, path)
    return path


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path``, which takes its place when the body ends well.

    The new content is on the disk before it is renamed. When the body raises, ``path`` is as it was, and nothing is
    left beside it. What a process that was killed left beside it goes now.

    Args:
        path: The file to write or to replace. A link stays, and the file that it leads to is replaced.

    Raises:
        OSError: It cannot be written.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    common = f".{path.name[:_NAME_KEPT]}.{_HOST}-"
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(common) and _is_orphan(entry.name):
                Path(entry.path).unlink(missing_ok=True)
    prefix = f"{common}{os.getpid()}."
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_file(path: Path, data: bytes | str | Callable[[IO[bytes]], object]) -> None:
    """Write a file in one step: readers see the old content or the new, never a part.

    Args:
        path: The file to write or to replace.
        data: Bytes, text (written as UTF-8), or a function that writes to a binary stream.

    Raises:
        OSError: It cannot be written. ``path`` is then as it was, and nothing is left beside it.
    """
    with replacement(path) as temporary, temporary.open("wb") as file:
        if callable(data):
            data(file)
        else:
            file.write(data.encode() if isinstance(data, str) else data)


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a regular file that somebody else left, if it is not too large.

    A pipe or a device, also behind a link, is refused and never waited for.

    Args:
        path: The file.
        most: The size, in bytes, above which it is refused.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It is no regular file, is larger than ``most``, or cannot be read.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most} bytes", str(path))
        return file.read(most + 1)


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading. A pipe or a device raises OSError and is never waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        yield file


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Wait until no other process or thread is in here with the same folder, for files that are read and rewritten.

    The lock is the file ``.lock`` in the folder, which goes with it.

    Raises:
        OSError: The folder is not there, or cannot be written to.
    """
    path = folder / LOCK_FILE
    with FileLock(path):
        try:
            yield
        finally:
            remove_locked(path)


def remove_locked(path: Path) -> None:
    """Remove a lock's file while it is held: who waits for it sees that it is no longer the file of that name."""
    with suppress(OSError):
        path.unlink()


def clear_temporaries(folder: Path, age: float = 0.0) -> None:
    """Remove the temporaries that killed writers left in ``folder``.

    Args:
        folder: The folder.
        age: Only temporaries of processes that have ended on this machine, and others that nobody wrote to for so many
            seconds; 0 where the caller is the only writer.
    """
    before = time.time() - age
    for path in (*folder.glob(".*.tmp"), *folder.glob(".*.part")):  # the latter of earlier versions
        with suppress(FileNotFoundError):
            if not age or _is_orphan(path.name) or path.stat().st_mtime < before:
                path.unlink()


def _is_orphan(name: str) -> bool:
    """Whether the process that made a temporary was on this machine, and is no more."""
    made = re.search(rf"\.{_HOST}-(\d+)\.[^.]*\.tmp$", name)
    if made is None:
        return False
    try:
        os.kill(int(made[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # read once at import: setting and restoring it is not safe between threads
