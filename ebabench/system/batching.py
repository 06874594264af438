"""What to do when memory runs out: take half as many at once, and try again."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


# What is said for want of memory: torch and CUDA, oneDNN, C++, those who map a file or load a library, and those who
# start a thread, whose stack needs room.
_SAID = (
    *("out of memory", "not enough memory", "could not create a primitive", "bad_alloc"),
    *("cannot allocate memory", "failed to map segment"),
    *("can't start new thread", "resource temporarily unavailable"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, the processor's or a GPU's (torch, CUDA)."""
    if isinstance(error, MemoryError) or "OutOfMemory" in repr(type(error)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, SystemError):  # what Python says of C code that could not allocate and did not say so
        return "without exception set" in str(error) or "without setting an exception" in str(error)
    said = str(error).lower() if isinstance(error, Exception) else ""
    return any(words in said for words in _SAID)


def retry_with_smaller_batch(batch_size: int, work: Callable[[int], T]) -> T:
    """``work(batch_size)``; whenever memory runs out, again from the start with half as many, down to one.

    Raises whatever ``work`` raises otherwise, or with a batch of one.
    """
    while True:
        try:
            return work(batch_size)
        except (MemoryError, RuntimeError) as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
        batch_size = max(1, batch_size // 2)
