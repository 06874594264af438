"""Worker processes, one thread each, that end with the run that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENMM_CPU_THREADS")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(jobs: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``jobs`` processes, by default one a core that this process may use.

    Started afresh and not forked, since a fork of a process with running threads may hang. An exception in the body,
    an interruption as well, ends the workers at once: what they were at is lost, what they had given is not.
    """
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        jobs or cores(),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    pool.shutdown()
