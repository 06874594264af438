"""``python tests/bench_target.py docs/figures``: where the time of scoring one target goes, as a table and a figure.

The work is made here: 260 residues, 3 x 1,001 frames of all 4,359 atoms as XTC files, 250 models of the 2,111 heavy
atoms in one PDB file of 42 MB; synthetic motion. Whole processes of `ebabench score` are timed with nothing cached and
with the reference cached. In this process, each step of scoring the model alone is timed, and each family of metrics
on the three pairs of the floor. Times are those of the processor, which other programs on the same machine lengthen by
less than those of the clock. ``--work FOLDER`` only makes the work there.
"""

from __future__ import annotations

import argparse
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
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import get_protocol
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.score import replica_pair, single_threaded_libraries
from ebabench.structures import Atoms, Ensemble, Target

SEQUENCE = "GSLMKNFVIVDLLASMKVLFWEKLLAHIVDAFSLGKLIVTRQYPEWKHLA"
NAME = "synthetic"
COLD, FLOOR, KEPT = "nothing cached", "floor", "reference cached"
START, WHOLE, CLOCK = "start, tables", "whole process", "whole process, clock"
COLOURS = (
    "#c6ccd2", "#8a929b", "#5b6770", "#e0a030", "#f2cf7e", "#7fb069", "#0b63b5", "#7fb2e5", "#c0392b", "#6a4c93",
    "#2e3338", "#e377c2", "#17a2a2", "#b5651d", "#9bd0c0", "#d4a5d9", "#556b2f", "#ff8c69", "#1f3a5f", "#a0a000",
    "#c0c0c0",
)  # fmt: skip


def with_hydrogens(target: Target) -> Target:
    """The same structure with its hydrogens, in the order of a force field's topology."""
    template = build_template(target.atoms, get_protocol("amber99sbildn-obc"))
    rows = [(atom.name, atom.residue.name, atom.residue.index) for atom in template.topology.atoms()]
    atoms = Atoms(*map(np.array, zip(*rows, strict=True)))
    return Target(
        target.name, target.sequence, atoms, template.complete(target.native[None])[0].astype(np.float32) * 10
    )


def write_work(folder: Path, residues: int, frames: int, samples: int) -> tuple[Path, Path]:
    """The reference in the ATLAS layout, with hydrogens, and the folder of the model's ensemble."""
    heavy = bundle((SEQUENCE * (residues // len(SEQUENCE) + 1))[:residues], max(residues // 20, 2))
    target = with_hydrogens(heavy)
    md, models = folder / "md", folder / "models"
    (md / NAME).mkdir(parents=True)
    models.mkdir()
    write_pdb(Ensemble(NAME, target.atoms, target.native[None]), md / NAME / f"{NAME}.pdb")
    for number in (1, 2, 3):
        with mdtraj.formats.XTCTrajectoryFile(str(md / NAME / f"{NAME}_prod_R{number}_fit.xtc"), "w") as file:
            file.write(wobble(target, frames, number, 1.0, 0.3) / 10)
    write_pdb(Ensemble(NAME, heavy.atoms, wobble(heavy, samples, 9, 1.3, 0.3)), models / f"{NAME}.pdb")
    return md, models


class Laps:
    """Seconds of the processor by step, in the order of the first lap."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}
        self._since = time.process_time()

    def __call__(self, step: str) -> None:
        now = time.process_time()
        self.found[step] = self.found.get(step, 0) + now - self._since
        self._since = now


def steps(md: Path, models: Path, *, floor: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of the processor for each step of scoring the model, and of the three pairs of the floor."""
    lap = Laps()
    ensemble, reference = read_ensemble(models / f"{NAME}.pdb", NAME), read_reference(md, NAME, "bench")
    lap("reading the model")
    pair = make_pair(ensemble, reference)
    lap("matching, checks")
    assert len(pair.md_ca)
    lap("reading the reference")
    for name in METRICS:
        METRICS.load(name).compute(pair)
        lap(name)
    of_floor = Laps()
    for replica in range(len(reference.replicas) if floor else 0):
        another = replica_pair(replica, pair, reference)
        of_floor("matching, checks")
        for name in METRICS:
            METRICS.load(name).compute(another)
            of_floor(name)
    return lap.found, of_floor.found


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
    """Seconds of the processor by step: of the model with nothing cached, of the floor, of the model from the cache."""
    os.environ["EBABENCH_CACHE"] = str(folder / "first")
    small = write_work(folder / "small", 66, 30, 10)
    work = write_work(folder / "work", 264, 1001, 250)
    found = {}
    with single_threaded_libraries():
        steps(*small, floor=True)  # compiles and loads whatever is loaded once
        found[COLD], found[FLOOR] = steps(*work, floor=True)
        found[KEPT], _ = steps(*work, floor=False)
    os.environ["EBABENCH_CACHE"] = str(folder / "second")
    whole(*small, folder / "compiling")
    for case in (COLD, KEPT):
        found[case][WHOLE], found[case][CLOCK] = whole(*work, folder / case)
    for case, parts in ((COLD, (COLD, FLOOR)), (KEPT, (KEPT,))):
        steps_of = sum(seconds for part in parts for step, seconds in found[part].items() if step not in (WHOLE, CLOCK))
        found[case][START] = found[case][WHOLE] - steps_of
    return found


def draw(found: dict[str, dict[str, float]], path: Path) -> None:
    """One bar per column of the table, one colour per step; steps that take no time are left out."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ebabench"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    every = [step for step in found[COLD] if step not in (WHOLE, CLOCK)]
    shown = [step for step in every if max(times.get(step, 0) for times in found.values()) > 0.02]
    left = np.zeros(len(found))
    for step, colour in zip(shown, COLOURS, strict=False):
        width = np.array([max(times.get(step, 0), 0) for times in found.values()])
        axes.barh(list(found), width, left=left, color=colour, label=step, edgecolor="white", linewidth=0.5)
        left += width
    axes.invert_yaxis()
    title = "One target: 260 residues, 4,359 atoms, 3 x 1,001 frames, 250 samples"
    axes.set(xlabel="seconds of the processor", title=title)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measures, prints, writes speed.csv and speed.svg."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("out", type=Path, nargs="?")
    options.add_argument("--work", type=Path)
    asked = options.parse_args()
    if asked.work:
        write_work(asked.work, 264, 1001, 250)
        return
    out = asked.out
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    out.mkdir(parents=True, exist_ok=True)
    with (out / "speed.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["step", *found])
        for step in found[COLD]:
            table.writerow([step, *(f"{times[step]:.3f}" if step in times else "" for times in found.values())])
    print((out / "speed.csv").read_text())
    draw(found, out / "speed.svg")


if __name__ == "__main__":
    main()
