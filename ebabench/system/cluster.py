"""Workers of a Dask cluster as an executor with the interface of ``concurrent.futures``.

A task is one callable, pickled. It runs in the folder that this process runs in, which workers see by the same path.
Dask gives the task of a worker that died to another worker. What a task writes must therefore be the same however often
it runs.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from time import monotonic
from typing import Any, Literal, ParamSpec, TypeVar
from uuid import uuid4

import cloudpickle
import dask
import distributed
from distributed.core import Status
from distributed.utils import LoopRunner
from pydantic import Field, ValidationError

from ebabench.errors import InputError, RunError
from ebabench.system.process_pool import WorkerDiedError, limit_threads
from ebabench.system.schema import Strict, first_fault, read_toml

_P = ParamSpec("_P")
_R = TypeVar("_R")
Fault = Callable[[], str]
"""Runs on a worker before its first task, and returns why the worker is refused, or nothing."""

_WAIT = 30  # seconds for a scheduler to answer, and for the first worker of a cluster that runs
_ALONE = 600  # seconds without any worker, after which what is queued fails
_LOOK = 1  # seconds between two looks at the workers
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
        self._running: dict[distributed.Future, Future[Any]] = {}
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
        (``cluster.lost``) if the scheduler or all workers ended, and an InputError (``cluster.worker``) if a worker
        that came later is refused.
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
        self._running[theirs] = ours
        theirs.add_done_callback(self._settle)
        return ours

    def cancel(self) -> None:
        """Cancel all tasks. Those that run end by themselves; what they write is kept."""
        self._client.cancel(list(self._running), force=True)

    def watch(self, ended: Event) -> None:
        """Fail all tasks whenever there was no worker for ``_ALONE`` seconds, until the event is set."""
        seen = monotonic()
        while not ended.wait(_LOOK):
            try:
                found = self._workers()
            except Exception:  # the connection ended, which the futures tell
                return
            if found:
                seen = monotonic()
            elif monotonic() - seen > _ALONE:
                while self._running:
                    _, ours = self._running.popitem()
                    ours.set_exception(_lost(f"there was no worker for {_ALONE} s"))

    def _settle(self, theirs: distributed.Future) -> None:
        ours = self._running.pop(theirs, None)
        if ours is None:  # which was given up
            return
        if theirs.status == "cancelled":
            ours.set_exception(_lost("the connection to the scheduler was lost"))
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
        stack.callback((ended := Event()).set)
        Thread(target=executor.watch, args=(ended,), daemon=True).start()
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
        return _running(text, text, stack)
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
        _submit_jobs(started, queue, path)
        return _connected(text, stack, started, 1, None)
    return _running(text, _address(path), stack)


def _running(text: str, address: str, stack: ExitStack) -> distributed.Client:
    """The client of a scheduler that a user started. Dask waits for ever for the answer of another kind of server."""
    try:
        LoopRunner().run_sync(_greet, address)
    except Exception as error:  # whatever may answer there
        why = str(error) or f"what listens there says nothing in {_WAIT} s"
        raise InputError(
            f"--cluster {text}: no scheduler answers there ({why})", code="cluster.unreachable", cluster=text
        ) from error
    return _connected(text, stack, address, 1, _WAIT)


async def _greet(address: str) -> None:
    """Raise an exception unless a scheduler answers."""
    security = distributed.Security().get_connection_args("client")
    async with distributed.rpc(address, timeout=_WAIT, connection_args=security) as server:
        kind = (await asyncio.wait_for(server.identity(), _WAIT))["type"]
    if kind != "Scheduler":
        raise ValueError(f"it is the address of a {kind}")


def _address(path: Path) -> str:
    """The address in a scheduler file."""
    try:
        return str(json.loads(path.read_bytes())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no scheduler file, which `dask scheduler --scheduler-file {path}` writes",
            code="cluster.file",
            file=path,
        ) from error


def _connected(text: str, stack: ExitStack, where: Any, workers: int, timeout: int | None) -> distributed.Client:
    """The client of a scheduler that has workers."""
    client = stack.enter_context(distributed.Client(where, timeout=_WAIT, set_as_default=False))
    try:
        client.wait_for_workers(workers, timeout=timeout)
    except TimeoutError as error:
        raise InputError(
            f"--cluster {text}: the scheduler has no workers: start them with `dask worker ADDRESS --nthreads 1`",
            code="cluster.unreachable",
            cluster=text,
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
    handler = signal.getsignal(signal.SIGINT)
    jobs = getattr(import_module(f"dask_jobqueue.{queue.kind}"), _CLASSES[queue.kind])
    if current_thread() is main_thread():
        signal.signal(signal.SIGINT, handler)  # the import makes an interruption the end of the program
    try:
        return jobs(**{"cores": 1, "processes": 1, **queue.options})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: options: {error}", code="cluster.file", file=path) from error


def _submit_jobs(started: Any, queue: JobQueue, path: Path) -> None:
    """Submit the jobs. ``scale`` of Dask logs what the batch system refuses, and waits for ever."""
    for _ in range(queue.workers):
        started.worker_spec.update(started.new_worker_spec())
    try:
        started.sync(started._correct_state)
    except Exception as error:  # of each batch system another one
        for name, job in list(started.workers.items()):
            if job.status is Status.created:  # not submitted: the cluster has nothing to end
                job.status = Status.failed
                del started.workers[name]
        why = "; ".join(filter(None, map(str.strip, str(error).splitlines())))
        raise InputError(
            f"{path}: {queue.kind} did not take the jobs: {why}", code="cluster.jobs_refused", file=path
        ) from error


def _lost(why: str) -> RunError:
    return RunError(f"{why}; what was finished is kept, the same command goes on", code="cluster.lost")


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
