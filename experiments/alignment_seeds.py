"""Whether alignment helps, over several seeds of training, on the peptides of version 2.

``python experiments/alignment_seeds.py --out alignment-v2 --figures docs/figures`` trains every row of ``CHAIN`` with
three seeds and scores it on the validation suite; ``--suite peptides-v2`` reads the test suite in its place. It writes
``alignment-seeds-SUITE.csv`` and ``alignment-seeds-SUITE.svg``, and for the test suite ``alignment-tilt-SUITE.csv``:
samples of the base model weighted by their energies, as in ``alignment_v2.py``. The rows of the first seed are those of
``alignment_v2.py``, in the same folder. A run that was stopped is resumed.

The unit of the test is the target: a figure of a row is the mean over its seeds, and differences of two rows are tested
by Wilcoxon's signed ranks over targets, two-sided, with Holm's correction for all tests of a row.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ablation import Ablation, Row
from alignment_v2 import BASE, OWN, ROWS, TRAINING, VALIDATION, write_tilts
from scipy.stats import wilcoxon

from ebabench.results.claims import adjusted, targets_needed
from ebabench.results.runs import Run

SEEDS = 3
ALIGNED, TILTED, LONGER = "within-0.2-anchored", "tilt-0.2", "longer"
CHAIN = (BASE, LONGER, TILTED, ALIGNED, "dpo")
CLAIMED = ("energy_js", "energy_w1", "basin_populations_tv", "ramachandran_w2")
GUARDED = ("js_radius_of_gyration", "rmsf_r", "rmwd", "diversity_mae")
_HIGHER = {"rmsf_r"}
_DPO = {"draws": 8, "crossed": True, "alpha_t": 60}


def chain(seed: int) -> dict[str, Row]:
    """Return the rows of one seed (from 1). Those of the first are called as in ``alignment_v2.py``."""
    rows = {row.name: row for row in ROWS}
    settings = {**rows[LONGER].settings, **_DPO}
    rows["dpo"] = Row("dpo", "eba-dpo", BASE, suites=(TRAINING,), own=BASE, settings=settings)
    return {name: seeded(rows[name], seed, CHAIN) for name in CHAIN}


def named(name: str, seed: int) -> str:
    """Return the name of a row of the chain at a seed."""
    return name if seed == 1 else f"{name}-seed-{seed}"


def seeded(row: Row, seed: int, trained: Sequence[str]) -> Row:
    """Return a row of the chain ``trained`` at a seed. What is no row of the chain is the same at every seed."""

    def of(other: str) -> str:
        return named(other, seed) if other in trained else other

    settings = {**row.settings, "seed": row.settings["seed"] + 10 * (seed - 1)}
    return replace(row, name=of(row.name), start=of(row.start), own=of(row.own), settings=settings)


def figures_of(run: Run) -> pd.DataFrame:
    """Return a run's metrics, one row per target; how far its diversity is from that of MD among them."""
    table: pd.DataFrame = run.targets.copy()
    table["diversity_mae"] = (table["diversity"] - table["md_diversity"]).abs()
    return table[[*CLAIMED, *GUARDED]].astype(float)


def tested(row: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    """Return one line per metric: both medians, the mean difference, its p and how many targets would tell it."""
    lines: list[dict[str, Any]] = []
    for key in row:
        pairs = pd.concat([row[key], base[key]], axis=1, keys=["a", "b"]).dropna()
        own = (pairs.a - pairs.b).to_numpy()
        error = own.std(ddof=1) / np.sqrt(len(own))
        lines.append(
            {
                "metric": key,
                "value": pairs.a.median(),
                "baseline": pairs.b.median(),
                "difference": own.mean(),
                "low": own.mean() - 1.96 * error,
                "high": own.mean() + 1.96 * error,
                "better_on": int(((own > 0) if key in _HIGHER else (own < 0)).sum()),
                "targets": len(own),
                "p": wilcoxon(own).pvalue if own.any() else 1.0,
                # At the level of the claims, shared among the metrics of a row.
                "targets_needed": targets_needed(own, 0.01 / row.shape[1]),
            }
        )
    table = pd.DataFrame(lines)
    return table.assign(p_holm=adjusted(table.p.tolist(), "holm"))


def made(out: Path, chains: Sequence[Mapping[str, Row]], suite: str) -> dict[str, list[pd.DataFrame]]:
    """Make the rows of every seed, the base model first, and return their figures: by name, one table per seed."""
    each: dict[str, list[pd.DataFrame]] = {name: [] for name in chains[0]}
    for chain_of_seed in chains:
        rows = list(chain_of_seed.values())
        ablation = Ablation(out, rows, (suite,), own=OWN, baseline=rows[0].name)
        for name, row in chain_of_seed.items():
            print(f"{row.name} ...", flush=True)
            ablation.make(row)
            each[name].append(figures_of(Run.read(ablation.folder(row, suite))))
    return each


def write(each: Mapping[str, list[pd.DataFrame]], more: Sequence[tuple[str, str]], stem: Path) -> None:
    """Write ``stem.csv``, every row against the first one and the pairs in ``more``, and ``stem.svg``."""
    means = {name: sum(tables[1:], tables[0]) / len(tables) for name, tables in each.items()}
    base, *rows = means
    pairs = [*((name, base) for name in rows), *more]
    table = pd.concat({pair: tested(means[pair[0]], means[pair[1]]) for pair in pairs}, names=["row", "against"])
    stem.parent.mkdir(parents=True, exist_ok=True)
    table = table.reset_index(["row", "against"])
    table.to_csv(f"{stem}.csv", index=False, float_format="%.4g", lineterminator="\n")
    draw(means, each, Path(f"{stem}.svg"))


def draw(means: Mapping[str, pd.DataFrame], each: Mapping[str, list[pd.DataFrame]], path: Path) -> None:
    """A panel for each metric: the differences from the first row, with intervals; small dots are single seeds."""
    from matplotlib.figure import Figure

    base, *names = means
    figure = Figure(figsize=(13, 5), layout="constrained")
    panels: Any = figure.subplots(2, 4, sharey=True)
    for axes, key in zip(panels.flat, (*CLAIMED, *GUARDED), strict=True):
        axes.axvline(0, color="#8a929b", lw=0.8)
        for place, name in enumerate(names):
            found = tested(means[name], means[base]).set_index("metric").loc[key]
            axes.plot([found.low, found.high], [place, place], color="#0b63b5", lw=1.4)
            filled = "#0b63b5" if found.p_holm <= 0.01 else "white"
            axes.plot(found.difference, place, "o", color="#0b63b5", ms=5, mfc=filled)
            for one, start in zip(each[name], each[base], strict=True):
                axes.plot((one[key] - start[key]).mean(), place + 0.25, ".", color="#8a929b", ms=4)
        better = "right" if key in _HIGHER else "left"
        axes.set_title(f"{key} ({better} is better)", fontsize=9)
        axes.tick_params(labelsize=8)
    panels[0, 0].set_yticks(range(len(names)), names)
    panels[0, 0].invert_yaxis()
    figure.supxlabel(f"less {base}, mean over targets, 95 %; filled: p <= 0.01 by Holm; dots: single seeds", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all rows of all seeds, then the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, samples and runs")
    parser.add_argument("--figures", type=Path, required=True, help="folder for the table and the figure")
    parser.add_argument("--suite", default=VALIDATION, help="what the rows are scored on")
    chosen = parser.parse_args(arguments)
    each = made(chosen.out, [chain(seed) for seed in range(1, SEEDS + 1)], chosen.suite)
    write(each, [(ALIGNED, LONGER), (ALIGNED, TILTED)], chosen.figures / f"alignment-seeds-{chosen.suite}")
    if chosen.suite != VALIDATION:
        ensembles = chosen.out / "runs" / chosen.suite / BASE / "ensembles"
        write_tilts(ensembles, chosen.suite, chosen.figures / f"alignment-tilt-{chosen.suite}.csv")


if __name__ == "__main__":
    main()
