"""Do 4 fs with heavy hydrogens give the populations of 2 fs? Three peptides of the test suite say.

``python experiments/time_step.py --out FOLDER --figures docs/figures`` simulates the peptides of ``NAMES`` with the
physics of `peptides-v2` but a time step of 2 fs and hydrogens of their own mass, from another seed, and writes
``time-step.csv``: the distance of their basin populations from those of the suite's references, beside that of pieces
of the references, as long, from the other replicas. A run that was stopped is resumed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ebabench.datasets.references import read_reference
from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.metrics.ramachandran import basin_populations
from ebabench.structures import Target
from ebabench.structures.geometry import torsions
from ebabench.workflows.simulate import simulate

NAMES = ("CKVH", "SSNN", "VQCL")  # of the suite's best sampled
NANOSECONDS, FRAME_PS = 24, 200
_SUITE = """id = "time-step-v2"
title = "Tetrapeptides with a time step of 2 fs"
split = "test"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
energy = "amber14-gbn2-restrained"
samples = 250
seed = 777

[simulation]
temperature_k = 350.0
nanoseconds = {nanoseconds}
frame_ps = {frame_ps}
replicas = 1
forcefield = ["amber14-all.xml", "implicit/gbn2.xml"]
friction_per_ps = 0.3
timestep_fs = 2.0
hydrogen_mass_amu = 1.008
"""


def populations(target: Target, positions: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the basin populations of residues."""
    found: npt.NDArray[np.float64] = basin_populations(
        torsions(target.atoms, np.arange(len(target.sequence)), positions)[1]
    )
    return found


def apart(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the distance (%) of basin populations, mean of residues."""
    return 50 * float(np.abs(a - b).sum(1).mean())


def main() -> None:
    """Simulate, compare, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the trajectories")
    parser.add_argument("--figures", type=Path, required=True, help="folder for time-step.csv")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "time-step-v2.toml"
    targets = "".join(f'\n[[targets]]\nname = "{name}"\nsequence = "{name}"\n' for name in NAMES)
    path.write_text(_SUITE.format(nanoseconds=float(NANOSECONDS), frame_ps=float(FRAME_PS)) + targets)
    simulate(str(path), out=chosen.out / "md", work=chosen.out / "work", jobs=1)
    suite = load_suite("peptides-v2")
    read = reference_reader(suite)
    frames = NANOSECONDS * 1000 // FRAME_PS
    rows = []
    for name in NAMES:
        reference = read(name)
        target, whole = reference.target, np.concatenate(reference.replicas)
        other = read_reference(chosen.out / "md", name, suite.tier)
        own = populations(other.target, other.replicas[0][:frames])
        pieces = []
        for k, replica in enumerate(reference.replicas):
            rest = populations(target, np.concatenate([one for j, one in enumerate(reference.replicas) if j != k]))
            starts = range(0, len(replica) - frames + 1, frames)
            pieces += [apart(populations(target, replica[start : start + frames]), rest) for start in starts]
        rows.append({"target": name, "two_fs": apart(own, populations(target, whole))})
        rows[-1] |= {"four_fs_least": min(pieces), "four_fs_median": float(np.median(pieces))}
        rows[-1] |= {"four_fs_most": max(pieces), "pieces": len(pieces)}
    table = pd.DataFrame(rows)
    table.to_csv(chosen.figures / "time-step.csv", index=False, float_format="%.3g", lineterminator="\n")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
