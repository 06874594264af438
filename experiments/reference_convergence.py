"""Measure how converged the references of a suite are, and how that grows with their length.

``python experiments/reference_convergence.py SUITE --data DIR`` prints one row per target, and how the disagreement of
replicas falls with their length: the tables of docs/reference/suites.md. Lengths are those of the trajectories in DIR.
``--figures FOLDER`` writes the rows to ``reference-convergence-SUITE.csv``, and the curve beside it as SVG.
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
from ebabench.scoring.convergence import slowest_torsion
from ebabench.structures import Reference, Target
from ebabench.structures.arrays import Positions
from ebabench.structures.geometry import torsions
from ebabench.structures.torsions import torsion_angles, torsion_table


def disagreement(reference: Reference, frames: int) -> float:
    """Return the distance (%) of a replica's basin populations from those of all others, mean of replicas and residues.

    Of the first ``frames`` of each replica; as ``basin_populations_tv`` has it.
    """
    place = np.arange(len(reference.target.sequence))
    angles = [torsions(reference.target.atoms, place, replica[:frames])[1] for replica in reference.replicas]
    found = []
    for k, own in enumerate(angles):
        others = np.concatenate([one for other, one in enumerate(angles) if other != k])
        found.append(np.abs(basin_populations(own) - basin_populations(others)).sum(1).mean() / 2)
    return 100 * float(np.mean(found))


def is_cis_before_proline(target: Target, frames: Positions) -> npt.NDArray[np.bool_]:
    """Return which peptide bonds before proline are cis [frames, bonds]."""
    table = torsion_table(target.atoms, np.arange(len(target.sequence)))
    before = [k for k in table.of("omega") if target.sequence[table.residue[k] + 1] == "P"]
    cis: npt.NDArray[np.bool_] = np.abs(torsion_angles(frames, table.quartets[before])) < np.pi / 2
    return cis


def cis_before_proline(reference: Reference) -> float:
    """Return the share of cis peptide bonds before proline, of all frames; NaN where there is none."""
    cis = is_cis_before_proline(reference.target, np.concatenate(reference.replicas))
    return float(cis.mean()) if cis.size else float("nan")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("--data", type=Path, help="references, of whatever length; those of the package by default")
    parser.add_argument("--figures", type=Path, help="folder for the rows and the curve")
    parser.add_argument("--lengths", type=float, nargs="+", default=[0.5, 1, 2, 5, 10], help="ns of each replica")
    chosen = parser.parse_args()
    suite = load_suite(chosen.suite)
    references = reference_reader(suite, chosen.data)
    rows = []
    for name in references.here():
        reference = read_reference(references.root, name, suite.tier)
        frame_ps = suite.simulations(name)[0].frame_ps
        length = min(len(replica) - 1 for replica in reference.replicas) * frame_ps / 1000
        slow = slowest_torsion(reference)
        assert slow is not None
        row = {"target": name, "ns": length, "slowest": slow.torsion}
        row |= {"tau_ps": round(frame_ps * slow.frames), "samples": round(slow.samples)}
        row["cis_proline"] = cis_before_proline(reference)
        for lengths in chosen.lengths:
            if lengths <= length:
                row[f"{lengths:g} ns"] = round(disagreement(reference, round(1000 * lengths / frame_ps) + 1), 1)
        rows.append(row)
    table = pd.DataFrame(rows).set_index("target")
    print(table.to_string())
    columns = [str(column) for column in table if str(column).endswith(" ns")]
    print("\nreplica against the others, basin populations (%)")
    print(table[columns].describe(percentiles=[0.5, 0.9]).loc[["count", "50%", "90%"]].to_string())
    if chosen.figures is not None:
        stem = chosen.figures / f"reference-convergence-{suite.id}"
        table.to_csv(f"{stem}.csv", lineterminator="\n")
        draw(table[columns], Path(f"{stem}.svg"))


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the disagreement of each target's replicas against their length, with the median and the 90th percentile."""
    from matplotlib.figure import Figure

    lengths = [float(column.removesuffix(" ns")) for column in table]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(lengths, table.T, color="#8a929b", lw=0.5, alpha=0.5)
    axes.plot(lengths, table.quantile(0.5), "o-", color="#0b63b5", label="median of targets")
    axes.plot(lengths, table.quantile(0.9), "s--", color="#0b63b5", label="90 % of targets below")
    axes.set_xscale("log")
    axes.set_xticks(lengths, [f"{length:g}" for length in lengths])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("length of a replica [ns]")
    axes.set_ylabel("basin populations, a replica against the others [%]")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
