"""Measure how converged the references of a suite are, and how that grows with their length.

``python experiments/reference_convergence.py SUITE --data DIR`` prints one row per target, and how the disagreement of
replicas falls with their length: the tables of docs/reference/suites.md. Lengths are those of the trajectories in DIR.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from ebabench.datasets.references import read_reference
from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.metrics.divergence import basin_populations
from ebabench.structures import Reference
from ebabench.structures.arrays import FloatArray, IndexArray
from ebabench.structures.geometry import torsions
from ebabench.structures.torsions import torsion_angles, torsion_table

# Two atoms at the end of these are equivalent: half a turn is the same state.
_SYMMETRIC = {("PHE", "chi2"), ("TYR", "chi2"), ("ASP", "chi2"), ("GLU", "chi3"), ("ARG", "chi5")}


def correlation_time(angles: FloatArray, folds: IndexArray) -> FloatArray:
    """Return the integrated autocorrelation times [T], in frames, of torsions [F, T] in radians of given symmetry [T].

    Of the unit vectors (cos, sin) of folds times the angle. The sum ends where it is five times shorter than the lag
    (Sokal's window). A torsion that moves in one state alone is fast: what a trajectory never visits, it cannot tell.
    """
    unit = np.exp(1j * folds * angles)
    away = unit - unit.mean(0)
    frames = len(away)
    spectrum = np.fft.fft(away, 2 * frames, axis=0)
    raw = np.fft.ifft(np.abs(spectrum) ** 2, axis=0)[:frames].real / np.arange(frames, 0, -1)[:, None]
    correlation = raw / np.maximum(raw[0], 1e-12)
    summed = 0.5 + np.cumsum(correlation[1:], axis=0)
    found = np.full(angles.shape[1], np.nan)
    for k in range(angles.shape[1]):
        ends = np.flatnonzero(np.arange(1, frames) >= 5 * summed[:, k])
        found[k] = summed[ends[0] if len(ends) else -1, k]
    longest: FloatArray = np.maximum(found, 0.5)
    return longest


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


def slowest(reference: Reference, frame_ps: float) -> tuple[str, float, float]:
    """Return the torsion with the longest correlation time, that time (ps), and the independent samples T / 2 tau."""
    atoms = reference.target.atoms
    table = torsion_table(atoms, np.arange(len(reference.target.sequence)))
    first = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
    names = atoms.residue_name[first][table.residue]
    folds = np.array([2 if pair in _SYMMETRIC else 1 for pair in zip(names, table.kind, strict=True)])
    replicas = [torsion_angles(np.asarray(replica[:]), table.quartets) for replica in reference.replicas]
    times = np.mean([correlation_time(replica.astype(np.float64), folds) for replica in replicas], axis=0)
    times[table.of("omega")] = 0  # it does not turn at these temperatures and lengths
    worst = int(times.argmax())
    frames = sum(len(replica) for replica in replicas)
    torsion = f"{names[worst]}{table.residue[worst] + 1} {table.kind[worst]}"
    return torsion, frame_ps * times[worst], frames / (2 * times[worst])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("--data", type=Path, help="references, of whatever length; those of the package by default")
    parser.add_argument("--lengths", type=float, nargs="+", default=[0.5, 1, 2, 5, 10], help="ns of each replica")
    chosen = parser.parse_args()
    suite = load_suite(chosen.suite)
    references = reference_reader(suite, chosen.data)
    rows = []
    for name in references.here():
        reference = read_reference(references.root, name, suite.tier)
        frame_ps = suite.simulations(name)[0].frame_ps
        length = min(len(replica) - 1 for replica in reference.replicas) * frame_ps / 1000
        torsion, tau, samples = slowest(reference, frame_ps)
        row = {"target": name, "ns": length, "slowest": torsion, "tau_ps": round(tau), "samples": round(samples)}
        for lengths in chosen.lengths:
            if lengths <= length:
                row[f"{lengths:g} ns"] = round(disagreement(reference, round(1000 * lengths / frame_ps) + 1), 1)
        rows.append(row)
    table = pd.DataFrame(rows).set_index("target")
    print(table.to_string())
    columns = [str(column) for column in table if str(column).endswith(" ns")]
    print("\nreplica against the others, basin populations (%)")
    print(table[columns].describe(percentiles=[0.5, 0.9]).loc[["count", "50%", "90%"]].to_string())


if __name__ == "__main__":
    main()
