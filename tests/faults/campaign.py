"""The commands of a campaign: what each needs to start from, what it leaves, and what is left out of comparisons."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from command import Tiny
from harness import End, Zygote, content
from server import Server

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
[[ensembles]]
suite = "tiny-v1"
url = "{url}/e.zip"
[sampling]
amplitude = 0.1
"""
LEARNT = "DEMSLSFKIPDK"
FEW = f"""
id = "few-v1"
title = "One"
split = "train"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
energy = "amber99sbildn-obc"
samples = 10
seed = 1
[[targets]]
name = "{LEARNT}"
sequence = "{LEARNT}"
"""


@dataclass(frozen=True)
class Command:
    """One command. ``prepare`` fills an empty folder with what it needs; ``kept`` are the folders that are compared."""

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]
    kept: tuple[str, ...]
    besides: tuple[str, ...] = ("manifest.json",)
    code: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, zygote: Zygote, folder: Path, **request: object) -> End:
        """Run it in a folder that ``prepare`` has filled."""
        code = f"{self.code}\n{request.pop('code', '')}"
        environment = {**self.environment, "EBABENCH_CACHE": str(folder / "cache")}
        return zygote.run(*self.arguments, cwd=folder, code=code, environment=environment, **request)

    def left(self, folder: Path) -> dict[str, bytes]:
        """What it left."""
        found = {}
        for name in self.kept:
            files = content(folder / name, *self.besides) if (folder / name).is_dir() else {}
            found |= {f"{name}/{path}": data for path, data in files.items()}
            if (folder / name).is_file():
                found[name] = (folder / name).read_bytes()
        return found


def commands(tiny: Tiny, server: Server, zipped: bytes) -> Commands:
    """All commands of the campaign, by name."""
    server.files = {"/w.bin": WEIGHTS, "/e.zip": zipped}

    def suite(folder: Path) -> None:
        shutil.copy(tiny.suite, folder)
        (folder / "data").symlink_to(tiny.data)
        (folder / "thing.toml").write_text(CARD.format(url=server.url))

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
        (folder / "few" / LEARNT).symlink_to(embedded / LEARNT)
        shutil.copy(installed("ebabench.models.eba") / "checkpoints" / "sft" / "model.safetensors", folder / "start")

    options = ("--suite", "tiny-v1.toml", "--data", "data")
    only = ("--target", "AGS")
    fetching = ("fetch", "ensembles", "thing.toml", "--suite", "tiny-v1.toml", "--out", "got")
    energy = ("energy", *options, *only, "--stride", "10", "--out", "energy.csv")
    simulate = ("simulate", *options[:2], *only, "--out", "made", "--work", "work")
    steps = ("--set", "steps=4", "--set", "checkpoint_every=2", "--set", "batch_residues=32", "--threads", "1")
    align = ("align", "--objective", "sft", "--suite", "few-v1.toml", "--data", "few", "--stride", "120", *steps)
    score = ("score", *options, "--ensembles", "mine", "--name", "mine", *METRIC)
    boards = ("runs", "leaderboards")
    known = (
        Command("run", ("run", *options, "--model", "static", *METRIC), suite, boards),
        Command("score", score, scored, boards),
        Command("simulate", simulate, suite, ("made",), ("provenance.json",)),
        Command("energy", energy, suite, ("energy.csv",)),
        Command("fetch", fetching, suite, ("got",), (), IMPATIENT),
        Command("models install", ("models", "install", "thing.toml"), suite, ("cache/weights",), (), IMPATIENT),
        Command("site", ("site", "peptides-v1.csv", "--out", "site"), board, ("site",), ()),
        Command("align", (*align, "--start", "start", "--out", "out"), training, ("out",)),
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
