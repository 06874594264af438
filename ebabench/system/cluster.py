"""Workers of a Dask cluster as an executor with the interface of ``concurrent.futures``.

A task is one callable, pickled. It runs in the folder that this process runs in, which workers see by the same path.
Dask gives the task of a worker that died to another worker. What a task writes must therefore be the same however often
it runs.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar
from uuid import uuid4

import cloudpickle
import dask
import distributed
from pydantic import Field, ValidationError

from ebabench.errors import InputError, RunError
from ebabench.system.process_pool import WorkerDiedError, limit_threads
from ebabench.system.schema import Strict, first_fault, read_toml

_P = ParamSpec("_P")
_R = TypeVar("_R")
Fault = Callable[[], str]
"""Runs on a worker before its first task, and returns why the worker is refused, or nothing."""

_WAIT = 30  # seconds for a scheduler to answer, and for the first worker of a cluster that runs
_KILLS = 3  # workers that a task may kill before it fails, where ebabench starts the scheduler
_SETTINGS = {
    "distributed.scheduler.allowed-failures": _KILLS - 1,
    "distributed.scheduler.worker-saturation": 1.0,  # no task waits on a worker, where it would be blamed for its death
    "distributed.deploy.lost-worker-timeout": "1 day",  # a killed process is started again, which takes its time
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
}
_CLASSES = {
    "htcondor": "HTCondorCluster",
    "local": "LocalCluster",
    "lsf": "LSFCluster",
    "moab": "MoabCluster",
    "oar": "OARCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}


class JobQueue(Strict):
    """A TOML file that describes workers as jobs of a batch system.

    Attributes:
        kind: The batch system. "local" starts the jobs as processes of this machine, for a trial.
        workers: The number of workers, of one thread each.
        options: Arguments of the class of dask-jobqueue (queue, walltime, memory, ...).
    """

    kind: Literal["htcondor", "local", "lsf", "moab", "oar", "pbs", "sge", "slurm"]
    workers: int = Field(ge=1)
    options: Mapping[str, Any] = Field(default_factory=dict)


class ClusterExecutor(Executor):
    """The workers of a Dask cluster, one task at a time per worker.

    Args:
        client: The connection to the scheduler.
        fault: Checks a worker; see ``Fault``.
    """

    def __init__(self, client: distributed.Client, fault: Fault) -> None:
        self._client = client
        self._admission = uuid4().hex, cloudpickle.dumps(fault)
        self._running: set[distributed.Future] = set()
        self._resources: dict[str, float] = {}

    @property
    def dashboard(self) -> str:
        """The address of the dashboard."""
        return str(self._client.dashboard_link)

    @property
    def _max_workers(self) -> int:  # the name under which executors of the standard library have it
        return max(len(self._workers()), 1)

    def check(self) -> None:
        """Check all workers. Raises InputError (``cluster.worker``) that names a worker that is refused."""
        workers = self._workers()
        for worker in workers.values():
            if worker["nthreads"] != 1:
                raise _refused(worker["name"], f"it has {worker['nthreads']} threads: start it with --nthreads 1")
        found = self._client.run(_admit, *self._admission, on_error="return")
        for address, fault in sorted(found.items()):
            if fault:
                why = fault if isinstance(fault, str) else f"it cannot load ebabench as it is here ({fault})"
                raise _refused(workers[address]["name"] if address in workers else address, why)

    def using(self, **resources: float) -> ClusterExecutor:
        """Return an executor of the same workers, each task of which takes some of a worker's Dask resources.

        Raises:
            InputError: No worker has such a resource (``cluster.resources``).
        """
        for name in resources:
            if not any(name in worker["resources"] for worker in self._workers().values()):
                raise InputError(
                    f"no worker has the resource {name}: start workers with --resources {name}=1",
                    code="cluster.resources",
                    resource=name,
                )
        other = copy.copy(self)
        other._resources = resources
        return other

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Return the future of a call on a worker.

        The future has a ``WorkerDiedError`` if the call killed every worker that tried it, a RunError
        (``cluster.lost``) if the scheduler ended, and an InputError (``cluster.worker``) if a worker that came later
        is refused.
        """
        task = cloudpickle.dumps((fn, args, kwargs))
        name = getattr(getattr(fn, "func", fn), "__name__", "task").strip("_")
        theirs = self._client.submit(
            _perform,
            *self._admission,
            task,
            str(Path.cwd()),
            key=f"{name}-{uuid4().hex}",
            pure=False,
            resources=self._resources or None,
        )
        ours: Future[_R] = Future()
        ours.set_running_or_notify_cancel()
        self._running.add(theirs)
        theirs.add_done_callback(lambda done: self._settle(ours, done))
        return ours

    def cancel(self) -> None:
        """Cancel all tasks. Those that run end by themselves; what they write is kept."""
        self._client.cancel(list(self._running), force=True)

    def _settle(self, ours: Future[_R], theirs: distributed.Future) -> None:
        self._running.discard(theirs)
        if theirs.status == "cancelled":
            lost = "the connection to the scheduler was lost; what was finished is kept, the same command goes on"
            ours.set_exception(RunError(lost, code="cluster.lost"))
        elif theirs.status == "finished":
            ours.set_result(theirs.result())
        else:
            error = theirs.exception()
            if isinstance(error, distributed.KilledWorker):
                error = WorkerDiedError(
                    f"{error.allowed_failures + 1} workers died of it, the last on {error.last_worker.host}, "
                    "perhaps for want of memory"
                )
            ours.set_exception(error)

    def _workers(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        return found


@contextmanager
def connect(cluster: str | os.PathLike[str], fault: Fault) -> Iterator[ClusterExecutor]:
    """Connect to a cluster for the body, and check its workers. An exception of the body cancels all tasks.

    Args:
        cluster: ``local:N`` for N processes of this machine, the address of a scheduler (``tcp://host:8786``), its
            scheduler file (JSON), or a TOML file (``JobQueue``).
        fault: Checks a worker; see ``Fault``.

    Raises:
        InputError: It is none of these (``cluster.form``), no scheduler or worker answers (``cluster.unreachable``), or
            a worker is refused.
    """
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told as an error
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        client = _client(os.fspath(cluster), stack)
        executor = ClusterExecutor(client, fault)
        executor.check()
        try:
            yield executor
        except BaseException:
            executor.cancel()
            raise


def _client(text: str, stack: ExitStack) -> distributed.Client:
    kind, _, count = text.partition(":")
    if kind == "local" and count.isdecimal() and int(count):
        started = distributed.LocalCluster(
            n_workers=int(count), threads_per_worker=1, memory_limit=None, dashboard_address=":0", silence_logs="ERROR"
        )
        return _connected(text, stack, stack.enter_context(started), int(count), None)
    if "://" in text:
        return _connected(text, stack, text, 1, _WAIT)
    path = Path(text)
    if not path.is_file():
        raise InputError(
            f"--cluster {text}: neither local:N, nor an address as tcp://host:8786, nor a file",
            code="cluster.form",
            cluster=text,
        )
    if path.suffix == ".toml":
        queue = _job_queue(path)
        started = stack.enter_context(_started(queue, path))
        started.scale(queue.workers)
        return _connected(text, stack, started, 1, None)
    return _connected(text, stack, path, 1, _WAIT)


def _connected(text: str, stack: ExitStack, where: Any, workers: int, timeout: int | None) -> distributed.Client:
    """The client of a scheduler that has workers."""
    told = {"scheduler_file": str(where)} if isinstance(where, Path) else {"address": where}
    try:
        client = stack.enter_context(distributed.Client(**told, timeout=_WAIT, set_as_default=False))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--cluster {text}: no scheduler answers there ({error})", code="cluster.unreachable", cluster=text
        ) from error
    try:
        client.wait_for_workers(workers, timeout=timeout)
    except TimeoutError as error:
        raise InputError(
            f"--cluster {text}: the scheduler has no workers", code="cluster.unreachable", cluster=text
        ) from error
    return client


def _job_queue(path: Path) -> JobQueue:
    try:
        return JobQueue.model_validate(read_toml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}", code="cluster.file", file=path) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", code="cluster.file", file=path) from error


def _started(queue: JobQueue, path: Path) -> Any:
    jobs = getattr(import_module(f"dask_jobqueue.{queue.kind}"), _CLASSES[queue.kind])
    try:
        return jobs(**{"cores": 1, "processes": 1, **queue.options})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: options: {error}", code="cluster.file", file=path) from error


def _refused(worker: object, why: str) -> InputError:
    return InputError(f"worker {worker} is refused: {why}", code="cluster.worker", worker=str(worker))


# What follows runs on a worker.

_admitted: dict[str, str] = {}


def _admit(key: str, fault: bytes) -> str:
    """Return why this worker may not work for the session ``key``, or nothing."""
    if key not in _admitted:
        limit_threads()
        _admitted[key] = str(pickle.loads(fault)())
    return _admitted[key]


def _perform(key: str, fault: bytes, task: bytes, folder: str) -> object:
    if why := _admit(key, fault):
        raise _refused(distributed.get_worker().name, why)
    os.chdir(folder)
    fn, args, kwargs = pickle.loads(task)
    return fn(*args, **kwargs)
