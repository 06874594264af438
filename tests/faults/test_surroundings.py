"""Odd surroundings: streams that are closed, no home, no room, names of any bytes, clocks that jump, little memory."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from campaign import AllUndisturbed, Commands
from harness import Tally, Zygote, content, difference

FULL = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
BROKEN = "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1)"


@dataclass(frozen=True)
class Oddity:
    """``codes``: how a command may end. Afterwards it ends as always, in usual surroundings."""

    codes: tuple[int, ...]
    request: dict[str, object] = field(default_factory=dict)


ODDITIES = {
    "standard output closed": Oddity((0,), {"code": "import os; os.close(1)"}),
    "standard output and errors closed": Oddity((0,), {"code": "import os; os.close(1); os.close(2)"}),
    "standard input closed": Oddity((0,), {"code": "import os; os.close(0)"}),
    "output to a full disk": Oddity((0, 1), {"code": FULL}),
    "output to a pipe that nobody reads": Oddity((0, 1), {"code": BROKEN}),
    "no HOME": Oddity((0,), {"without": ["HOME", "XDG_CACHE_HOME", "USER", "LOGNAME"]}),
    "a HOME that is not there": Oddity((0,), {"environment": {"HOME": "/nonexistent"}}),
    "a TMPDIR that is not there": Oddity((0,), {"environment": {"TMPDIR": "/nonexistent"}}),
    "a cache that cannot be made": Oddity((0, 1), {"environment": {"EBABENCH_CACHE": "/proc/nowhere"}}),
    "files of 2 kB at most": Oddity((0, 1, 2), {"limits": {"FSIZE": 2048}}),
    "files of 0 bytes": Oddity((1, 2), {"limits": {"FSIZE": 0}}),
    "48 open files at most": Oddity((0, 1), {"limits": {"NOFILE": 48}}),
    "a terminal of 20 columns": Oddity((0,), {"environment": {"COLUMNS": "20"}}),
    "no name of a terminal": Oddity((0,), {"environment": {"TERM": "", "NO_COLOR": "1"}}),
    "an hour in the past": Oddity((0,), {"code": "import time; now = time.time; time.time = lambda: now() - 3600"}),
}
SAMPLE = ("standard output closed", "files of 2 kB at most")
NAMES = ("run", "energy", "models install")


@pytest.mark.parametrize(
    "oddity", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.campaign) for name in ODDITIES]
)
def test_oddity(oddity: str, undisturbed: AllUndisturbed, tally: Tally, whole: bool) -> None:
    odd = ODDITIES[oddity]
    with tally.case(f"surroundings: {oddity}") as case:
        for name in NAMES if whole else NAMES[-1:]:
            case.note(name, undisturbed[name].disturbed(*odd.codes, **odd.request))


FOLDERS = {
    "spaces": "a folder  with spaces ",
    "unicode": "Ordner für Größe — 蛋白质 🧬",
    "a line break": "one\ntwo",
    "quotes and signs": 'it\'s "$HOME" `x` ; & | * ? [a] {b} %s <b>',
    "a dash": "-n",
    "255 bytes": "x" * 255,
}


@pytest.mark.campaign
@pytest.mark.parametrize("kind", [*FOLDERS, "bytes that are no text", "a link"])
def test_folder_of_an_odd_name(kind: str, known: Commands, zygote: Zygote, tmp_path: Path, tally: Tally) -> None:
    """The same bytes come of it wherever they lie."""
    with tally.case(f"a folder's name: {kind}") as case:
        for name in ("run", "score", "fetch", "site"):
            plain = tmp_path / f"plain-{name.split()[0]}"
            plain.mkdir()
            known[name].prepare(plain)
            known[name].run(zygote, plain)
            (tmp_path / name).mkdir()
            folder = _folder(tmp_path / name, kind)
            known[name].prepare(folder)
            end = known[name].run(zygote, folder)
            case.note(name, end.fault(0) or difference(known[name].left(folder), known[name].left(plain)))


def _folder(parent: Path, kind: str) -> Path:
    if kind == "a link":
        (parent / "real").mkdir()
        (parent / "link").symlink_to("real")
        return parent / "link"
    folder = parent / (os.fsdecode(b"\xff\xfe") if kind not in FOLDERS else FOLDERS[kind])
    folder.mkdir()
    return folder


# Another user, who may read everything, as Python may be installed where only root looks, and writes what is theirs.
NOBODY = """
import ctypes, os
library, reads = ctypes.CDLL(None), 1 << 2
assert library.prctl(8, 1, 0, 0, 0) == 0
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
version, kept = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(reads, reads, 0, 0, 0, 0)
assert library.capset(version, kept) == 0
"""


@pytest.mark.campaign
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_folders_of_somebody_else(known: Commands, zygote: Zygote, tally: Tally) -> None:
    """A user who may read and not write: one line that names the place, and what is there stays."""
    with tally.case("folders of another user") as case, TemporaryDirectory() as open_to_all:
        for name in known:
            folder = Path(open_to_all) / name.replace(" ", "-")
            folder.mkdir()
            known[name].prepare(folder)
            if (data := folder / "data").is_symlink():  # to a folder of root
                shutil.copytree(data.resolve(), folder / "copied")
                data.unlink()
                (folder / "copied").rename(data)
            before = content(folder)
            for path in (folder.parent, folder, *folder.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() else 0o644)
            end = known[name].run(zygote, folder, code=NOBODY)
            fault = end.fault(1, 2)
            if not fault and "ermission" not in end.errors:
                fault = f"says nothing of permission: {end.errors.strip()}"
            case.note(name, fault or difference(content(folder), before))


@pytest.mark.campaign
@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumped(days: int, undisturbed: AllUndisturbed, tally: Tally) -> None:
    """What was half done, all files of which are dated otherwise, is gone on with."""

    def dated(folder: Path) -> None:
        moment = time.time() + days * 86400
        for path in folder.rglob("*"):
            if not path.is_symlink():
                os.utime(path, (moment, moment))

    with tally.case(f"a clock that jumped by {days} days") as case:
        for name in ("run", "score", "simulate", "energy", "align"):
            one = undisturbed[name]
            fault = {"kind": "kill", "at": one.events // 2}
            case.note(name, one.disturbed(-signal.SIGKILL, between=dated, fault=fault))


@pytest.mark.campaign
def test_little_memory(undisturbed: AllUndisturbed, tally: Tally) -> None:
    """Memory runs out sooner or later: one line, or a target that fails with that reason; later all is well."""
    with tally.case("memory runs out") as case:
        # OpenMM ends its process where it cannot start a thread: the pool's, of which the command then tells.
        for name, processes in (("run", False), ("run", True), ("energy", True), ("align", False)):
            for megabytes in (0, 4, 8, 16, 32, 128):
                fault = undisturbed[name].disturbed(0, 1, 2, memory=megabytes << 20, processes=processes)
                case.note(f"{name}{' in processes' * processes} with {megabytes} MB", fault)
