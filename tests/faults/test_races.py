"""Several processes at once in one place: one result, nothing lost or torn, work shared or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import Command, Commands
from harness import Tally, Zygote, content, difference

NAMES = ("run", "score", "simulate", "energy", "fetch", "models install", "models new", "site", "align")
BUSY = ("another process", "by process ")


def _undisturbed(command: Command, zygote: Zygote, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    command.prepare(folder)
    end = command.run(zygote, folder)
    assert not end.fault(0), end.fault(0)
    return command.left(folder)


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.campaign) for name in NAMES[1:])])
def test_in_one_place(name: str, known: Commands, zygote: Zygote, tmp_path: Path, tally: Tally, whole: bool) -> None:
    command = known[name]
    expected = _undisturbed(command, zygote, tmp_path / "alone")
    with tally.case(f"`{name}` by 2 and by 4 processes at once") as case:
        for count in (2, 4) if whole else (2,):
            folder = tmp_path / str(count)
            folder.mkdir()
            command.prepare(folder)
            ends = [started.end() for started in [command.start(zygote, folder) for _ in range(count)]]
            fault = next(filter(None, (end.fault(0, 1, 2) for end in ends)), "")
            refused = [end.errors.strip() for end in ends if end.code]
            fault = fault or next((text for text in refused if not any(word in text for word in BUSY)), "")
            again = command.run(zygote, folder)
            fault = fault or again.fault(0) or difference(command.left(folder), expected)
            case.note(f"{count} processes, of which {len(refused)} refused", fault)


@pytest.mark.campaign
def test_one_cache(known: Commands, zygote: Zygote, tmp_path: Path, tally: Tally) -> None:
    command = known["run"]
    expected = _undisturbed(command, zygote, tmp_path / "alone")
    with tally.case("4 processes with one cache") as case:
        started = []
        for number in range(4):
            folder = tmp_path / str(number)
            folder.mkdir()
            command.prepare(folder)
            shared = {"EBABENCH_CACHE": str(tmp_path / "cache")}
            started.append((folder, command.start(zygote, folder, environment=shared)))
        for folder, one in started:
            case.note(folder.name, one.end().fault(0) or difference(command.left(folder), expected))


@pytest.mark.campaign
def test_one_leaderboard(known: Commands, zygote: Zygote, tmp_path: Path, tally: Tally) -> None:
    command = known["score"]
    _undisturbed(command, zygote, tmp_path / "alone")
    with tally.case("4 rows at once on one leaderboard") as case:
        for attempt in range(2):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            command.prepare(folder)
            names = [f"model{number}" for number in range(4)]
            started = [command.start(zygote, folder, more=("--name", name)) for name in names]
            fault = next(filter(None, (one.end().fault(0) for one in started)), "")
            table = (folder / "runs" / "leaderboards" / "tiny-v1.csv").read_text()
            lost = [name for name in names if f"\n{name}," not in table]
            for page in (folder / "runs" / "leaderboards").glob("tiny-v1.*"):
                lost += [f"{name} in {page.name}" for name in names if name not in page.read_text()]
            case.note(f"attempt {attempt}", fault or (f"lost: {', '.join(lost)}" if lost else ""))


# Root reads and writes what it likes, until it gives up that capability.
POWERLESS = """
import ctypes
version, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(version, none) == 0
"""


@pytest.mark.campaign
def test_read_only_folders(known: Commands, zygote: Zygote, tmp_path: Path, tally: Tally) -> None:
    """Nothing may be written: one line that names the place, and what is there stays."""
    with tally.case("folders that may not be written to") as case:
        for name in NAMES:
            folder = tmp_path / name.replace(" ", "-")
            folder.mkdir()
            known[name].prepare(folder)
            (folder / "cache").mkdir(exist_ok=True)
            before = content(folder)
            places = [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]
            for place in places:
                place.chmod(0o555)
            end = known[name].run(zygote, folder, code=POWERLESS)
            for place in places:
                place.chmod(0o755)
            fault = end.fault(1, 2)
            if not fault and "ermission" not in end.errors:
                fault = f"says nothing of permission: {end.errors.strip()}"
            case.note(name, fault or difference(content(folder), before))
