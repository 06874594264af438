"""Files that are either whole or absent, whatever kills the process that writes them; locks; bounded reading."""

from __future__ import annotations

import errno
import os
import platform
import re
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary, finalize

from filelock import BaseFileLock, FileLock, Timeout

from ebabench.errors import RunError

_LOCK_FILE = ".lock"
_CLAIM_FILE = ".claim"
_NAME_KEPT = 60  # characters of a file's name in that of its temporary, so that a long name stays within 255 bytes


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside ``path``, which takes its place when the body ends well.

    The new content is on the disk before it is renamed. When the body raises, ``path`` is as it was, and nothing is
    left beside it.

    Args:
        path: The file to write or to replace.

    Raises:
        OSError: It cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:_NAME_KEPT]}.", suffix=".tmp", dir=path.parent)
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
def open_regular(path: Path) -> Iterator[IO[bytes]]:
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
    path = folder / _LOCK_FILE
    with FileLock(path):
        try:
            yield
        finally:
            _remove_locked(path)


def _remove_locked(path: Path) -> None:
    """Remove a lock's file while it is held: who waits for it sees that it is no longer the file of that name."""
    with suppress(OSError):
        path.unlink()


class Claim:
    """A folder that this process alone writes to, until ``release``, or until nobody holds the Claim any more."""

    def __init__(self, folder: Path) -> None:
        self._path = folder.resolve() / _CLAIM_FILE
        self._lock = FileLock(self._path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            owner = _owner(self._path)
            raise RunError(
                f"{folder} is in use by another process{owner}; wait for it, or choose another folder",
                code="folder.busy",
                folder=folder,
            ) from None
        with suppress(OSError):  # who it is only makes a better message
            self._path.write_text(f"{os.getpid()} on {platform.node()}", encoding="utf-8")
        self.release = finalize(self, _release, self._lock, self._path)
        """Ends the claim."""


def _release(lock: BaseFileLock, path: Path) -> None:
    _CLAIMS.pop(path.parent, None)
    _remove_locked(path)
    lock.release()


def claim(folder: Path) -> Claim:
    """Return the claim of this process on a folder. Keep it as long as the folder is written to.

    Raises:
        RunError: Another process has it (code ``folder.busy``); the message names that process.
        OSError: The folder cannot be written to.
    """
    key = folder.resolve()
    with _CLAIMING:
        found = _CLAIMS.get(key)
        if found is None:
            found = _CLAIMS[key] = Claim(folder)
        return found


_CLAIMS: WeakValueDictionary[Path, Claim] = WeakValueDictionary()
_CLAIMING = threading.Lock()


def _owner(path: Path) -> str:
    try:
        text = read_file(path, 1000).decode("utf-8", "replace")
    except OSError:
        return ""
    return f" ({text})" if re.fullmatch(r"\d+ on [\w.-]*", text) else ""


def clear_temporaries(folder: Path) -> None:
    """Remove what killed writers left in ``folder``: theirs alone, so the caller must be the only writer there."""
    for path in (*folder.glob(".*.tmp"), *folder.glob(".*.part")):  # the latter of earlier versions
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # read once at import: setting and restoring it is not safe between threads
