"""Killed, interrupted or refused the disk at any moment: the same command then ends with the same bytes."""

from __future__ import annotations

import errno
import random
import shutil
import signal
from pathlib import Path

import pytest
from campaign import Command, Commands
from harness import Tally, Zygote, difference, gone, spread

NAMES = ("run", "score", "simulate", "energy", "fetch", "models install", "models new", "site", "align")
SAMPLE = {"kill": {"run": 3, "fetch": 2, "models new": 2}, "fail": {"run": 2, "models new": 2}, "signal": {"fetch": 2}}
WHOLE = {"kill": 14, "fail": 8, "signal": 3}
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Undisturbed:
    """A command that nothing disturbed: how often it writes, how long it takes, and what it leaves."""

    def __init__(self, command: Command, zygote: Zygote, folder: Path) -> None:
        self.command, self.zygote, self.folder, self.number = command, zygote, folder, 0
        place = folder / "count"
        end, whole = self._run(fault={"kind": "count", "events": str(place)})
        assert not end.fault(0), end.fault(0)
        self.events, self.left, self.seconds = int(place.read_text()), command.left(whole), end.seconds
        assert self.left

    def _run(self, **request: object):
        self.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir(parents=True)
        self.command.prepare(folder)
        return self.command.run(self.zygote, folder, **request), folder

    def disturbed(self, *codes: int, **request: object) -> str:
        """What goes wrong when a fault comes, and the same command then goes on."""
        end, folder = self._run(**request)
        fault = end.fault(0, *codes) or ("" if gone(str(folder)) else "a process is left")
        again = self.command.run(self.zygote, folder)
        fault = fault or again.fault(0) or difference(self.command.left(folder), self.left)
        stray = [path.name for path in folder.rglob(".*") if path.suffix in (".tmp", ".part", ".lock")]
        shutil.rmtree(folder, ignore_errors=True)
        return fault or (f"stray files: {', '.join(stray[:3])}" if stray else "")


@pytest.fixture(scope="module")
def undisturbed(known: Commands, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory):
    """A command that nothing disturbed, by its name."""
    made: dict[str, Undisturbed] = {}

    def one(name: str) -> Undisturbed:
        if name not in made:
            made[name] = Undisturbed(known[name], zygote, tmp_path_factory.mktemp("kills"))
        return made[name]

    return one


def cases(kind: str) -> list[object]:
    """Names of commands: those of the sample, and those that the whole campaign has besides."""
    besides = [pytest.param(name, marks=pytest.mark.campaign) for name in NAMES if name not in SAMPLE[kind]]
    return [*SAMPLE[kind], *besides]


@pytest.mark.parametrize("name", cases("kill"))
def test_a_kill_at_any_write(name: str, undisturbed, tally: Tally, whole: bool) -> None:
    one = undisturbed(name)
    with tally.case(f"`{name}` killed as it writes") as case:
        for at in spread(one.events, WHOLE["kill"] if whole else SAMPLE["kill"][name]):
            case.note(f"event {at} of {one.events}", one.disturbed(-signal.SIGKILL, fault={"kind": "kill", "at": at}))


@pytest.mark.campaign
@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_a_random_moment(name: str, undisturbed, tally: Tally) -> None:
    one = undisturbed(name)
    moments = random.Random(16)
    with tally.case(f"`{name}` killed at random") as case:
        for _ in range(4):
            after = moments.uniform(0, one.seconds)
            case.note(f"after {after:.2f} s", one.disturbed(-signal.SIGKILL, kill_after=after))


@pytest.mark.parametrize("name", cases("fail"))
def test_a_disk_that_refuses_at_any_write(name: str, undisturbed, tally: Tally, whole: bool) -> None:
    one = undisturbed(name)
    with tally.case(f"`{name}` refused a write: disk full, quota, rights, read-only") as case:
        for at in spread(one.events, WHOLE["fail"] if whole else SAMPLE["fail"][name]):
            number = REFUSALS[at % len(REFUSALS)]
            fault = {"kind": "fail", "at": at, "errno": number}
            case.note(f"{errno.errorcode[number]} at event {at} of {one.events}", one.disturbed(1, 2, fault=fault))


@pytest.mark.parametrize("name", cases("signal"))
def test_a_signal_at_any_write(name: str, undisturbed, tally: Tally, whole: bool) -> None:
    one = undisturbed(name)
    with tally.case(f"`{name}` sent SIGINT, SIGTERM, SIGHUP") as case:
        for at in spread(one.events, WHOLE["signal"] if whole else SAMPLE["signal"][name]):
            number = SIGNALS[at % len(SIGNALS)]
            fault = {"kind": "signal", "at": at, "signal": int(number)}
            case.note(f"{number.name} at event {at} of {one.events}", one.disturbed(1, fault=fault))
