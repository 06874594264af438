"""``python experiments/atlas_rehearsal.py FOLDER``: what scoring the test split of ATLAS costs, on synthetic motion.

The 82 chains have their true sequences, folded as bundles of helices that shake, with hydrogens left out. Each target
is scored as a process of its own, with nothing cached and with the reference cached; then all 82 by one command. CPU
seconds, peak memory and fitted exponents are printed. ``FOLDER/rehearsal.csv`` gets a row after each process, and the
same command goes on from there. ``--targets 4 --frames 201`` does a part of it, without the one command. ``--whole``
does the one command only, ``--longest 3 --frames 10001`` the three longest chains only.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mdtraj
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from proteins import bundle, wobble

from ebabench.datasets.suites import load_suite
from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble, Target
from ebabench.system.process_pool import cores

SUITE, SAMPLES, PER_HELIX = "atlas-test-v1", 250, 20
APART = 5.0  # angstrom between helices: a turn is less than 12, and no frame of it 15, which is taken for a break
CHUNK = 500  # frames made at a time
COMPILING = 20  # frames of a reference that is scored first, to compile
CASES = ("cold", "kept")
COLUMNS = ("target", "residues", "frames", "case", "cpu_s", "clock_s", "peak_mib")


def fold(name: str, sequence: str) -> Target:
    """Return a bundle of helices with exactly this sequence."""
    helices = max(len(sequence) // PER_HELIX, 2)
    whole = -(-len(sequence) // helices) * helices
    padded = bundle((sequence + sequence)[:whole], helices, APART)
    kept = np.flatnonzero(padded.atoms.residue < len(sequence))
    return Target(name, sequence, padded.atoms.take(kept), padded.native[kept])


def write(target: Target, folder: Path, frames: int) -> None:
    """Write the reference of a target in the layout of ATLAS, and an ensemble of it."""
    md, models = folder / "md" / target.name, folder / "models"
    md.mkdir(parents=True, exist_ok=True)
    models.mkdir(exist_ok=True)
    for number in (1, 2, 3):
        with mdtraj.formats.XTCTrajectoryFile(str(md / f"{target.name}_prod_R{number}_fit.xtc"), "w") as file:
            for start in range(0, frames, CHUNK):
                file.write(wobble(target, min(CHUNK, frames - start), number * 1_000_000 + start, 1.0, 0.3) / 10)
    write_pdb(Ensemble(target.name, target.atoms, target.native[None]), md / f"{target.name}.pdb")
    written = folder / f"{target.name}.pdb"
    write_pdb(Ensemble(target.name, target.atoms, wobble(target, SAMPLES, 9, 1.3, 0.3)), written)
    written.replace(models / written.name)  # all is there, or this is not


def score(folder: Path, out: str, models: Path, cache: Path) -> tuple[float, float, float]:
    """Return CPU seconds, seconds of the clock and peak memory in MiB of ``ebabench score`` as a process."""
    shutil.rmtree(folder / "runs" / out, ignore_errors=True)  # of a process that was killed
    command = [sys.executable, "-m", "ebabench", "score", "--name", "rehearsal", "--ensembles", str(models)]
    command += ["--reference", str(folder / "md"), "--out", str(folder / "runs" / out)]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"EBABENCH_CACHE": str(cache)}, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024


class Costs:
    """What each process cost, in a CSV that gets a row as soon as a process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            path.write_text(",".join(COLUMNS) + "\n")
        with path.open(newline="") as file:
            self._rows = {(row["target"], int(row["frames"]), row["case"]): row for row in csv.DictReader(file)}

    def has(self, target: str, frames: int, case: str) -> bool:
        """Return whether a process was measured, in this session or before."""
        return (target, frames, case) in self._rows

    def add(self, *values: object) -> None:
        """Keep the values of one process, in the order of ``COLUMNS``."""
        row = dict(zip(COLUMNS, map(str, values), strict=True))
        self._rows[row["target"], int(row["frames"]), row["case"]] = row
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
        print(*row.values(), flush=True)

    def exponent(self, what: str, case: str, measured: list[tuple[str, int]]) -> float:
        """Return the exponent with which CPU seconds grow with "frames" or "residues" of these targets."""
        rows = [self._rows[target, frames, case] for target, frames in measured]
        return exponent([float(row[what]) for row in rows], [float(row["cpu_s"]) for row in rows])


def measure(costs: Costs, name: str, residues: int, frames: int, folder: Path, models: Path) -> None:
    """Score with nothing cached and then with the reference cached, as far as that was not done before."""
    cache = folder / f"cache-{name}"
    for case in CASES:
        if costs.has(name, frames, case):
            continue
        if case == "cold":
            shutil.rmtree(cache, ignore_errors=True)
        cpu, clock, memory = score(folder, f"{name}-{case}", models, cache)
        costs.add(name, residues, frames, case, round(cpu, 2), round(clock, 2), round(memory))


def seconds_per_chain(run: Path, residues: Mapping[str, int]) -> dict[str, float]:
    """Return how long a chain took in a run of many: it begins when another one's record is written.

    The longest begin first, those of one length by name. As many as there are processes begin with the run, and are
    left out.
    """
    ends = {name: (run / "records" / f"{name}.json").stat().st_mtime for name in residues}
    in_turn = sorted(residues, key=lambda name: (-residues[name], name))
    begins = zip(in_turn[cores() :], sorted(ends.values()), strict=False)
    return {name: ends[name] - begin for name, begin in begins}


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    """Make the files, score them, and print what it cost."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--targets", type=int, default=82, help="that many, evenly spaced by length")
    options.add_argument("--frames", type=int, default=1001, help="per replica")
    only = options.add_mutually_exclusive_group()
    only.add_argument("--whole", action="store_true", help="only the one command that scores all")
    only.add_argument("--longest", type=int, default=0, help="only so many chains, the longest")
    asked = options.parse_args()
    by_length = sorted(load_suite(SUITE).targets, key=lambda target: len(target.sequence))
    chosen = [by_length[k] for k in np.linspace(0, len(by_length) - 1, asked.targets).round().astype(int)]
    asked.folder.mkdir(parents=True, exist_ok=True)
    costs = Costs(asked.folder / "rehearsal.csv")
    middle = chosen[len(chosen) // 2]  # is measured with more and fewer frames
    of_middle = [(middle, frames) for frames in (asked.frames // 2, asked.frames, 2 * asked.frames)]
    of_length = [(target, asked.frames) for target in (by_length[-asked.longest :] if asked.longest else chosen)]
    part = asked.whole or asked.longest
    folder = asked.folder / f"frames-{COMPILING}"
    write(fold(middle.name, middle.sequence), folder, COMPILING)
    score(folder, "compiling", folder / "models", folder / "cache")
    for target, frames in of_length if part else of_middle + of_length:
        folder = asked.folder / f"frames-{frames}"  # files of another number of frames are never taken for these
        models = folder / "models" / f"{target.name}.pdb"
        if not (models.exists() or costs.has(target.name, frames, CASES[0])):
            write(fold(target.name, target.sequence), folder, frames)
        if not asked.whole:
            measure(costs, target.name, len(target.sequence), frames, folder, models)
    if len(of_length) == len(by_length):
        residues = {target.name: len(target.sequence) for target in chosen}
        folder = asked.folder / f"frames-{asked.frames}"
        measure(costs, "all", sum(residues.values()), asked.frames, folder, folder / "models")
        for case in CASES:
            spent = seconds_per_chain(folder / "runs" / f"all-{case}", residues)
            found = exponent([residues[name] for name in spent], list(spent.values()))
            print(f"{case}: seconds of a chain grow with residues to the power of {found:.2f}")
    if part:
        return
    for what, series in (("frames", of_middle), ("residues", of_length)):
        for case in CASES:
            found = costs.exponent(what, case, [(target.name, frames) for target, frames in series])
            print(f"{case}: CPU seconds grow with {what} to the power of {found:.2f}")


if __name__ == "__main__":
    main()
