"""Does alignment on own samples with residual energies reach the Boltzmann distribution, and stay there?

Two problems where everything is known: a double well on a line, and two torsions with four basins whose populations are
integrals on a grid. A small network learns wrong populations, then is aligned in rounds by the training loop of
``ebabench align``: sample, compute energies and the samples' density, train. ``python experiments/residual_energies.py
--out docs/figures`` writes ``residual-energies.csv`` and ``residual-energies.svg``.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ebabench.structures import Target
from ebabench.structures.arrays import Positions
from ebabench.training import density
from ebabench.training.batches import Example
from ebabench.training.config import TrainConfig
from ebabench.training.denoiser import Condition, Prepared
from ebabench.training.diffusion import Edm
from ebabench.training.loop import train
from ebabench.training.process import unit_noise

_CONDITION = {"mask": torch.ones(1, 1, 1)}


class Toy:
    """A ``Denoiser`` of a point with C coordinates: one residue, one target."""

    def __init__(self, channels: int, seed: int, width: int = 64) -> None:
        self.process = Edm(sigma_data=1.0, sigma_min=0.01, log_mean=-1.0, log_std=1.5)
        self.channels = channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (channels + 1, width, width, width)
            layers: list[nn.Module] = []
            for a, b in itertools.pairwise(sizes):
                layers += [nn.Linear(a, b), nn.SiLU()]
            self.network: nn.Module = nn.Sequential(*layers, nn.Linear(width, channels))

    def denoise(self, noisy: Tensor, level: Tensor, _condition: Condition) -> Tensor:
        """Return the expected clean points [B, 1, C]."""
        skip, out, scale, told = self.process.precondition(level[:, None, None])
        clean: Tensor = skip * noisy + out * self.network(torch.cat([scale * noisy, told.expand(len(noisy), 1, 1)], -1))
        return clean

    def free(self, _condition: Condition) -> Tensor:
        """Return that all coordinates exist."""
        return torch.ones(1, 1, self.channels)

    def loss(self, coordinates: Tensor, condition: Condition, level: Tensor, noise: Tensor) -> Tensor:
        """Return the weighted mean squared error [B, 1]."""
        noisy = self.process.noised(coordinates, noise, level[:, None, None])
        squared = (self.denoise(noisy, level, condition) - coordinates) ** 2
        return self.process.weight(level)[:, None] * squared.mean(-1)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator, churn: float, steps: int = 40) -> Tensor:
        """Return points [count, 1, C]; with ``churn`` 0 those whose density the probability flow gives."""
        return self.process.sample(
            lambda noisy, level: self.denoise(noisy, level, _CONDITION),
            unit_noise((count, 1, self.channels), generator),
            steps=steps,
            churn=churn,
        )

    def prepare(self, target: Target, positions: Positions) -> Prepared:
        """Points are given."""
        raise NotImplementedError

    def crop(self, coordinates: Tensor, condition: Condition, residues: Tensor) -> tuple[Tensor, Condition]:
        """Points have one residue."""
        raise NotImplementedError

    def freeze(self) -> None:
        """There is no trunk."""

    def adopt_geometry(self, data: Iterable[tuple[Target, Positions]]) -> None:
        """There is no geometry."""

    def save(self, path: Path, _provenance: Mapping[str, Any]) -> None:
        """Write the weights."""
        save_file({name: value.contiguous() for name, value in self.network.state_dict().items()}, path)


@dataclass(frozen=True)
class Problem:
    """Basins on a line or on a torus.

    Attributes:
        name: Its name.
        centres: [basins, D].
        start: Populations that the network learns first.
        truth: Populations of the energies.
        width: Standard deviation in a basin, in radian or as on the line.
        torsions: Whether the D coordinates are angles. No basin reaches across +-pi, so that a network may see them as
            they are.
    """

    name: str
    centres: Tensor
    start: tuple[float, ...]
    truth: tuple[float, ...]
    width: float
    torsions: bool

    def energies(self, x: Tensor) -> Tensor:
        """Return energies [F] in kT of points [F, D]: wells of von Mises or normal shape, with a weak coupling.

        The wells of a torus are not exact products, so that their populations are known from a grid only.
        """
        gap = x[:, None] - self.centres
        if not self.torsions:
            wells = -(gap**2).sum(-1) / (2 * self.width**2)
            return -torch.logsumexp(wells + torch.tensor(self.truth).log(), -1)
        wells = ((torch.cos(gap) - 1) / self.width**2).sum(-1)
        return -torch.logsumexp(wells + torch.tensor(self.truth).log(), -1) + 0.5 * torch.sin(x[:, 0] - 2 * x[:, 1])

    def basin(self, x: Tensor) -> Tensor:
        """Return the nearest basin [F] of points."""
        gap = x[:, None] - self.centres
        gap = torch.atan2(gap.sin(), gap.cos()) if self.torsions else gap
        return gap.square().sum(-1).argmin(-1)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return points [count, D] with the populations of the start."""
        which = torch.multinomial(torch.tensor(self.start), count, replacement=True, generator=generator)
        return self.centres[which] + self.width * torch.randn(count, self.centres.shape[1], generator=generator)

    def exact(self) -> tuple[Tensor, Tensor]:
        """Return populations and mean square deviations [basins] from the basin's mean, on a grid."""
        axis = torch.linspace(-math.pi, math.pi, 721)[:-1] if self.torsions else torch.linspace(-3, 3, 6001)
        points = torch.cartesian_prod(*[axis] * self.centres.shape[1]).view(-1, self.centres.shape[1])
        weights = torch.softmax(-self.energies(points).double(), 0)
        return self.measured(points, weights)

    def measured(self, x: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return populations and root mean square deviations [basins] of points [F, D]."""
        weights = torch.full((len(x),), 1 / len(x), dtype=torch.float64) if weights is None else weights
        which, shares, widths = self.basin(x), [], []
        for k, centre in enumerate(self.centres):
            inside = which == k
            gap = x[inside] - centre
            gap = (torch.atan2(gap.sin(), gap.cos()) if self.torsions else gap).double()
            share = weights[inside, None] / weights[inside].sum().clamp(min=1e-12)
            mean = (share * gap).sum(0)
            shares.append(weights[inside].sum())
            widths.append((share * (gap - mean) ** 2).sum().sqrt())
        return torch.stack(shares), torch.stack(widths)


PROBLEMS = (
    Problem("double well", torch.tensor([[-1.0], [1.0]]), (0.5, 0.5), (0.2, 0.8), 0.1, torsions=False),
    Problem(
        "two torsions",
        torch.tensor([[-1.2, -0.7], [-1.2, 1.9], [1.0, 0.8], [0.6, -1.8]]),
        (0.45, 0.3, 0.1, 0.15),
        (0.15, 0.35, 0.2, 0.3),
        0.25,
        torsions=True,
    ),
)
ARMS = {
    "flow": ("flow", 0.0),
    "flow, stochastic sampler": ("flow", 0.8),
    "loss": ("loss", 0.8),
    "none": ("none", 0.8),
}  # residual, and noise that the sampler adds
_COLOURS = ("#0b63b5", "#e0a030", "#7fb069", "#c0392b")
FRAMES = 2048
ROUNDS = 4
STEPS = 300
_LEARN = {"objective": "sft", "batch_residues": 256, "learning_rate": 3e-3, "warmup": 50, "precision": "float32"}
ALIGN = {
    **{"objective": "eba", "reference": True, "crossed": True, "alpha_t": 1.0, "beta": 1.0, "exponent": 0.0},
    **{"conformations": 8, "draws": 8, "batch_residues": 2048, "learning_rate": 1e-3, "warmup": 20},
    **{"anchor": 1.0, "anchor_sigma": 0.0, "weight_decay": 0.0, "precision": "float32"},
}


def pretrained(problem: Problem, seed: int, steps: int, frames: int = FRAMES) -> Toy:
    """Return a network that has learned the populations of the start."""
    points = problem.draw(frames, torch.Generator().manual_seed(seed))
    return _trained(
        Toy(problem.centres.shape[1], seed), problem, points, None, TrainConfig(steps=steps, seed=seed, **_LEARN)
    )


def rounds(
    start: Toy, problem: Problem, arm: str, seed: int, steps: int = STEPS, frames: int = FRAMES, **changed: Any
) -> Iterator[Tensor]:
    """Yield the samples [frames, D] of a network after each round of alignment on its own samples, without end."""
    residual, churn = ARMS[arm]
    model, generator = copy.deepcopy(start), torch.Generator().manual_seed(100 + seed)
    points = model.sample(frames, generator, churn)[:, 0]
    while True:
        settings = {**ALIGN, "steps": steps, "residual": residual, "seed": seed, **changed}
        model = _trained(model, problem, points, problem.energies(points), TrainConfig(**settings))
        points = model.sample(frames, generator, churn)[:, 0]
        yield points


def _trained(model: Toy, problem: Problem, points: Tensor, energies: Tensor | None, config: TrainConfig) -> Toy:
    prepared = Prepared(problem.name, points[:, None], _CONDITION)
    generator = torch.Generator().manual_seed(config.seed)
    find: dict[str, Callable[[], Tensor | None]] = {
        "none": lambda: None,
        "flow": lambda: density.by_flow(model, prepared, generator, "cpu"),
        "loss": lambda: density.by_loss(model, prepared, generator, config.alpha_t, "cpu"),
    }
    example = Example(prepared, energies, log_density=find[config.residual]())
    model.network.requires_grad_()
    with tempfile.TemporaryDirectory() as folder:
        train(model, [example], config, Path(folder), {})
    return model


def run(problem: Problem, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield one row per arm, seed, round and basin."""
    truth, true_width = problem.exact()
    for seed in seeds:
        start = pretrained(problem, seed, 1500)
        for arm, (_, churn) in ARMS.items():
            before = start.sample(FRAMES, torch.Generator().manual_seed(seed), churn)[:, 0]
            looks = rounds(start, problem, arm, seed)
            for number in range(ROUNDS + 1):
                shares, widths = problem.measured(next(looks) if number else before)
                for basin, (share, width) in enumerate(zip(shares, widths, strict=True)):
                    yield {
                        **{"problem": problem.name, "arm": arm, "seed": seed, "round": number},
                        **{"basin": basin, "population": float(share), "truth": float(truth[basin])},
                        "width": float(width / true_width[basin]),
                    }


def draw_figure(table: pd.DataFrame, path: Path) -> None:
    """Draw distance from the true populations, and the narrowest and widest basin, against rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    panels: Any = figure.subplots(len(PROBLEMS), 2, squeeze=False)
    for (left, right), problem in zip(panels, PROBLEMS, strict=True):
        for arm, colour in zip(ARMS, _COLOURS, strict=True):
            rows = table[(table.problem == problem.name) & (table.arm == arm)]
            gap = (rows.population - rows.truth).abs().groupby([rows["round"], rows.seed]).sum() / 2
            mean = gap.groupby("round").mean()
            left.plot(mean.index, 100 * mean, color=colour, marker=".", label=arm)
            widths = rows[rows.truth > 0].groupby("round").width
            right.fill_between(
                sorted(rows["round"].unique()), widths.min(), widths.max(), color=colour, alpha=0.2, lw=0
            )
            right.plot(widths.mean().index, widths.mean(), color=colour, marker=".")
        left.set(title=problem.name, xlabel="round", ylabel="populations off by, %", ylim=(0, None))
        right.set(title=problem.name, xlabel="round", ylabel="width over true width", ylim=(0, 2))
        right.axhline(1, color="#8a929b", lw=0.8)
    panels[0, 0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Run both problems."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for residual-energies.csv and .svg")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for problem in PROBLEMS:
        for row in run(problem, (0, 1)):
            rows.append(row)
            print(row, flush=True)
    table = pd.DataFrame(rows)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "residual-energies.csv", index=False, float_format="%.4f", lineterminator="\n")
    draw_figure(table, out / "residual-energies.svg")


if __name__ == "__main__":
    main()
