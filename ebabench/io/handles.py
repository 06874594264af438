"""Files that stay open between two readings, of which no more than a few are open at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from threading import Lock, RLock
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

_MOST_OPEN = 64  # a process may have some 1,000, and other things to open


class SharedHandle:
    """A file that is opened when it is first read, and stays open for the next reading.

    The body of ``with`` has the handle for itself: other threads wait. When 64 other files were read since, it is
    closed, and opened again when it is needed.

    Args:
        opened: Opens the file.
    """

    def __init__(self, opened: Callable[[], AbstractContextManager[Any]]) -> None:
        self._opened, self._lock = opened, RLock()
        self._stack: ExitStack | None = None
        self._handle: Any = None

    def __enter__(self) -> Any:
        self._lock.acquire()
        try:
            if self._stack is None:
                stack = ExitStack()
                self._handle = stack.enter_context(self._opened())
                self._stack = stack
            _used(self)
        except BaseException:
            self._lock.release()
            raise
        return self._handle

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._lock.release()

    def __del__(self) -> None:
        self._close()

    def close_if_idle(self) -> bool:
        """Close the file unless it is being read, and return whether it is closed."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._close()
        finally:
            self._lock.release()
        return True

    def _close(self) -> None:
        stack, self._stack, self._handle = self._stack, None, None
        if stack is not None:
            stack.close()


_RECENT: OrderedDict[int, None] = OrderedDict()
_OPEN: WeakValueDictionary[int, SharedHandle] = WeakValueDictionary()
_LOCK = Lock()


def _used(handle: SharedHandle) -> None:
    """Note that a handle is in use, and close those that were not used for the longest time if there are too many."""
    with _LOCK:
        _OPEN[id(handle)] = handle
        _RECENT[id(handle)] = None
        _RECENT.move_to_end(id(handle))
        for key in list(_RECENT)[: max(len(_RECENT) - _MOST_OPEN, 0)]:
            other = _OPEN.get(key)
            if other is None or (other is not handle and other.close_if_idle()):
                del _RECENT[key]
