"""The commands of a campaign: what each needs to start from, what it leaves, and what is left out of comparisons."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from command import Tiny
from harness import Case, End, Started, Zygote, content, difference, gone
from server import Server

from ebabench.results.worth_columns import COST
from ebabench.system.registry import folder as installed

Commands = dict[str, "Command"]
METRIC = ("--metric", "rmsf_r")  # one cheap metric: a campaign is about files, not about figures
IMPATIENT = "import ebabench.system.download as m; m.TIMEOUT = (2.0, 0.5); m.BACKOFF = 0.01; m._LOOK = 0.1"
WEIGHTS = bytes(range(256)) * 400
CARD = """
name = "thing"
title = "Thing"
family = "test"
paper = "none"
licence = "MIT"
entry = "ebabench.models.static:build"
[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"
[[checkpoints]]
name = "main"
url = "{url}/w.bin"
sha256 = "{weights}"
[[ensembles]]
suite = "tiny-v1"
url = "{url}/e.zip"
sha256 = "{ensembles}"
[sampling]
amplitude = 0.1
"""
# Every amino acid must occur behind another residue, for the ideal geometry to be measured.
LEARNT = ("RKMMAAAAA", "IAFEGIECA", "EHRISHCQHL", "DEMSLSFKIPDK", "RYEMQHKVT", "WANLGLAK", "PIFRWSQI")
FEW = """
id = "few-v1"
title = "Few"
split = "train"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
energy = "amber99sbildn-obc"
samples = 10
seed = 1
""" + "".join(f'[[targets]]\nname = "{name}"\nsequence = "{name}"\n' for name in LEARNT)


@dataclass(frozen=True)
class Command:
    """One command. ``prepare`` fills an empty folder with what it needs; ``kept`` are the folders that are compared."""

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]
    kept: tuple[str, ...]
    besides: tuple[str, ...] = ("manifest.json",)
    code: str = ""

    def start(self, zygote: Zygote, folder: Path, **request: object) -> Started:
        """Start it in a folder that ``prepare`` has filled."""
        code = f"{self.code}\n{request.pop('code', '')}"
        environment = {"EBABENCH_CACHE": str(folder / "cache"), **request.pop("environment", {})}
        more = request.pop("more", ())
        return zygote.start(*self.arguments, *more, cwd=folder, code=code, environment=environment, **request)

    def run(self, zygote: Zygote, folder: Path, **request: object) -> End:
        """Run it to its end."""
        return self.start(zygote, folder, **request).end()

    def left(self, folder: Path) -> dict[str, bytes]:
        """What it left."""
        found = {}
        for name in self.kept:
            files = content(folder / name, *self.besides) if (folder / name).is_dir() else {}
            found |= {f"{name}/{path}": data for path, data in files.items()}
            if (folder / name).is_file():
                found[name] = (folder / name).read_bytes()
        return _without_costs(found) if self.name == "run" else found


def _without_costs(found: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a run but for how long it took, which its row tells (and the row's digest, and the pages)."""
    kept = {path: data for path, data in found.items() if not path.endswith((".md", ".html"))}
    for path, data in kept.items():
        if "leaderboards/" in path and path.endswith(".csv"):
            rows = list(csv.DictReader(io.StringIO(data.decode())))
            kept[path] = repr([{k: v for k, v in row.items() if k not in (*COST, "row")} for row in rows]).encode()
    return kept


class Undisturbed:
    """A command that nothing disturbed: how often it writes, how long it takes, and what it leaves."""

    def __init__(self, command: Command, zygote: Zygote, folder: Path) -> None:
        self.command, self.zygote, self.folder, self.numbers = command, zygote, folder, count(1)
        place = folder / "count"
        end, whole = self._run(fault={"kind": "count", "events": str(place)})
        assert not end.fault(0), end.fault(0)
        self.events, self.left, self.seconds = int(place.read_text()), command.left(whole), end.seconds
        assert self.left

    def _run(self, **request: object) -> tuple[End, Path]:
        folder = self.folder / str(next(self.numbers))
        folder.mkdir(parents=True)
        self.command.prepare(folder)
        return self.command.run(self.zygote, folder, **request), folder

    def disturbed(self, *codes: int, between: Callable[[Path], None] = lambda _: None, **request: object) -> str:
        """What goes wrong when a fault comes, and the same command then goes on. ``between`` is called meanwhile."""
        end, folder = self._run(**request)
        fault = end.fault(*codes) or ("" if gone(str(folder)) else "a process is left")
        between(folder)
        again = self.command.run(self.zygote, folder)
        fault = fault or again.fault(0) or difference(self.command.left(folder), self.left)
        stray = [path.name for path in folder.rglob(".*") if path.suffix in (".tmp", ".part", ".lock")]
        shutil.rmtree(folder, ignore_errors=True)
        return fault or (f"stray files: {', '.join(stray[:3])}" if stray else "")

    def all_disturbed(self, case: Case, faults: Mapping[str, Mapping[str, object]], *codes: int) -> None:
        """Note what goes wrong when each fault comes, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            ends = {what: pool.submit(self.disturbed, *codes, **fault) for what, fault in faults.items()}
        for what, end in ends.items():
            case.note(what, end.result())


class AllUndisturbed(dict[str, Undisturbed]):
    """Commands that nothing disturbed, each made when it is first asked for."""

    def __init__(self, known: Commands, zygote: Zygote, folder: Path) -> None:
        super().__init__()
        self.known, self.zygote, self.folder = known, zygote, folder

    def __missing__(self, name: str) -> Undisturbed:
        self[name] = Undisturbed(self.known[name], self.zygote, self.folder / name)
        return self[name]


def card(url: str, zipped: bytes) -> str:
    """A card whose weights and ensembles a server has."""
    weights, ensembles = (hashlib.sha256(data).hexdigest() for data in (WEIGHTS, zipped))
    return CARD.format(url=url, weights=weights, ensembles=ensembles)


def commands(tiny: Tiny, server: Server, zipped: bytes) -> Commands:
    """All commands of the campaign, by name."""
    server.files = {"/w.bin": WEIGHTS, "/e.zip": zipped}

    def suite(folder: Path) -> None:
        shutil.copy(tiny.suite, folder)
        (folder / "data").symlink_to(tiny.data)
        (folder / "thing.toml").write_text(card(server.url, zipped))

    def scored(folder: Path) -> None:
        suite(folder)
        (folder / "mine").mkdir()
        for name in ("AGS", "KDE", "FAV"):
            text = (tiny.data / name / f"{name}.pdb").read_text()
            models = "".join(f"MODEL {k}\n{_shaken(text, k)}ENDMDL\n" for k in range(1, 5))
            (folder / "mine" / f"{name}.pdb").write_text(models)

    def board(folder: Path) -> None:
        shutil.copy(installed("ebabench.leaderboards") / "peptides-v1.csv", folder)

    def training(folder: Path) -> None:
        (folder / "few-v1.toml").write_text(FEW)
        embedded = installed("ebabench.datasets") / "peptides" / "peptides-train-v1"
        (folder / "few").mkdir()
        for name in LEARNT:
            (folder / "few" / name).symlink_to(embedded / name)

    options = ("--suite", "tiny-v1.toml", "--data", "data")
    only = ("--target", "AGS")
    fetching = ("fetch", "ensembles", "thing.toml", "--suite", "tiny-v1.toml", "--out", "got")
    energy = ("energy", *options, *only, "--stride", "10", "--out", "energy.csv")
    simulate = ("simulate", *options[:2], *only, "--out", "made", "--work", "work")
    steps = ("--set", "steps=4", "--set", "checkpoint_every=2", "--set", "batch_residues=32", "--threads", "1")
    align = ("align", "--objective", "sft", "--suite", "few-v1.toml", "--data", "few", "--stride", "120", *steps)
    score = ("score", *options, "--ensembles", "mine", "--name", "mine", *METRIC)
    boards = ("runs",)
    known = (
        Command("run", ("run", *options, "--model", "static", *METRIC), suite, boards),
        Command("score", score, scored, boards),
        Command("simulate", simulate, suite, ("made",), ("provenance.json",)),
        Command("energy", energy, suite, ("energy.csv",)),
        Command("fetch", fetching, suite, ("got",), (), IMPATIENT),
        Command("models install", ("models", "install", "thing.toml"), suite, ("cache/weights",), (), IMPATIENT),
        Command("site", ("site", "peptides-v1.csv", "--out", "site"), board, ("site",), ()),
        # The bytes of torch's archive depend on whether its tensors were loaded; what they hold makes the weights.
        Command("align", (*align, "--out", "out"), training, ("out",), ("state.pt",)),
        Command("models new", ("models", "new", "novel", "--out", "new"), suite, ("new",)),
    )
    return {one.name: one for one in known}


def _shaken(text: str, seed: int) -> str:
    """The atoms of a PDB file, each moved by a little."""
    lines = []
    for number, line in enumerate(text.splitlines()):
        if line.startswith("ATOM"):
            digest = hashlib.sha256(f"{seed}|{number}".encode()).digest()
            x, y, z = (float(line[k : k + 8]) + (digest[k % 7] - 128) / 900 for k in (30, 38, 46))
            lines.append(f"{line[:30]}{x:8.3f}{y:8.3f}{z:8.3f}{line[54:]}\n")
    return "".join(lines)
