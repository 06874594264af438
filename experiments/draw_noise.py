"""Measure the noise of the draw of MD frames against the interval that a leaderboard prints.

``python experiments/draw_noise.py runs/peptides-v1/eba-v1-s5000-n250`` prints a table of
docs/explanation/uncertainty.md, in half a minute of processor time. Metrics of transport thin the reference to as many
frames as the model has conformations, by one seed. Here the run is scored with other seeds: the standard deviation of a
suite's value over draws is the noise of the draw. It enters the interval over targets, because each target has frames
of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np

from ebabench.results.aggregation import summarise
from ebabench.results.runs import Run
from ebabench.scoring import pair as pairs
from ebabench.scoring.pair import make_pair
from ebabench.scoring.score import measure, single_threaded_libraries
from ebabench.scoring.selection import select_metrics
from ebabench.workflows.plot import ensembles_of, references_of

KEYS = ("md_pca_w2", "joint_pca_w2", "ramachandran_w2", "rmwd", "rmwd_translation", "rmwd_variance")


def values_over_draws(run: Run, draws: int) -> dict[str, np.ndarray]:
    """Return the values of each target under other draws, by key: [draws, targets]."""
    metrics = select_metrics(KEYS).metrics
    reference, ensemble = references_of(run, None), ensembles_of(run, None)
    found: dict[str, list[list[float]]] = {key: [] for key in KEYS}
    for name in run.identity.targets:
        md, model = reference(name), ensemble(name)
        own: dict[str, list[float]] = {key: [] for key in KEYS}
        aligned = make_pair(model, md, protocol=run.identity.protocol).aligned
        for seed in range(draws):
            with patch.object(pairs, "_SEED", seed), single_threaded_libraries():
                pair = make_pair(model, md, protocol=run.identity.protocol, aligned=aligned)
                told = {key: value for one in measure(metrics, pair) for key, value in one.values.items()}
            for key in KEYS:
                own[key].append(told[key])
        for key in KEYS:
            found[key].append(own[key])
    return {key: np.array(rows).T for key, rows in found.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--draws", type=int, default=30)
    chosen = parser.parse_args()
    run = Run.read(chosen.run)
    over = values_over_draws(run, chosen.draws)
    printed = {row.spec.key: row.estimate for row in summarise(run.records(), select_metrics(KEYS).specs)}
    print("| metric | printed, with interval | mean over draws | deviation over draws | half of the interval |")
    print("| --- | --- | --- | --- | --- |")
    for key, values in over.items():
        suite, one = np.median(values, axis=1), printed[key]
        interval = f"{one.value:.3f} ({one.low:.3f}–{one.high:.3f})"
        numbers = f"{suite.mean():.3f} | {suite.std(ddof=1):.3f} | {(one.high - one.low) / 2:.3f}"
        print(f"| `{key}` | {interval} | {numbers} |")


if __name__ == "__main__":
    main()
