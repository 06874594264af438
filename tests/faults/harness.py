"""What a fault campaign is made of: commands that meet a fault, what must come, and a count of both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from damage import Outcome
from damage import rows as damage_rows

HERE = Path(__file__).parent
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class End:
    """How a command ended: its exit status (negative: the signal), what it said, and whether it had to be killed."""

    code: int
    out: str
    errors: str
    hung: bool
    seconds: float

    def fault(self, *codes: int) -> str:
        """What is wrong with how it ended; empty if it ended with one of the codes, in one line if it failed."""
        if self.hung:
            return "hung"
        if TRACEBACK in self.errors:
            return f"a traceback: {self.errors.strip().splitlines()[-1][:200]}"
        if self.code not in codes:
            return f"exit {self.code}: {self.errors.strip()[-300:]}"
        # A command that was killed may have told of its progress; what it leaves behind says nothing.
        if self.code > 0 and self.errors.strip().count("\n"):
            return f"more than one line: {self.errors.strip()[:300]}"
        if "resource_tracker" in self.errors:
            return f"a warning: {self.errors.strip()[:300]}"
        return ""


class Zygote:
    """Runs commands of ebabench in forks of a process that has imported it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers, self._lock = folder, count(1), Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "0"},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def start(
        self, *arguments: str, cwd: Path, seconds: float = 300, kill_after: float | None = None, **request: Any
    ) -> Started:
        """Start a command. ``request`` is what zygote.py knows: fault, environment, limits, code, processes."""
        number = next(self._numbers)
        out, errors = (self._folder / f"{number}.{kind}" for kind in ("out", "errors"))
        told = {"arguments": arguments, "cwd": str(cwd), "out": str(out), "errors": str(errors), "environment": {}}
        pid = self._ask(told | request)["pid"]
        return Started(self, pid, out, errors, seconds, kill_after)

    def run(self, *arguments: str, cwd: Path, **request: Any) -> End:
        """Run a command to its end."""
        return self.start(*arguments, cwd=cwd, **request).end()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@dataclass(frozen=True)
class Started:
    """A command at work."""

    zygote: Zygote
    pid: int
    out: Path
    errors: Path
    seconds: float
    kill_after: float | None
    begun: float = field(default_factory=time.monotonic)

    def end(self) -> End:
        """Wait for it: it is killed at its moment, and with its group at the deadline."""
        hung, kill_after = False, self.kill_after
        while (code := self.zygote._ask({"poll": self.pid})["code"]) is None:
            age = time.monotonic() - self.begun
            if kill_after is not None and age > kill_after:
                os.kill(self.pid, signal.SIGKILL)
                kill_after = None
            if age > self.seconds and not hung:
                hung = True
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        out, errors = (path.read_text(encoding="utf-8", errors="replace") for path in (self.out, self.errors))
        return End(code, out, errors, hung, time.monotonic() - self.begun)


@dataclass
class Tally:
    """The table of a campaign: by case, what was tried, what was fine, and what was not."""

    tried: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    damaged: dict[str, tuple[int, int, Outcome]] = field(default_factory=dict)
    determinism: dict[tuple[str, str], str] = field(default_factory=dict)

    @contextmanager
    def case(self, name: str) -> Iterator[Case]:
        """Collect the tries of a case, and fail at its end if one was not fine."""
        one = Case()
        yield one
        self.tried[name] += one.tried
        self.wrong.setdefault(name, []).extend(one.wrong)
        assert one.tried, f"{name}: nothing was tried"
        assert not one.wrong, f"{name}: {len(one.wrong)} of {one.tried} went wrong:\n" + "\n".join(one.wrong)

    def tables(self) -> list[str]:
        """Rows in Markdown: of cases, of damaged files, of what bytes depend on."""
        rows = []
        if self.tried:
            rows += ["", "| case | tried | fine |", "| --- | ---: | ---: |"]
            counts = [(name, tried, tried - len(self.wrong[name])) for name, tried in self.tried.items()]
            counts.append(("all", sum(tried for _, tried, _ in counts), sum(fine for _, _, fine in counts)))
            rows += [f"| {name} | {tried} | {fine} |" for name, tried, fine in counts]
        if self.damaged:
            rows += ["", *damage_rows(self.damaged)]
        if self.determinism:
            variants = list(dict.fromkeys(variant for _, variant in self.determinism))
            rows += ["", f"| bytes | {' | '.join(variants)} |", f"| --- |{' --- |' * len(variants)}"]
            for part in dict.fromkeys(part for part, _ in self.determinism):
                told = [self.determinism.get((part, variant)) for variant in variants]
                cells = ("not tried" if one is None else "differ" if one else "equal" for one in told)
                rows.append(f"| {part} | {' | '.join(cells)} |")
        return rows


@dataclass
class Case:
    """The tries of one case."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, fault: str = "") -> None:
        """Count a try; ``fault`` says what went wrong."""
        self.tried += 1
        if fault:
            self.wrong.append(f"{what}: {fault}")


def content(folder: Path, *besides: str) -> dict[str, bytes]:
    """All files of a folder but for some names (a run's manifest holds times)."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in besides
    }


def difference(one: dict[str, bytes], other: dict[str, bytes]) -> str:
    """How two contents differ, in a few words."""
    names = sorted(set(one) ^ set(other)) + sorted(name for name in set(one) & set(other) if one[name] != other[name])
    return f"other files: {', '.join(names[:4])}" if names else ""


def processes(mark: str) -> list[int]:
    """Processes with a mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def gone(mark: str, seconds: float = 2.0) -> bool:
    """Whether no process of a mark is left within some time."""
    end = time.monotonic() + seconds
    while processes(mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def spread(count: int, most: int) -> list[int]:
    """Numbers from 1 to ``count``: all, or ``most`` of them, evenly, first and last among them."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(k * (count - 1) / (most - 1)) for k in range(most)})
