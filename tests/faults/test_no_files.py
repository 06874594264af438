"""What is no regular file, in the place of one, for every command: refused by its name, and never waited for."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from campaign import Commands
from harness import Tally, Zygote


def _socket(path: Path) -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as one:  # an address has 108 bytes
        one.bind(f"{short}/s")
        shutil.move(f"{short}/s", path)


def _loop(path: Path) -> None:
    path.symlink_to(f"{path.name}.other")
    path.with_name(f"{path.name}.other").symlink_to(path.name)


KINDS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "two links in a circle": _loop,
    "a folder": Path.mkdir,
}
SAMPLE = ("a pipe", "two links in a circle")
TINY = ("--suite", "tiny-v1.toml", "--data", "data")
TRAIN = ("align", "--objective", "sft", "--out", "out", "--threads", "1", "--set", "steps=2")
MINE = ("--name", "mine", "--metric", "rmsf_r")
PLACES = {
    "run --suite": ("x.toml", ("run", "--model", "static", "--suite", "x.toml")),
    "run --model": ("x.toml", ("run", "--model", "x.toml", *TINY)),
    "run --data": ("x", ("run", "--model", "static", "--suite", "tiny-v1.toml", "--data", "x")),
    "run --out": ("x", ("run", "--model", "static", *TINY, "--out", "x", "--metric", "rmsf_r")),
    "sample --suite": ("x.toml", ("sample", "--model", "static", "--suite", "x.toml")),
    "score --ensembles": ("x.pdb", ("score", *TINY, "--ensembles", "x.pdb", *MINE)),
    "score, an ensemble": ("mine/FAV.npz", ("score", *TINY, "--ensembles", "mine", *MINE)),
    "score --reference": ("x", ("score", "--reference", "x", "--ensembles", "mine", *MINE)),
    "score, a list of references": ("x.toml", ("score", "--reference", "x.toml", "--ensembles", "mine", *MINE)),
    "score, a reference": (
        "md/AGS/AGS_prod_R1_fit.xtc", ("score", *TINY[:2], "--data", "md", "--ensembles", "mine", *MINE)
    ),
    "energy, a structure": ("x.pdb", ("energy", "x.pdb", "--forcefield", "amber14-gbn2")),
    "energy, a trajectory": ("x.xtc", ("energy", "x.xtc", "--forcefield", "amber14-gbn2")),
    "energy --out": ("x", ("energy", "mine/AGS.pdb", "--forcefield", "amber14-gbn2", "--out", "x/y.csv")),
    "simulate --suite": ("x.toml", ("simulate", "--suite", "x.toml")),
    "simulate --out": ("x", ("simulate", "--suite", "tiny-v1.toml", "--target", "AGS", "--out", "x", "--work", "w")),
    "inspect": ("x.npz", ("inspect", "x.npz", "--suite", "tiny-v1.toml")),
    "targets --suite": ("x.toml", ("targets", "--suite", "x.toml")),
    "leakage --model": ("x.toml", ("leakage", "--model", "x.toml")),
    "leakage --run": ("x", ("leakage", "--model", "eba", "--run", "x")),
    "compare": ("x", ("compare", "x", "x")),
    "plot": ("x", ("plot", "x")),
    "md-error": ("x", ("md-error", "x")),
    "md-time": ("x", ("md-time", "x")),
    "leaderboard --runs": ("x", ("leaderboard", "--suite", "tiny-v1.toml", "--runs", "x")),
    "leaderboard --verify, a board": ("tiny-v1.csv", ("leaderboard", "--verify", "tiny-v1.csv")),
    "leaderboard --verify, a run": ("x", ("leaderboard", "--verify", "x")),
    "site, a board": ("tiny-v1.csv", ("site", "tiny-v1.csv", "--out", "site")),
    "site, a folder": ("x", ("site", "x", "--out", "site")),
    "site --out": ("x", ("site", "peptides-v1.csv", "--out", "x")),
    "align --suite": ("x.toml", (*TRAIN, "--suite", "x.toml")),
    "align --config": ("x.json", (*TRAIN, "--config", "x.json")),
    "align --data": ("x", (*TRAIN, "--suite", "few-v1.toml", "--data", "x")),
    "align --samples": ("x", (*TRAIN, "--suite", "few-v1.toml", "--data", "few", "--samples", "x")),
    "align --start": ("x.safetensors", (*TRAIN, "--suite", "few-v1.toml", "--data", "few", "--start", "x.safetensors")),
    "align --denoiser": ("x.toml", (*TRAIN, "--suite", "few-v1.toml", "--data", "few", "--denoiser", "x.toml")),
    "fetch ensembles": ("x.toml", ("fetch", "ensembles", "x.toml", "--suite", "tiny-v1.toml")),
    "models install": ("x.toml", ("models", "install", "x.toml")),
    "models check": ("x.toml", ("models", "check", "x.toml")),
    "models new --out": ("x", ("models", "new", "novel", "--out", "x")),
}  # fmt: skip
# Where a folder is wanted or made, a folder is right.
FOLDERS = ("run --out", "simulate --out", "energy --out", "site --out", "models new --out", "run --data",
           "leaderboard --runs", "site, a folder", "score, an ensemble")  # fmt: skip
TOLD = ("inspect",)  # its answer is what would be refused


@pytest.mark.parametrize(
    "kind", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.campaign) for name in KINDS]
)
def test_what_is_no_regular_file(
    kind: str, known: Commands, zygote: Zygote, tmp_path: Path, tally: Tally, whole: bool
) -> None:
    chosen = [one for one in PLACES if kind != "a folder" or one not in FOLDERS]

    def refused(place: str) -> str:
        folder, (name, arguments) = tmp_path / f"{chosen.index(place)}", PLACES[place]
        folder.mkdir()
        for one in ("score", "align", "site"):
            known[one].prepare(folder)
        for target in ("AGS", "KDE", "FAV"):
            (folder / "md" / target).mkdir(parents=True)
            for file in (folder / "data" / target).iterdir():
                (folder / "md" / target / file.name).symlink_to(file.resolve())
        path = folder / name
        path.unlink(missing_ok=True)
        KINDS[kind](path)
        end = zygote.run(*arguments, cwd=folder, seconds=60, environment={"EBABENCH_CACHE": str(folder / "cache")})
        unnamed = "" if path.stem in end.errors + end.out else f"does not name it: {end.errors.strip()}"
        return end.fault(*((0, 2) if place in TOLD else (1, 2))) or unnamed

    with tally.case(f"in the place of a file or folder: {kind}") as case, ThreadPoolExecutor(2) as pool:
        turn = list(KINDS).index(kind)  # each place has a pipe in the whole campaign, and two of the other kinds
        places = chosen[::6] if not whole else chosen[turn % 2 :: 2] if turn else chosen
        for place, fault in zip(places, pool.map(refused, places), strict=True):
            case.note(place, fault)
