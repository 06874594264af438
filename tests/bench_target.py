"""``python tests/bench_target.py docs/figures``: where the time of scoring one target goes, as a table and a figure.

The work is made here: 264 residues without hydrogens, 3 x 1,001 frames of reference as XTC files, 250 models in one PDB
file; synthetic motion. Whole processes of `ebabench score` are timed from cold and with the reference's side kept, and
in this process each step of scoring the model alone. Times are those of the processor, which other programs on the same
machine lengthen by less than those of the clock.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mdtraj
import numpy as np
from proteins import bundle, wobble

from ebabench.datasets.references import read_reference
from ebabench.io.structure_files import read_ensemble, write_pdb
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.structures import Ensemble

SEQUENCE = "GSLMKNFVIVDLLASMKVLFWEKLLAHIVDAFSLGKLIVTRQYPEWKHLA"
NAME, REST = "synthetic", ("MD-vs-MD floor", "start, tables")
COLOURS = (
    "#c6ccd2", "#8a929b", "#5b6770", "#e0a030", "#f2cf7e", "#7fb069", "#0b63b5", "#7fb2e5", "#c0392b", "#6a4c93",
    "#2e3338", "#e377c2", "#17a2a2", "#b5651d", "#9bd0c0", "#d4a5d9", "#556b2f", "#ff8c69", "#1f3a5f", "#a0a000",
    "#c0c0c0",
)  # fmt: skip


def write_work(folder: Path, residues: int, frames: int, samples: int) -> tuple[Path, Path]:
    """The reference in the ATLAS layout, and the folder of the model's ensemble."""
    target = bundle((SEQUENCE * (residues // len(SEQUENCE) + 1))[:residues], max(residues // 20, 2))
    md, models = folder / "md", folder / "models"
    (md / NAME).mkdir(parents=True)
    models.mkdir()
    write_pdb(Ensemble(NAME, target.atoms, target.native[None]), md / NAME / f"{NAME}.pdb")
    for number in (1, 2, 3):
        with mdtraj.formats.XTCTrajectoryFile(str(md / NAME / f"{NAME}_prod_R{number}_fit.xtc"), "w") as file:
            file.write(wobble(target, frames, number, 1.0, 0.3) / 10)
    write_pdb(Ensemble(NAME, target.atoms, wobble(target, samples, 9, 1.3, 0.3)), models / f"{NAME}.pdb")
    return md, models


def steps(md: Path, models: Path) -> dict[str, float]:
    """Seconds of the processor for each step of scoring the model."""
    found = {}

    def lap(step: str, since: float) -> float:
        now = time.process_time()
        found[step] = now - since
        return now

    now = time.process_time()
    ensemble, reference = read_ensemble(models / f"{NAME}.pdb", NAME), read_reference(md, NAME, "bench")
    now = lap("reading the model", now)
    pair = make_pair(ensemble, reference)
    now = lap("matching, checks", now)
    assert len(pair.md_ca)
    now = lap("reading the reference", now)
    for name in METRICS:
        METRICS.load(name).compute(pair)
        now = lap(name, now)
    return found


def whole(md: Path, models: Path, out: Path) -> tuple[float, float]:
    """Seconds of the processor and of the clock that `ebabench score` takes as a process."""
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", "score", "--name", "bench"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [*command, "--ensembles", str(models), "--reference", str(md), "--out", str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """For "cold" and "kept": seconds of the processor by step, and of the clock for the whole."""
    os.environ["EBABENCH_CACHE"] = str(folder / "first")
    steps(*write_work(folder / "small", 66, 30, 10))  # compiles and loads whatever is loaded once
    md, models = write_work(folder / "work", 264, 1001, 250)
    found = {case: steps(md, models) for case in ("cold", "kept")}
    os.environ["EBABENCH_CACHE"] = str(folder / "second")
    processes = {case: whole(md, models, folder / case) for case in found}
    starting = processes["kept"][0] - sum(found["kept"].values())
    for case, (processor, clock) in processes.items():
        floor = processor - sum(found[case].values()) - starting
        found[case] |= {REST[0]: floor, REST[1]: starting, "all, processor": processor, "all, clock": clock}
    return found


def draw(found: dict[str, dict[str, float]], path: Path) -> None:
    """One bar a case, one colour a step; steps that take no time are left out."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ebabench"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    shown = [step for step in found["cold"] if not step.startswith("all") and found["cold"][step] > 0.02]
    left = np.zeros(len(found))
    assert len(shown) <= len(COLOURS)
    for step, colour in zip(shown, COLOURS, strict=False):
        width = np.array([max(times[step], 0) for times in found.values()])
        axes.barh(list(found), width, left=left, color=colour, label=step, edgecolor="white", linewidth=0.5)
        left += width
    axes.invert_yaxis()
    axes.set(xlabel="seconds of the processor", title="One target: 264 residues, 3 x 1,001 frames, 250 samples")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main(out: Path) -> None:
    """Measures, prints, writes speed.csv and speed.svg."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    out.mkdir(parents=True, exist_ok=True)
    with (out / "speed.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["step", *found])
        table.writerows([step, *(f"{times[step]:.3f}" for times in found.values())] for step in found["cold"])
    print((out / "speed.csv").read_text())
    draw(found, out / "speed.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
