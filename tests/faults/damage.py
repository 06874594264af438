"""Damaged files: what a flipped byte, or a cut, makes of a reader. Readers run in forks of this process.

A damaged file is refused with an error of ebabench that names it, or read. What a format with a digest gives is then
what it was; other formats give numbers that are finite, and no more of them differ than one changed byte explains.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebabench.errors import EbabenchError

SECONDS = 10
MEMORY = 2 << 30  # bytes beyond what the process has


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        file: Its name, in a folder of its own.
        prepare: Fills an empty folder with the sound file, and what it needs beside it.
        read: Reads it as a user does, given its path.
        fault: What is wrong with what a damaged file gave, beside what the sound one gives; empty if nothing is.
            Its last argument tells whether the file was cut.
    """

    file: str
    prepare: Callable[[Path], None]
    read: Callable[[Path], Any]
    fault: Callable[[Any, Any, bool], str]


@dataclass
class Outcome:
    """What became of some tries: how many files were refused, read as the sound one, read with a change, or worse."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def damaged(data: bytes, number: int, seed: int, cut: bool) -> tuple[str, bytes]:
    """A damage by its number, in words, and the bytes with it."""
    chance = random.Random(f"{seed}|{number}|{cut}")
    at = chance.randrange(len(data))
    if cut:
        return f"cut after {at} of {len(data)} bytes", data[:at]
    new = data[at] ^ (1 << chance.randrange(8) if chance.random() < 0.5 else chance.randrange(1, 256))
    return f"byte {at} of {len(data)}: {data[at]} to {new}", data[:at] + bytes([new]) + data[at + 1 :]


def campaign(kind: Format, folder: Path, flips: int, cuts: int, seed: int = 16) -> Outcome:
    """Damage a file so often, and read it each time, in two processes."""
    folders = [folder / "0", folder / "1"]
    for one in folders:
        one.mkdir(parents=True)
        kind.prepare(one)
    expected = kind.read(folders[0] / kind.file)
    tries = [(number, False) for number in range(flips)] + [(number, True) for number in range(cuts)]
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(_portion, kind, one, expected, tries[k::2], seed) for k, one in enumerate(folders)]
    outcomes = [half.result() for half in halves]
    return Outcome(outcomes[0].counts + outcomes[1].counts, outcomes[0].wrong + outcomes[1].wrong)


def _portion(kind: Format, folder: Path, expected: Any, tries: list[tuple[int, bool]], seed: int) -> Outcome:
    data = (folder / kind.file).read_bytes()
    outcome, told = Outcome(), folder.parent / f"{folder.name}.told"
    while tries:
        told.write_text("")
        (folder / kind.file).write_bytes(data)
        status = _in_fork(lambda left=tries: _work(kind, folder / kind.file, expected, left, seed, told))
        lines = [json.loads(line) for line in told.read_text().splitlines()]
        for what, result, detail in lines:
            outcome.counts[result] += 1
            if result == "wrong":
                outcome.wrong.append(f"{what}: {detail}")
        tries = tries[len(lines) :]
        if tries and status:
            what, _ = damaged(data, tries[0][0], seed, tries[0][1])
            outcome.counts["wrong"] += 1
            ended = "hung" if -status == signal.SIGALRM else f"the process ended ({status})"
            outcome.wrong.append(f"{what}: {ended}")
            tries = tries[1:]
    return outcome


def _in_fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 70
        with suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _work(kind: Format, path: Path, expected: Any, tries: list[tuple[int, bool]], seed: int, told: Path) -> None:
    data = path.read_bytes()
    here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (here + MEMORY, here + MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    with told.open("a") as lines:
        for number, cut in tries:
            what, changed = damaged(data, number, seed, cut)
            path.write_bytes(changed)
            signal.alarm(SECONDS)
            result, detail = _one(kind, path, expected, cut)
            signal.alarm(0)
            lines.write(json.dumps([what, result, detail]) + "\n")
            lines.flush()


def _one(kind: Format, path: Path, expected: Any, cut: bool) -> tuple[str, str]:
    try:
        found = kind.read(path)
    except EbabenchError as error:
        message = str(error)
        if "\n" in message:
            return "wrong", f"more than one line: {message!r}"
        return ("refused", "") if path.name.split(".")[0] in message else ("wrong", f"names no file: {message}")
    except BaseException as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-2:])
        return "wrong", f"{type(error).__name__}: {error}\n{where}"
    try:
        if _same(expected, found):
            return "same", ""
        fault = kind.fault(expected, found, cut)
    except Exception as error:
        return "wrong", f"cannot be compared: {error!r}"
    return ("wrong", fault) if fault else ("changed", "")


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.shape(one) == np.shape(other) and np.array_equal(one, other)
    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def rows(outcomes: Mapping[str, tuple[int, int, Outcome]]) -> Iterator[str]:
    """A table of outcomes in Markdown: by format, flips and cuts that were tried, and what came of them."""
    yield "| file | bytes flipped | cut short | refused | read unchanged | read with the change | wrong |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, (flips, cuts, one) in outcomes.items():
        told = " | ".join(str(one.counts[key]) for key in ("refused", "same", "changed", "wrong"))
        yield f"| {name} | {flips} | {cuts} | {told} |"
