"""Runs a command that is not trusted: in a process group of its own, to a deadline, its output kept within bounds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_KEPT = 1 << 20  # bytes of output from the start, and as many from the end
_BLOCK = 1 << 16
_LOOK = 0.2  # seconds between looks at whether to stop
_DRAIN = 5.0  # seconds to wait for output once the group is dead
_HUNT = 5.0  # seconds to look for processes that left the group
_MARK = "EBABENCH_PROCESS"
# Becomes the command, and leaves a process in its group that kills it when its input ends: a pipe that only the
# process which runs this holds open, so that it ends with that one, however that ends. It is no child of the command's.
# With the group die those that left it: they have a mark ($0) in their environment. When memory runs out, the command
# goes before ebabench.
_GUARDED = """
exec 3<&0 </dev/null
(
    {
        read _
        for found in $(grep -lasF "$0" /proc/[0-9]*/environ); do
            found=${found#/proc/}
            kill -s KILL "${found%/environ}"
        done
        kill -s KILL 0
    } <&3 >/dev/null 2>&1 &
)
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
exec env "$0" "$@" 3<&-
"""


@dataclass(frozen=True)
class End:
    """How a command ended: its exit code (negative: the signal that killed it), and whether the deadline did it."""

    code: int
    timed_out: bool
    seconds: float

    def __str__(self) -> str:
        if self.timed_out:
            return f"was killed at its deadline, after {self.seconds:.0f} s"
        if self.code == -signal.SIGKILL:
            return "was killed (SIGKILL), perhaps for want of memory"
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"


class StoppedError(Exception):
    """The command was killed because ``stop`` was set."""


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
    log: Path,
    stop: threading.Event,
) -> End:
    """Runs ``command`` in ``folder``, and writes what it says to ``log``: the first and the last mebibyte of it.

    When it ends, at the deadline (``timeout`` seconds), when ``stop`` is set or on any exception here, all processes
    of its group are killed, those that it left behind too, and on Linux also those that left the group (daemons); so
    they are when this process is killed outright.

    Raises:
        OSError: it cannot be started, or the log cannot be written.
        StoppedError: ``stop`` was set.
    """
    started = time.monotonic()
    mark = f"{_MARK}={uuid.uuid4().hex}"
    with log.open("wb") as file, _pipe() as (ends, _):
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, mark, *command],
            cwd=folder,
            env=dict(environment),
            stdin=ends,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        reader = threading.Thread(target=_copy, args=(process.stdout, file), daemon=True)
        reader.start()
        timed_out = False
        try:
            while process.poll() is None:
                if stop.is_set():
                    raise StoppedError
                left = timeout - (time.monotonic() - started)
                if timed_out := left <= 0:
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(_LOOK, left))
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            _kill_marked(mark.encode())
            reader.join(_DRAIN)
    return End(code, timed_out, time.monotonic() - started)


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, which are closed afterwards."""
    both = os.pipe()
    try:
        yield both
    finally:
        for one in both:
            os.close(one)


def _kill_marked(mark: bytes) -> None:
    """Kill all processes with the mark in their environment, until there are none: they may start others meanwhile."""
    end = time.monotonic() + _HUNT
    while (found := list(_marked(mark))) and time.monotonic() < end:
        for number in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)


def _marked(mark: bytes) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes():
                yield int(path.parent.name)


def last_line(log: Path, width: int = 200) -> str:
    """The last line of a log that says anything, cut to ``width``; empty if none does."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8 * width))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = [" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in lines]
    return next((line[:width] for line in reversed(said) if line), "")


def _copy(source: IO[bytes], file: IO[bytes]) -> None:
    """Copies the start as it comes and the end when it has come; drops what lies between."""
    written, left_out = 0, 0
    tail: deque[bytes] = deque()
    held = 0
    with contextlib.suppress(ValueError, OSError):  # closed: a process outside of the group still had the other end
        while block := os.read(source.fileno(), _BLOCK):
            if written < _KEPT:
                file.write(block)
                file.flush()
                written += len(block)
                continue
            tail.append(block)
            held += len(block)
            while held - len(tail[0]) >= _KEPT:
                held -= len(tail[0])
                left_out += len(tail.popleft())
        if left_out:
            file.write(f"\n[{left_out} bytes left out]\n".encode())
        file.writelines(tail)
    source.close()
