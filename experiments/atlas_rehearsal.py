"""``python experiments/atlas_rehearsal.py FOLDER``: what scoring the test split of ATLAS costs, on synthetic motion.

The 82 chains have their true sequences, folded as bundles of helices that shake, with hydrogens left out. Each target
is scored as a process of its own, with nothing cached and with the reference cached; then all 82 by one command. CPU
seconds, peak memory and fitted exponents are printed, and written as ``FOLDER/rehearsal.csv``. ``--targets 4
--frames 201`` does a part of it, without the one command.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import mdtraj
import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from proteins import bundle, wobble

from ebabench.datasets.suites import load_suite
from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble, Target

SUITE, SAMPLES, PER_HELIX = "atlas-test-v1", 250, 20
CHUNK = 500  # frames made at a time
COMPILING = 20  # frames of a reference that is scored first, to compile


def fold(name: str, sequence: str) -> Target:
    """Return a bundle of helices with exactly this sequence."""
    helices = max(len(sequence) // PER_HELIX, 2)
    whole = -(-len(sequence) // helices) * helices
    padded = bundle((sequence + sequence)[:whole], helices, 7.0)  # nearer than by default: no turn is a break
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
                file.write(wobble(target, min(CHUNK, frames - start), number * 1000 + start, 1.0, 0.3) / 10)
    write_pdb(Ensemble(target.name, target.atoms, target.native[None]), md / f"{target.name}.pdb")
    write_pdb(Ensemble(target.name, target.atoms, wobble(target, SAMPLES, 9, 1.3, 0.3)), models / f"{target.name}.pdb")


def score(folder: Path, out: str, models: Path, cache: Path) -> tuple[float, float, float]:
    """Return CPU seconds, seconds of the clock and peak memory in MiB of ``ebabench score`` as a process."""
    command = [sys.executable, "-m", "ebabench", "score", "--name", "rehearsal", "--ensembles", str(models)]
    command += ["--reference", str(folder / "md"), "--out", str(folder / "runs" / out)]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"EBABENCH_CACHE": str(cache)}, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """Return the slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    """Make the files, score them, and print what it cost."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--targets", type=int, default=82, help="that many, evenly spaced by length")
    options.add_argument("--frames", type=int, default=1001, help="per replica")
    asked = options.parse_args()
    by_length = sorted(load_suite(SUITE).targets, key=lambda target: len(target.sequence))
    chosen = [by_length[k] for k in np.linspace(0, len(by_length) - 1, asked.targets).round().astype(int)]
    asked.folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []

    def measure(name: str, residues: int, frames: int, folder: Path, models: Path) -> None:
        for case in ("cold", "kept"):
            cpu, clock, memory = score(folder, f"{name}-{frames}-{case}", models, folder / f"cache-{name}-{frames}")
            rows.append({"target": name, "residues": residues, "frames": frames, "case": case, "cpu_s": round(cpu, 2),
                         "clock_s": round(clock, 2), "peak_mib": round(memory)})  # fmt: skip
            print(*rows[-1].values(), flush=True)

    first = chosen[len(chosen) // 2]  # is measured with more and fewer frames
    for frames in (COMPILING, asked.frames, asked.frames // 2, 2 * asked.frames):
        folder = asked.folder / f"frames-{frames}"
        write(fold(first.name, first.sequence), folder, frames)
        if frames == COMPILING:
            score(folder, "compiling", folder / "models", folder / "cache")
            continue
        measure(first.name, len(first.sequence), frames, folder, folder / "models")
    for target in chosen:
        write(fold(target.name, target.sequence), asked.folder, asked.frames)
        models = asked.folder / "models" / f"{target.name}.pdb"
        measure(target.name, len(target.sequence), asked.frames, asked.folder, models)
    if len(chosen) == len(by_length):
        residues = sum(len(target.sequence) for target in chosen)
        measure("all", residues, asked.frames, asked.folder, asked.folder / "models")
    with (asked.folder / "rehearsal.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    for case in ("cold", "kept"):
        of_case = [row for row in rows if row["case"] == case and row["target"] != "all"]
        for what, part in (("frames", of_case[:3]), ("residues", of_case[3:])):
            found = exponent([float(str(row[what])) for row in part], [float(str(row["cpu_s"])) for row in part])
            print(f"{case}: CPU seconds grow with {what} to the power of {found:.2f}")


if __name__ == "__main__":
    main()
