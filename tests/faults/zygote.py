"""A process that has imported ebabench and forks for every command: a fault campaign then waits for no start-up.

Started as ``python zygote.py``; requests come as JSON lines, answers go the same way. ``{"poll": PID}``
asks how a command ended; another request is

    {"arguments": [...], "cwd": "...", "environment": {...}, "out": "...", "errors": "...",
     "fault": {"kind": "kill" | "fail" | "count" | "signal", "at": 3, "errno": 28, "signal": 15, "events": "FILE"},
     "limits": {"FSIZE": BYTES}, "memory": BYTES, "without": ["HOME"], "processes": true,
     "code": "python source to run first"}

``memory`` is what it may have beyond what it begins with. ``without`` are variables that are not set. ``processes``
keeps the pool of processes, in place of which there is a thread otherwise.

Nothing that starts threads is computed here, so that its children begin as a fresh command does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# What the commands import when they need it.
MODULES = (
    "ebabench.cli", "ebabench.workflows.run", "ebabench.workflows.score_ensembles", "ebabench.workflows.site",
    "ebabench.workflows.publish", "ebabench.workflows.compare", "ebabench.workflows.energy", "ebabench.metrics",
    "ebabench.models.static", "ebabench.training.stage", "ebabench.training.remote", "ebabench.generators.converters",
    "scipy.linalg", "scipy.spatial", "mdtraj", "gemmi", "pandas", "requests", "jinja2", "numba", "openmm.app",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Events:
    """Counts the moments at which a command writes, and does what the request says at one of them.

    An event is a file opened for writing, flushed to the disk, renamed or removed, or a folder that is made. Files of
    the cache of compiled code and the null device do not count.
    """

    def __init__(self, fault: dict[str, Any]) -> None:
        self.fault, self.count = fault, 0
        for name in ("replace", "rename", "mkdir", "unlink", "remove", "fsync", "link"):
            setattr(os, name, self._counted(getattr(os, name), lambda *_: True))
        os.open = self._counted(os.open, lambda path, flags=0, *_: bool(flags & WRITES))
        opened = self._counted(io.open, lambda path, mode="r", *_: any(letter in mode for letter in "wax+"))
        io.open = opened
        import builtins

        builtins.open = opened

    def _counted(self, function: Callable[..., Any], counts: Callable[..., bool]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            where = str(arguments[0]) if arguments else ""
            named = [options["mode"]] if "mode" in options and len(arguments) == 1 else []
            if counts(*arguments, *named) and "__pycache__" not in where and os.devnull not in where:
                self._happen(where)
            return function(*arguments, **options)

        return wrapped

    def _happen(self, where: str) -> None:
        self.count += 1
        if self.count != self.fault.get("at"):
            return
        kind = self.fault["kind"]
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "signal":
            os.kill(os.getpid(), self.fault["signal"])
        if kind == "fail":
            raise OSError(self.fault["errno"], os.strerror(self.fault["errno"]), where)


@contextlib.contextmanager
def in_this_process(jobs: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """In place of a pool of processes: one thread, and libraries that have one each."""
    from ebabench.system.process_pool import THREADS, environment

    with environment(dict.fromkeys(THREADS, "1")), ThreadPoolExecutor(1) as pool:
        yield pool


def stream(number: int) -> Any:
    """A standard stream as Python opens it; None if it is closed."""
    try:
        return io.TextIOWrapper(io.BufferedWriter(io.FileIO(number, "w")), encoding="utf-8", line_buffering=number == 2)
    except OSError:
        return None


def child(request: dict[str, Any]) -> None:
    """Become the command. Never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(request["cwd"])
        os.environ.update(request["environment"])
        for number, name in ((1, "out"), (2, "errors")):
            handle = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(handle, number)
            os.close(handle)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
        for name, most in request.get("limits", {}).items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
        if "memory" in request:
            most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + request["memory"]
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for name in request.get("without", ()):
            os.environ.pop(name, None)
        exec(request.get("code", ""), {})
        sys.stdout, sys.stderr = stream(1), stream(2)
        for module in ("ebabench.scoring.score", "ebabench.system.process_pool"):
            if "workers" in vars(sys.modules[module]) and not request.get("processes"):
                sys.modules[module].workers = in_this_process
        events = Events(request["fault"]) if request.get("fault") else None
        sys.argv = ["ebabench", *request["arguments"]]
        from ebabench.cli import main

        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        if events is not None and "events" in events.fault:
            with open(events.fault["events"], "w") as file:  # noqa: PTH123
                file.write(str(events.count))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def code_of(pid: int) -> int | None:
    """How a child ended; None while it is at work."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def warm_up() -> None:
    """Score once, so that compiled code is loaded and a child need not."""
    import ebabench

    reference = ebabench.load_suite("peptides-v1").reference("KLED")
    model = ebabench.load_model("static").sample(reference.target, samples=4, seed=1)
    ebabench.score(model, reference, threads=1)


def main() -> None:
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            print(json.dumps({"code": code_of(request["poll"])}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            child(request)
        print(json.dumps({"pid": pid}), flush=True)


if __name__ == "__main__":
    main()
