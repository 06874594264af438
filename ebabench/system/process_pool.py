"""Worker processes, one thread each, that end with the run that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from ebabench.errors import RunError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENMM_CPU_THREADS")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(jobs: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``jobs`` processes, by default one a core that this process may use.

    Started afresh and not forked, since a fork of a process with running threads may hang. An exception in the body,
    an interruption as well, ends the workers at once: what they were at is lost, what they had given is not. They end
    also when this process is killed outright.

    Raises:
        RunError: A worker was killed (code ``process.died``), and the body did not take care of it.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        jobs or cores(), mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )
    try:
        with _single_threaded():
            yield pool
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise RunError(
                "a process that worked on this was killed, perhaps for want of memory; what was finished is kept, "
                "and the same command goes on from it, with fewer --jobs if need be",
                code="process.died",
            ) from error
        raise
    pool.shutdown()


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started meanwhile have one thread, whatever the environment says: there is one a core."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker of a killed process would wait for work for ever: it holds the other end of its own queue.
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
