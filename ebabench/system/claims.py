"""Names that one process works on, while others leave them alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from filelock import FileLock, Timeout

from ebabench.system.files import remove_locked


class Claims:
    """What this process works on in a folder that several processes share.

    A claim is a lock of the operating system on a file: it ends with the process, however the process ends, so that
    there are no stale claims. It may be taken in one thread and given back in another.

    Args:
        folder: Where the lock files lie. It is made with the first claim.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, Lock()
        self._held: dict[str, FileLock] = {}

    def take(self, name: str) -> bool:
        """Claim a name, and return whether this process holds the claim now. Raises OSError."""
        with self._lock:
            if name in self._held:
                return True
            lock = FileLock(self._folder / f"{name}.lock", thread_local=False)
            while True:
                self._folder.mkdir(parents=True, exist_ok=True)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    return False
                except FileNotFoundError:  # another process has just tidied the folder away
                    continue
                self._held[name] = lock
                return True

    def release(self, name: str) -> None:
        """Give a claim back, if it is held."""
        with self._lock:
            lock = self._held.pop(name, None)
        if lock is not None:
            remove_locked(Path(lock.lock_file))
            lock.release()

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        """Claim a name for the body. Yields whether it is held; another process works on it where it is not."""
        held = self.take(name)
        try:
            yield held
        finally:
            if held:
                self.release(name)

    def tidy(self) -> None:
        """Remove the lock files that killed processes left, and the folder if nobody holds a claim."""
        for path in self._folder.glob("*.lock"):
            with self.hold(path.stem):
                pass
        with suppress(OSError):
            self._folder.rmdir()
