"""Draw one target of a suite beside several models.

``python experiments/overview_figure.py docs/figures/overview.png`` draws the picture of the README.

The first row shows superposed backbones. The second row shows the conformations over the density of MD, in the plane of
MD's first two principal components of the C-alphas.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.generators.build import build
from ebabench.generators.cards import load_card
from ebabench.generators.protocol import Resources
from ebabench.scoring.pair import Pair, make_pair
from ebabench.structures.arrays import FloatArray, Positions

MODELS = ("md-replica", "eba", "sft", "nma", "gaussian")
SHOWN = 40  # conformations of a panel of the first row
_MD, _MODEL = "#5b6470", "#d95f02"


def draw(target: str, suite: str, models: tuple[str, ...], samples: int, seed: int) -> Figure:
    """Return the figure of one target."""
    reader = reference_reader(load_suite(suite))
    reference = reader(target)
    pairs = {
        name: make_pair(
            build(load_card(name), Resources("cpu", reader)).sample(reference.target, samples, seed), reference
        )
        for name in models
    }
    any_pair = next(pair for name, pair in pairs.items() if name != "md-replica")
    view = np.linalg.svd(any_pair.native_ca, full_matrices=False)[2][:2].T
    figure = Figure(figsize=(2.1 * (len(models) + 1), 4.4), layout="constrained")
    panels: Any = figure.subplots(2, len(models) + 1)
    frames = any_pair.md(np.linspace(0, sum(any_pair.replica_lengths) - 1, SHOWN).astype(np.int64))
    _backbones(panels[0, 0], any_pair, frames, view)
    panels[0, 0].set_title("MD", color=_MD, fontweight="bold")
    _plane(panels[1, 0], any_pair, None)
    for column, (name, pair) in enumerate(pairs.items(), start=1):
        _backbones(panels[0, column], pair, pair.model[:SHOWN], view)
        panels[0, column].set_title(name, color=_MODEL, fontweight="bold")
        _plane(panels[1, column], any_pair, pair.model_ca)
    _same_limits(panels[0])
    _same_limits(panels[1])
    panels[0, 0].set_ylabel(f"backbone of {reference.target.sequence}")
    panels[1, 0].set_ylabel("MD principal components")
    return figure


def _backbones(axes: Any, pair: Pair, frames: Positions, view: FloatArray) -> None:
    """Draw N, CA, C traces, coloured from the first residue to the last."""
    chain = np.flatnonzero(np.isin(pair.atoms.name, ("N", "CA", "C")))
    lines = (frames[:, chain] @ view)[:, :, None]
    pieces = np.concatenate([lines[:, :-1], lines[:, 1:]], axis=2).reshape(-1, 2, 2)
    order = np.tile(np.linspace(0, 1, len(chain) - 1), len(frames))
    axes.add_collection(LineCollection(pieces, array=order, cmap="viridis", linewidths=1.1, alpha=0.5))
    axes.autoscale_view()
    _bare(axes)


def _plane(axes: Any, pair: Pair, model_ca: Positions | None) -> None:
    mean, components = pair.md_components

    def seen(positions: Positions) -> FloatArray:
        flat = positions.reshape(len(positions), -1)
        projected: FloatArray = (flat - mean) @ components[:2].T / np.sqrt(len(pair.ca))
        return projected

    axes.hexbin(*seen(pair.md_ca).T, gridsize=32, cmap="Greys", bins="log", linewidths=0.1)
    if model_ca is not None:
        axes.scatter(*seen(model_ca).T, s=7, color=_MODEL, alpha=0.7, linewidths=0)
    _bare(axes)


def _bare(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_color("#d0d4d9")


def _same_limits(row: Any) -> None:
    """Give all panels of a row one square around MD's, somewhat wider: models may leave MD's range."""
    (low_x, high_x), (low_y, high_y) = row[0].get_xlim(), row[0].get_ylim()
    half = 0.58 * max(high_x - low_x, high_y - low_y)
    middle_x, middle_y = (low_x + high_x) / 2, (low_y + high_y) / 2
    for axes in row:
        axes.set(xlim=(middle_x - half, middle_x + half), ylim=(middle_y - half, middle_y + half))
        axes.set_aspect("equal", "box")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--suite", default="peptides-v2")
    parser.add_argument("--target", default="IDRH")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--samples", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    figure = draw(chosen.target, chosen.suite, tuple(chosen.models), chosen.samples, chosen.seed)
    figure.savefig(chosen.out, dpi=150)
