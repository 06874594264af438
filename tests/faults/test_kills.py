"""Killed, interrupted or refused the disk at any moment: the same command then ends with the same bytes."""

from __future__ import annotations

import errno
import random
import signal

import pytest
from campaign import AllUndisturbed
from harness import Tally, spread

NAMES = ("run", "score", "simulate", "energy", "fetch", "models install", "models new", "site", "align")
SAMPLE = {"kill": {"run": 3, "models new": 2}, "fail": {"run": 2, "models new": 2}, "signal": {"fetch": 2}}
WHOLE = {"kill": 8, "fail": 6, "signal": 3}
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def cases(kind: str) -> list[object]:
    """Names of commands: those of the sample, and those that the whole campaign has besides."""
    besides = [pytest.param(name, marks=pytest.mark.campaign) for name in NAMES if name not in SAMPLE[kind]]
    return [*SAMPLE[kind], *besides]


@pytest.mark.parametrize("name", cases("kill"))
def test_a_kill_at_any_write(name: str, undisturbed: AllUndisturbed, tally: Tally, whole: bool) -> None:
    one = undisturbed[name]
    moments = spread(one.events, WHOLE["kill"] if whole else SAMPLE["kill"][name])
    faults = {f"event {at} of {one.events}": {"fault": {"kind": "kill", "at": at}} for at in moments}
    with tally.case(f"`{name}` killed as it writes") as case:
        one.all_disturbed(case, faults, 0, -signal.SIGKILL)


@pytest.mark.campaign
@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_a_random_moment(name: str, undisturbed: AllUndisturbed, tally: Tally) -> None:
    one, chance = undisturbed[name], random.Random(16)
    moments = [chance.uniform(0, one.seconds) for _ in range(4)]
    with tally.case(f"`{name}` killed at random") as case:
        one.all_disturbed(case, {f"after {at:.2f} s": {"kill_after": at} for at in moments}, 0, -signal.SIGKILL)


@pytest.mark.campaign
def test_a_kill_of_a_command_with_processes(undisturbed: AllUndisturbed, tally: Tally) -> None:
    one, chance = undisturbed["run"], random.Random(17)
    moments = [chance.uniform(1, 8) for _ in range(3)]
    with tally.case("`run --jobs 2` killed at random") as case:
        for at in moments:
            case.note(f"after {at:.2f} s", one.disturbed(0, -signal.SIGKILL, kill_after=at, processes=True))


@pytest.mark.parametrize("name", cases("fail"))
def test_a_disk_that_refuses_at_any_write(name: str, undisturbed: AllUndisturbed, tally: Tally, whole: bool) -> None:
    one, faults = undisturbed[name], {}
    for at in spread(one.events, WHOLE["fail"] if whole else SAMPLE["fail"][name]):
        number = REFUSALS[at % len(REFUSALS)]
        what = f"{errno.errorcode[number]} at event {at} of {one.events}"
        faults[what] = {"fault": {"kind": "fail", "at": at, "errno": number}}
    with tally.case(f"`{name}` refused a write: disk full, quota, rights, read-only") as case:
        one.all_disturbed(case, faults, 0, 1, 2)


@pytest.mark.parametrize("name", cases("signal"))
def test_a_signal_at_any_write(name: str, undisturbed: AllUndisturbed, tally: Tally, whole: bool) -> None:
    one, faults = undisturbed[name], {}
    for at in spread(one.events, WHOLE["signal"] if whole else SAMPLE["signal"][name]):
        number = SIGNALS[at % len(SIGNALS)]
        what = f"{number.name} at event {at} of {one.events}"
        faults[what] = {"fault": {"kind": "signal", "at": at, "signal": int(number)}}
    with tally.case(f"`{name}` sent SIGINT, SIGTERM, SIGHUP") as case:
        one.all_disturbed(case, faults, 0, 1)
