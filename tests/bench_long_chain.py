"""``python tests/bench_long_chain.py FOLDER``: time and memory of sampling, aligning and energies of 700 residues.

The work is made in FOLDER: training suites of one helix of 700 residues and of one bundle of short helices (which has
gaps: no energies, no alignment), 3 x 9 frames each, and of one frame of the helix. Every command is a
process on one core. What is measured is its processor time, and the memory that it and its processes hold together.
Alignment gets energies that are made up.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import mdtraj
import numpy as np
from bench_memory import most_held
from bench_target import SEQUENCE
from proteins import build, bundle, wobble

from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble

RESIDUES, FRAMES, SAMPLES = 700, 9, 4
SUITE = """
id = "{name}-v1"
title = "A long chain"
split = "train"
family = "proteins"
tier = "folder"
protocol = "corrected"
energy = "amber14-gbn2-restrained"
samples = {samples}
seed = 1
[[targets]]
name = "{name}"
sequence = "{sequence}"
"""
SCORED = ("--samples", str(SAMPLES), "--jobs", "1", "--metric", "pairwise_rmsd")
STEPS = ("--set", "steps=2", "--set", "checkpoint_every=2", "--threads", "1")
COMMANDS = {
    "`run --model gaussian`, 4 conformations": ("run", "--model", "gaussian", *SCORED),
    "`run --model nma`, 4 conformations": ("run", "--model", "nma", *SCORED),
    "`run --model eba`, 4 conformations": ("run", "--model", "eba", *SCORED),
    "`energy`, 1 frame": ("energy", "--jobs", "1", "--out", "energy.csv"),
    "`align --objective sft`, 2 steps": ("align", "--objective", "sft", "--out", "sft", *STEPS),
    "`align --objective eba`, 2 steps": ("align", "--objective", "eba", "--out", "eba", *STEPS),
}


def write_work(folder: Path) -> None:
    """Make the suites and their references."""
    unit = f"C{SEQUENCE}"  # all twenty amino acids, which alignment measures its ideal geometry from
    sequence = (unit * (RESIDUES // len(unit) + 1))[:RESIDUES]
    helix, chains = build(sequence), bundle(sequence, RESIDUES // 20)
    for name, target, frames in (("long", helix, FRAMES), ("one", helix, 1), ("bundle", chains, FRAMES)):
        here = folder / "data" / name
        here.mkdir(parents=True)
        write_pdb(Ensemble(name, target.atoms, target.native[None]), here / f"{name}.pdb")
        for number in (1, 2, 3) if frames > 1 else (1,):
            with mdtraj.formats.XTCTrajectoryFile(str(here / f"{name}_prod_R{number}_fit.xtc"), "w") as file:
                file.write(wobble(target, frames, number, 0.5, 0.03) / 10)
        text = SUITE.format(name=name, samples=SAMPLES, sequence=target.sequence)
        (folder / f"{name}-v1.toml").write_text(text)


def store_energies(folder: Path) -> None:
    """Put made-up energies of all frames into the cache: those of `energy` would take hours."""
    from ebabench.datasets.references import read_reference
    from ebabench.physics import store
    from ebabench.physics.molecules import Molecule
    from ebabench.physics.protocols import get_protocol

    reference = read_reference(folder / "data", "long", "folder")
    frames = np.concatenate([np.asarray(replica[:]) for replica in reference.replicas])
    key = get_protocol("amber14-gbn2-restrained").key(minimise=True)
    values = np.random.default_rng(0).normal(-7e4, 30.0, len(frames))
    store.remember(key, Molecule.of(reference.target.atoms).digest(), store.frame_keys(frames), values)


def main(folder: Path, *only: str) -> None:
    """Make the work, measure, print."""
    if not (folder / "bundle-v1.toml").exists():
        write_work(folder)
    os.environ |= {"EBABENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    os.chdir(folder)
    print("| command | exit | processor time, s | peak memory, GB |\n| --- | ---: | ---: | ---: |", flush=True)
    for name, arguments in COMMANDS.items():
        if only and not any(word in name for word in only):
            continue
        if "objective eba" in name:
            store_energies(folder)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        # A helix bends with next to no stiffness.
        suite = "bundle-v1.toml" if "nma" in name else "one-v1.toml" if "energy" in name else "long-v1.toml"
        command = [sys.executable, "-c", "from ebabench.cli import main; main()", *arguments]
        process = subprocess.Popen([*command, "--suite", suite, "--data", "data"], stdout=subprocess.DEVNULL)
        most = most_held(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"| {name} | {process.returncode} | {seconds:.0f} | {most / 1e9:.2f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
