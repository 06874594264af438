"""Worker processes, one thread each, that end with the run that started them."""

from __future__ import annotations

import ast
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from ebabench.errors import RunError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENMM_CPU_THREADS")
"""The environment variables by which libraries learn how many threads they may have."""

_PATIENCE = 1.0  # seconds that a worker has to end
# What a worker runs. An interruption ends it without a word: its parent tells of it, unless both ignore it (nohup).
# The pipe from its parent, from which it reads what to do, hangs up when the parent ends, however that ends. Then the
# worker ends, also while it waits for a task on a queue whose other end it holds itself, and tells nothing of what it
# could not read.
_PROGRAM = """\
import os, select, signal, threading
if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
pipe = os.dup({pipe})
def hung_up(wait):
    poll = select.poll()
    poll.register(pipe, 0)
    return poll.poll(wait)
def end_with_parent():
    hung_up(None)
    os._exit(1)
threading.Thread(target=end_with_parent, daemon=True).start()
try:
    {program}
except BaseException:
    if hung_up(0):
        os._exit(1)
    raise
"""
_spawning = threading.Lock()
_command_line = spawn.get_command_line


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerDiedError(RunError):
    """A task that killed every worker that tried it."""


def stream(
    executor: Executor,
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    begin: Callable[[_Item], bool] = lambda _: True,
) -> Iterator[tuple[_Item, Future[_Result]]]:
    """Yield items with the futures of their work as these end. No more are begun at a time than there are workers.

    Args:
        executor: Where the work is done. All items are begun at once if it does not say how many workers it has.
        work: The work.
        items: What it is done on.
        begin: Called before an item is begun, in this process. An item for which it returns False is left out.
    """
    waiting = iter(items)
    running: dict[Future[_Result], _Item] = {}
    while True:
        at_once = getattr(executor, "_max_workers", None) or len(items)
        while len(running) < at_once and (item := next(waiting, None)) is not None:
            if begin(item):
                running[executor.submit(work, item)] = item
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future


def limit_threads() -> None:
    """Give the numerical libraries of this process one thread each: those that are loaded, and those loaded later."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    threadpool_limits(1)


class _Process(SpawnProcess):
    """A process that runs ``_PROGRAM``, and its parent's script only if that has a guard (``__name__``)."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  # the name that multiprocessing calls
        with _spawning:
            main = sys.modules["__main__"]
            if not _is_guarded(main):
                sys.modules["__main__"] = ModuleType("__main__")
            spawn.get_command_line = _worker_command
            # An interruption waits until the worker can take it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                spawn.get_command_line = _command_line
                sys.modules["__main__"] = main


def _worker_command(**options: Any) -> list[str]:
    """Return the command line of multiprocessing for a process, with ``_PROGRAM`` around its program."""
    *python, program, flag = _command_line(**options)
    return [*python, _PROGRAM.format(pipe=options["pipe_handle"], program=program), flag]


def _is_guarded(main: ModuleType) -> bool:
    """Whether a program can be run again by its workers: a module's main program, or a script with a guard."""
    if main.__spec__ is not None:
        return True
    try:
        script = ast.parse(Path(str(main.__file__)).read_bytes())
    except (AttributeError, OSError, SyntaxError, ValueError):
        return False
    conditions = [part for line in script.body if isinstance(line, ast.If) for part in ast.walk(line.test)]
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in conditions)


class _Context(SpawnContext):
    Process = _Process


@contextmanager
def workers(jobs: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of ``jobs`` processes, by default one a core that this process may use.

    Started afresh and not forked, since a fork of a process with running threads may hang. A script that calls the
    library needs no ``if __name__ == "__main__"``: workers run a script only if it has one. An exception in the body,
    an interruption as well, ends the workers at once: what they were at is lost, what they had given is not. They end
    also when this process is killed outright.

    Raises:
        RunError: A worker was killed (code ``process.died``), and the body did not take care of it.
    """
    before = set(multiprocessing.active_children())
    _track_silently()
    pool = ProcessPoolExecutor(jobs or cores(), mp_context=_Context())
    try:
        with environment(dict.fromkeys(THREADS, "1")), _broken_without_manager(pool):  # there is one process a core
            yield pool
    except BaseException as error:
        ended = set(multiprocessing.active_children()) - before
        for process in ended:
            process.terminate()
        for process in ended:
            process.join(_PATIENCE)
            process.kill()
        # The pool's locks are removed here: a forked process does not remove them at its end.
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise RunError(
                "a process that worked on this was killed, perhaps for want of memory; what was finished is kept, "
                "and the same command goes on from it, with fewer --jobs if need be",
                code="process.died",
            ) from error
        raise
    pool.shutdown()


@contextmanager
def _broken_without_manager(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Break the pool in the body if its thread that hands out tasks ends by an error. Nobody could wait for them.

    That thread needs memory, and starts another thread for its queue. Where there is no room for either, Python prints
    a traceback, and futures never end.
    """
    before = threading.excepthook

    def told(error: threading.ExceptHookArgs) -> None:
        manager: Any = pool
        if error.thread is None or error.thread is not manager._executor_manager_thread:
            before(error)
            return
        broken = BrokenProcessPool(f"tasks cannot be handed out: {error.exc_value}")
        manager._broken = str(broken)
        for process in list((manager._processes or {}).values()):
            process.terminate()
        for task in list(manager._pending_work_items.values()):
            task.future.set_exception(broken)

    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables for the body and the processes that it starts; None removes one."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _track_silently() -> None:
    """Start what removes the semaphores of a process that was killed, unless it runs. It does so without a warning."""
    told = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker:UserWarning"
    with environment({"PYTHONWARNINGS": f"{told},{quiet}" if told else quiet}):
        resource_tracker.ensure_running()
