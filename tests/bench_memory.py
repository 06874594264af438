"""``python tests/bench_memory.py FOLDER``: the memory that scoring large targets takes, as a table.

The work is made in FOLDER, some 2 GB: 720 residues without hydrogens, 3 x 10,001 frames of reference as XTC files, 250
conformations in a PDB file; synthetic motion. One such target is scored by ``ebabench score`` with an empty cache, and
again with what the cache then holds; two at once by two processes, cold. What is measured is the memory that the
command and its processes hold together (proportional set size), read ten times a second.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mdtraj
from bench_target import SEQUENCE
from proteins import bundle, wobble

from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble

RESIDUES, FRAMES, SAMPLES, AT_ONCE = 720, 10_001, 250, 500


def write_work(folder: Path) -> None:
    """Make two targets of the same motion: the reference in ``md``, the model in ``models``."""
    target = bundle((SEQUENCE * (RESIDUES // len(SEQUENCE) + 1))[:RESIDUES], RESIDUES // 20)
    (folder / "models").mkdir(parents=True)
    first = folder / "md" / "one"
    first.mkdir(parents=True)
    write_pdb(Ensemble("one", target.atoms, target.native[None]), first / "one.pdb")
    for number in (1, 2, 3):
        with mdtraj.formats.XTCTrajectoryFile(str(first / f"one_prod_R{number}_fit.xtc"), "w") as file:
            for start in range(0, FRAMES, AT_ONCE):
                frames = wobble(target, min(AT_ONCE, FRAMES - start), 1000 * number + start, 1.0, 0.3)
                file.write(frames / 10)
    write_pdb(Ensemble("one", target.atoms, wobble(target, SAMPLES, 9, 1.3, 0.3)), folder / "models" / "one.pdb")
    second = folder / "md" / "two"
    second.mkdir()
    for path in first.iterdir():
        shutil.copy(path, second / path.name.replace("one", "two"))
    shutil.copy(folder / "models" / "one.pdb", folder / "models" / "two.pdb")


def held(pid: int) -> int:
    """Bytes that a process and its children hold."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) << 10
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return total
    return total + sum(held(int(child)) for child in children)


def most_held(process: subprocess.Popen[bytes]) -> int:
    """The most bytes that a process and its children hold until it ends."""
    most = 0
    while process.poll() is None:
        most = max(most, held(process.pid))
        time.sleep(0.1)
    return most


def peak(folder: Path, names: list[str], out: str, *options: str) -> int:
    """The most bytes that ``ebabench score`` of some targets holds."""
    part = folder / out
    for kind in ("md", "models"):
        (part / kind).mkdir(parents=True)
        for name in names:
            for path in (folder / kind).glob(f"{name}*"):
                (part / kind / path.name).symlink_to(path.resolve())
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", "score", "--name", "bench"]
    places = ["--ensembles", str(part / "models"), "--reference", str(part / "md"), "--out", str(part / "run")]
    process = subprocess.Popen([*command, *places, *options], stdout=subprocess.DEVNULL)
    most = most_held(process)
    assert process.returncode == 0
    return most


def main(folder: Path) -> None:
    """Make the work, measure, print."""
    write_work(folder)
    os.environ["EBABENCH_CACHE"] = str(folder / "cache")
    print(f"one target, nothing cached: {peak(folder, ['one'], 'cold') / 1e9:.2f} GB", flush=True)
    print(f"one target, the reference cached: {peak(folder, ['one'], 'kept') / 1e9:.2f} GB", flush=True)
    os.environ["EBABENCH_CACHE"] = str(folder / "another-cache")
    both = peak(folder, ["one", "two"], "both", "--jobs", "2")
    print(f"two targets at once, nothing cached: {both / 1e9:.2f} GB", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
