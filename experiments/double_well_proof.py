"""``python experiments/double_well_proof.py --out docs/figures``: the double well's table and figure.

Some minutes on one core. Every recipe of `double_well` is run for diffusion and flow matching, with five seeds, looked
at while it trains; two are trained for twice as long.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from double_well import POPULATION, PROCESSES, RECIPES, WIDTH, Measured, align, pretrain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SEEDS = (0, 1, 2, 3, 4)
_PRETRAINING = 4000
_LOOKS = (500, 1000, 2000)
ENOUGH = 1000  # steps
_TWICE = ("+ crossed draws", "DPO instead of EBA")  # are trained for as long again
_SAMPLES = 4000
_EDGES = torch.linspace(-1.6, 1.6, 129)
_COLOURS = ("#c6ccd2", "#8a929b", "#e0a030", "#7fb069", "#0b63b5", "#c0392b", "#6a4c93")


@dataclass(frozen=True)
class Row:
    """One look at one seed of one recipe, with the density of its samples between _EDGES."""

    process: str
    recipe: str
    steps: int
    seed: int
    measured: Measured
    density: tuple[float, ...]


def run(process: str, seeds: Sequence[int], pretraining: int, looks: Sequence[int], samples: int) -> Iterator[Row]:
    """Every look at every recipe, after the pretrained model as steps 0."""
    start = pretrain(PROCESSES[process], seeds, pretraining)
    yield from _looked_at(process, "pretrained", 0, seeds, start.sample(samples, _generator()))
    for recipe in sorted(RECIPES, key=lambda recipe: recipe.name not in _TWICE):
        chosen = [steps for steps in looks if steps <= ENOUGH or recipe.name in _TWICE]
        for steps, model in zip(chosen, align(start, recipe, seeds, chosen), strict=True):
            yield from _looked_at(process, recipe.name, steps, seeds, model.sample(samples, _generator()))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(2026)


def _looked_at(process: str, recipe: str, steps: int, seeds: Sequence[int], points: torch.Tensor) -> Iterator[Row]:
    for seed, of_seed in zip(seeds, points, strict=True):
        counts = torch.histc(of_seed, len(_EDGES) - 1, float(_EDGES[0]), float(_EDGES[-1]))
        density = counts / len(of_seed) / float(_EDGES[1] - _EDGES[0])
        yield Row(process, recipe, steps, seed, Measured.of(of_seed), tuple(density.tolist()))


def write_table(rows: Sequence[Row], path: Path) -> None:
    """One line a row, without the density."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["process", "recipe", "steps", "seed", "population", "width_left", "width_right"])
        for row in rows:
            numbers = (f"{value:.4f}" for value in asdict(row.measured).values())
            writer.writerow([row.process, row.recipe, row.steps, row.seed, *numbers])


def draw_figure(rows: Sequence[Row], path: Path) -> None:
    """Populations while training, and densities at the end of it; a line of panels for each process."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    panels: Any = figure.subplots(len(PROCESSES), 2, squeeze=False)
    for (left, right), process in zip(panels, PROCESSES, strict=True):
        of_process = [row for row in rows if row.process == process]
        _populations(left, of_process)
        _densities(right, of_process)
        left.set_ylabel(f"{process}: share in the right well")
        right.set_ylabel("density")
    panels[-1, 0].set_xlabel("steps of alignment")
    panels[-1, 1].set_xlabel("x")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _populations(axes: Axes, rows: Sequence[Row]) -> None:
    axes.axhspan(POPULATION - 0.03, POPULATION + 0.03, color="#eef3e6", label="energies, +-0.03")
    axes.axvline(ENOUGH, color="#d0d0d0", lw=0.8)
    start = [row.measured.population for row in rows if row.steps == 0]
    for recipe, colour in zip(RECIPES, _COLOURS, strict=True):
        looks: dict[int, list[float]] = {0: start}
        for row in rows:
            if row.recipe == recipe.name:
                looks.setdefault(row.steps, []).append(row.measured.population)
        steps = list(looks)
        axes.plot(steps, [sum(v) / len(v) for v in looks.values()], color=colour, marker=".", label=recipe.name)
        axes.fill_between(
            steps, [min(v) for v in looks.values()], [max(v) for v in looks.values()], color=colour, alpha=0.2, lw=0
        )
    axes.set_ylim(0.4, 1.02)


def _densities(axes: Axes, rows: Sequence[Row]) -> None:
    middle = (_EDGES[1:] + _EDGES[:-1]) / 2
    truth = sum(
        share * torch.exp(-((middle - centre) ** 2) / (2 * WIDTH**2)) / (WIDTH * (2 * torch.pi) ** 0.5)
        for share, centre in ((POPULATION, 1.0), (1 - POPULATION, -1.0))
    )
    axes.fill_between(middle.tolist(), torch.as_tensor(truth).tolist(), color="#eef3e6", lw=0)
    for index in (1, 4, 5):
        looks = [row for row in rows if row.recipe == RECIPES[index].name]
        last = max(row.steps for row in looks)
        density = torch.tensor([row.density for row in looks if row.steps == last]).mean(0)
        axes.step(middle.tolist(), density.tolist(), where="mid", color=_COLOURS[index], lw=1.2)


def main() -> None:
    """Runs the proof; prints what it finds as it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for double-well.csv and double-well.svg")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for process in PROCESSES:
        for row in run(process, _SEEDS, _PRETRAINING, _LOOKS, _SAMPLES):
            rows.append(row)
            m = row.measured
            print(
                f"{process:10}{row.recipe:26}{row.steps:6}  seed {row.seed}  right well {m.population:.3f}  "
                f"widths {m.left:.2f} {m.right:.2f}",
                flush=True,
            )
    write_table(rows, out / "double-well.csv")
    draw_figure(rows, out / "double-well.svg")


if __name__ == "__main__":
    main()
