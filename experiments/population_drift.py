"""Measure how far alignment moves conformations between backbone basins. No MD is read.

``python experiments/population_drift.py MODEL ... --out DIR`` samples every model, and the one it started from
(``--start``, default `sft`), on sequences of a suite with the same noise, and prints the distance (%) of their basin
populations, mean over residues and sequences, with a 95 % interval over sequences. With the same noise a model that
was not changed has 0. ``mean change`` is of the populations of alpha, beta, polyproline II and left-handed (%), mean
over residues and sequences.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import ebabench
from ebabench.io.npz import load_ensemble
from ebabench.metrics.ramachandran import basin_populations
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import torsions


def populations(folder: Path, name: str) -> FloatArray:
    """Return the basin populations [residues, basins] of an ensemble."""
    ensemble = load_ensemble(folder / f"{name}.npz", name)
    place = np.unique(ensemble.atoms.residue)
    return basin_populations(torsions(ensemble.atoms, place, ensemble.positions)[1])


def main() -> None:
    """Print one row per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names or cards")
    parser.add_argument("--start", default="sft", help="the model that they started from")
    parser.add_argument("--suite", default="peptides-sequences-v2")
    parser.add_argument("--every", type=int, default=25, help="of so many sequences, one is sampled")
    parser.add_argument("--samples", type=int, default=250)
    parser.add_argument("--out", type=Path, required=True, help="folder of the samples")
    chosen = parser.parse_args()
    names = [target.name for target in ebabench.load_suite(chosen.suite).targets[:: chosen.every]]
    found = {}
    for model in (chosen.start, *chosen.models):
        out = chosen.out / Path(model).stem
        ebabench.sample(model, chosen.suite, targets=names, samples=chosen.samples, seed=11, out=out).check()
        found[model] = [populations(out / "ensembles", name) for name in names]
    rng = np.random.default_rng(0)
    for model in chosen.models:
        changes = [own - start for own, start in zip(found[model], found[chosen.start], strict=True)]
        distances = np.array([100 * np.abs(change).sum(1).mean() / 2 for change in changes])
        draws = distances[rng.integers(0, len(names), (2000, len(names)))].mean(1)
        low, high = np.quantile(draws, (0.025, 0.975))
        mean = 100 * np.concatenate(changes).mean(0)
        print(f"{model}: {distances.mean():.2f} % ({low:.2f} to {high:.2f}); mean change {mean.round(2)}", flush=True)


if __name__ == "__main__":
    main()
