"""Servers that fail or lie, archives that attack: waited out or refused in one line, and nothing is written outside."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign import AllUndisturbed, Commands
from harness import Tally, Zygote, difference
from server import Server, zipped

FETCHES = {"fetch": "/e.zip", "models install": "/w.bin"}
FAULTS: dict[str, object] = {
    "403": 403,
    "404": 404,
    "416": 416,
    "429": 429,
    "500": 500,
    "503": 503,
    "cut at the first byte": ("cut", 1),
    "cut in the middle": ("cut", 900),
    "silent for 0.8 s, more than it waits": ("silent", 0.8),
    "8 kB every 0.05 s": ("slow", 0.05),
    "200 in place of 206 and the other way round": ("status", 206),
    "204 with a body": ("status", 204),
    "a length that is none": ("headers", {"Content-Length": "abc"}),
    "a negative length": ("headers", {"Content-Length": "-5"}),
    "too short a length": ("headers", {"Content-Length": "10"}),
    "too great a length": ("headers", {"Content-Length": "99999999"}),
    "a length of a terabyte": ("headers", {"Content-Length": str(1 << 40)}),
    "no length, a body without an end": ("endless", 4 << 20),
    "compressed, it says, and is not": ("headers", {"Content-Encoding": "gzip"}),
    "to a file of this machine": ("redirect", "file:///etc/hostname"),
    "to itself": ("redirect", "/e.zip"),
    "to a host that is not there": ("redirect", "http://nowhere.invalid/x"),
    "to a port where nobody listens": ("redirect", "http://127.0.0.1:9/x"),
    "to nowhere": ("redirect", ""),
}
SAMPLE = ("cut in the middle",)


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.campaign) for name in FAULTS]
)
def test_server(fault: str, undisturbed: AllUndisturbed, server: Server, tally: Tally, whole: bool) -> None:
    """Once, and without an end; afterwards the same command ends well."""
    with tally.case(f"a server: {fault}") as case:
        for name, path in FETCHES.items() if whole else [("models install", "/w.bin")]:
            one = undisturbed[name]
            for times in (1, 40) if whole else (1,):
                server.faults[path] = [FAULTS[fault]] * times
                what = one.disturbed(0, 1, 2, between=lambda _: server.faults.clear())
                case.note(f"{name}, {times} times", what)


def _tar(mode: str, *members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{mode}") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
    return out.getvalue()


def _member(name: str, size: int = 10, **more: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    for key, value in more.items():
        setattr(member, key, value)
    return member


def _link(kind: bytes, to: str) -> tarfile.TarInfo:
    return _member("AGS.pdb", 0, type=kind, linkname=to)


def _zip_of(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def _twice() -> bytes:
    return _tar("", _member("AGS.pdb"), _member("AGS.pdb", 12))


ATTACKS: dict[str, Callable[[], bytes]] = {
    "zip: ../../out.pdb": lambda: zipped({"../../out.pdb": b"x"}),
    "zip: /tmp path": lambda: zipped({"/ebabench-out.pdb": b"x"}),
    "zip: back-slashes": lambda: zipped({"..\\..\\out.pdb": b"x"}),
    "zip: a bomb": lambda: _zip_of("AGS.pdb", bytes(300 << 20)),
    "zip: no file in it": lambda: zipped({}),
    "zip: a damaged directory": lambda: zipped({"AGS.pdb": b"x" * 99})[:-9] + b"\xff" * 9,
    "tar: ../../out.pdb": lambda: _tar("", _member("../../out.pdb")),
    "tar.gz: absolute": lambda: _tar("gz", _member("/ebabench-out.pdb")),
    "tar: a link to /etc": lambda: _tar("", _link(tarfile.SYMTYPE, "/etc/hostname")),
    "tar: a hard link out": lambda: _tar("", _link(tarfile.LNKTYPE, "../../../etc/hostname")),
    "tar: a pipe": lambda: _tar("", _link(tarfile.FIFOTYPE, "")),
    "tar: a device": lambda: _tar("", _member("AGS.pdb", 0, type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "tar: one name twice": _twice,
    "tar.xz: cut": lambda: _tar("xz", _member("AGS.pdb", 5000))[:-20],
    "tar.bz2: a bomb": lambda: _tar("bz2", _member("AGS.pdb", 300 << 20)),
    "a web page": lambda: b"<!DOCTYPE html><html><body>log in</body></html>",
    "nothing": lambda: b"",
    "something else": lambda: bytes(range(256)) * 8,
}


@pytest.mark.campaign
@pytest.mark.parametrize("attack", ATTACKS)
def test_archive(
    attack: str,
    known: Commands,
    server: Server,
    zygote: Zygote,
    undisturbed: AllUndisturbed,
    tmp_path: Path,
    tally: Tally,
) -> None:
    expected, sound = undisturbed["fetch"].left, server.files["/e.zip"]
    parent = tmp_path / "parent"
    folder = parent / "folder"
    folder.mkdir(parents=True)
    known["fetch"].prepare(folder)
    text = (folder / "thing.toml").read_text()
    (folder / "thing.toml").write_text(text.replace(f'sha256 = "{hashlib.sha256(sound).hexdigest()}"', ""))
    before = {path for path in tmp_path.rglob("*") if "got" not in path.parts}
    with tally.case("archives that attack") as case:
        server.files["/e.zip"] = ATTACKS[attack]()
        try:
            end = known["fetch"].run(zygote, folder, memory=600 << 20)
        finally:
            server.files["/e.zip"] = sound
        fault = end.fault(1, 2)
        new = {path for path in tmp_path.rglob("*") if not {"got", "cache"} & set(path.parts)} - before
        fault = fault or (f"written outside: {new}" if new or Path("/ebabench-out.pdb").exists() else "")
        links = [
            path.name for path in folder.rglob("got/**/*") if path.is_symlink() or not (path.is_file() or path.is_dir())
        ]
        fault = fault or (f"links or devices: {links}" if links else "")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "data" not in path.parts)
        fault = fault or (f"{size >> 20} MB were left" if size > 64 << 20 else "")
        again = known["fetch"].run(zygote, folder)
        case.note(attack, fault or again.fault(0) or difference(known["fetch"].left(folder), expected))
