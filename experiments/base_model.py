"""What limits the base model: validation loss per noise level against steps and number of training sequences.

``python experiments/base_model.py --data DIR --out base-model --figures docs/figures`` fine-tunes the compact model on
the MD of `peptides-train-v2` that lies in DIR (default: what is embedded), each time on another number of sequences,
on MD of another length, with dropout or weight decay, and trains networks of three sizes from random weights. It writes
``base-model.csv`` and ``base-model.svg``. A tenth of the sequences is held out, with all of its MD, the same for every
row. No validation or test suite is read. A run that was stopped is resumed.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mdtraj
import pandas as pd

import ebabench
from ebabench.datasets.suites import load_suite
from ebabench.system.registry import folder as package_folder
from ebabench.training.validation import is_held_out

SUITE = "peptides-train-v2"
HELD_OUT = 0.1
BASINS = 4  # of the eight noise levels, the highest: they decide which basin a conformation is in
_SETTINGS = {
    **{"steps": 2500, "warmup": 100, "learning_rate": 5e-4, "seed": 2, "checkpoint_every": 100},
    **{"held_out": HELD_OUT, "validate_every": 100, "patience": 8},
}


@dataclass(frozen=True)
class Row:
    """One training: on so many sequences and frames of each (None for all), from a checkpoint or random weights."""

    name: str
    sequences: int | None = None
    frames: int | None = None
    start: str | None = "pretrained"
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)


_FROM_RANDOM: Mapping[str, Any] = {"start": None, "settings": {"learning_rate": 1e-3}}
ROWS = (
    Row("sequences-all"),
    Row("sequences-90", 90),
    Row("sequences-225", 225),
    Row("225-of-2-ns", 225, 40),  # a frame is 50 ps: as much MD as the next
    Row("900-of-0.5-ns", 900, 10),
    Row("all-dropout", settings={"dropout": 0.1}),
    Row("all-decay", settings={"weight_decay": 1.0}),
    Row("random-64x3", **_FROM_RANDOM, model={"width": 64, "depth": 3}),
    Row("random-128x5", **_FROM_RANDOM),  # the shape of what is shipped
    Row("random-192x6", **_FROM_RANDOM, model={"width": 192, "depth": 6}),
)


def present(data: Path) -> list[str]:
    """Return the names of the suite's targets with MD in a folder, in the order of a hash of their names."""
    names = [target.name for target in load_suite(SUITE).targets if (data / target.name / "provenance.json").is_file()]
    return sorted(names, key=lambda name: hashlib.sha256(f"order {name}".encode()).digest())


def write_suite(names: Sequence[str], sequences: int | None, path: Path) -> int:
    """Write a suite of all held-out targets and so many that train, and return how many those are."""
    training = [name for name in names if not is_held_out(name, HELD_OUT)][:sequences]
    chosen = [name for name in names if is_held_out(name, HELD_OUT)] + training
    suite = load_suite(SUITE)
    head = f'id = "{path.stem}"\ntitle = "Part of {SUITE}"\nsplit = "train"\nfamily = "{suite.family}"\n'
    head += (
        f'tier = "{suite.tier}"\nprotocol = "{suite.protocol}"\nenergy = "{suite.energy}"\nsamples = 250\nseed = 1\n'
    )
    targets = "".join(f'\n[[targets]]\nname = "{name}"\nsequence = "{name}"\n' for name in chosen)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + targets)
    return len(training)


def shorten(names: Sequence[str], data: Path, frames: int, out: Path) -> Path:
    """Write a folder of MD with the first frames of every sequence that trains, and all of those held out."""
    for name in names:
        if (out / name / "provenance.json").is_file():
            continue
        shutil.copytree(data / name, out / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("provenance.json"))
        if not is_held_out(name, HELD_OUT):
            topology = out / name / f"{name}.pdb"
            for path in out.joinpath(name).glob("*.xtc"):
                mdtraj.load(path, top=topology)[:frames].save(path)
        shutil.copy(data / name / "provenance.json", out / name)
    return out


def make(row: Row, names: Sequence[str], data: Path, out: Path) -> pd.DataFrame:
    """Train a row, and return its validation losses: step, sigma, training, held_out, value, with row and sequences."""
    suite = out / "suites" / f"{row.name}.toml"
    if not suite.is_file():  # more MD may have come since a run that is resumed
        write_suite(names, row.sequences, suite)
    training = sum(not is_held_out(target.name, HELD_OUT) for target in load_suite(str(suite)).targets)
    if row.frames is not None:
        data = shorten(names, data, row.frames, out / f"first-{row.frames}-frames")
    start = package_folder("ebabench.models.eba") / "checkpoints" / str(row.start) / "model.safetensors"
    ebabench.align(
        out / row.name,
        "sft",
        [str(suite)],
        data=data,
        start=start if row.start else None,
        settings={**_SETTINGS, **row.settings},
        model=row.model,
        threads=1,
        remark=lambda text: print(f"{row.name}: {text}", flush=True),
    )
    table = pd.read_csv(out / row.name / "validation.csv")
    return table.assign(row=row.name, sequences=training)


def draw_figure(table: pd.DataFrame, path: Path) -> None:
    """Draw losses at the levels that decide basins against steps, and the least losses per noise level."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    against_steps, against_noise = figure.subplots(1, 2)
    high = table[table.sigma.isin(sorted(table.sigma.unique())[-BASINS:])]
    for (name, of_row), colour in zip(table.groupby("row", sort=False), colormaps["tab10"].colors, strict=False):
        means = high[high.row == name].groupby("step")[["held_out", "training"]].mean()
        against_steps.plot(means.index, means.held_out, color=colour, label=str(name))
        against_steps.plot(means.index, means.training, color=colour, ls=":")
        best = of_row[of_row.step == of_row.step[of_row.value.idxmin()]]
        against_noise.plot(best.sigma, best.held_out, color=colour, marker=".")
        against_noise.plot(best.sigma, best.training, color=colour, ls=":")
    against_steps.set(xlabel="steps", ylabel=f"denoising loss, the {BASINS} highest noise levels", ylim=(0.42, 0.52))
    against_noise.set(xlabel="sigma", ylabel="denoising loss at the step that is kept", xscale="log")
    figure.legend(*against_steps.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle("solid: held out; dotted: training", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Make all rows, then the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the MD; default: what is embedded")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--figures", type=Path, required=True, help="folder for base-model.csv and base-model.svg")
    chosen = parser.parse_args()
    data = chosen.data or package_folder("ebabench.datasets") / "peptides" / SUITE
    names = present(data)
    tables: list[pd.DataFrame] = []
    for row in ROWS:
        tables.append(make(row, names, data, chosen.out))
        table = pd.concat(tables)[["row", "sequences", "step", "sigma", "training", "held_out", "value"]]
        chosen.figures.mkdir(parents=True, exist_ok=True)
        table.to_csv(chosen.figures / "base-model.csv", index=False, float_format="%.4g", lineterminator="\n")
        draw_figure(table, chosen.figures / "base-model.svg")


if __name__ == "__main__":
    main()
