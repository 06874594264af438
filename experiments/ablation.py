"""What each choice of alignment does.

``python experiments/ablation.py --out ablation --figures docs/figures`` makes the table and the figure.

Every row is one training of the compact model with the functions that a user calls (``ebabench.sample``, ``align`` and
``run``). It is scored on the validation and on the test suite, and compared target by target with `sft`, from which
most rows start. A row takes some minutes on one core. A run that was stopped is resumed.

The shipped settings were chosen on the validation suite. The test suite chose nothing: its column says what they, and
the others, are worth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import ebabench
from ebabench.system.registry import folder as package_folder

VALIDATION, TEST = "peptides-val-v1", "peptides-v1"
TRAINING = "peptides-train-v1"
BASELINE = "sft-v1"
ENDPOINTS = ("basin_populations_tv", "ramachandran_w2", "js_radius_of_gyration", "energy_js", "energy_w1")
_OWN = 64  # samples of a model for every training target
_COLOURS, _SHIFTS = ("#8a929b", "#0b63b5"), (-0.15, 0.15)


@dataclass(frozen=True)
class Row:
    """One training. Without an ``objective``, the shipped model of that name.

    ``start``: a shipped model, or an earlier row. ``suites``: of the training targets. ``own``: the model, usually
    ``start``, whose own samples of them take the place of their MD, and ``deterministic`` whether its sampler adds no
    noise on the way, so that the probability flow has their density. Of ``every`` so many targets, one is sampled.
    ``settings``: of `ebabench.training.loop.TrainConfig`.
    """

    name: str
    objective: str = ""
    start: str = BASELINE
    suites: tuple[str, ...] = (TRAINING,)
    own: str = ""
    deterministic: bool = False
    every: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)


_COMMON = {"steps": 400, "warmup": 50, "learning_rate": 5e-5, "seed": 3, "ema_window": 0.0}
_EBA = {**_COMMON, "conformations": 8, "draws": 8, "crossed": True, "alpha_t": 10, "beta": 0.2, "reference": True}
_DPO = {**_COMMON, "draws": 8, "crossed": True, "alpha_t": 60}


def _eba(name: str, start: str = BASELINE, own: str | None = None, **changed: Any) -> Row:
    """On the starting model's own samples, unless ``own`` says otherwise."""
    return Row(name, "eba", start, own=start if own is None else own, settings={**_EBA, **changed})


def _dpo(name: str, start: str) -> Row:
    return Row(name, "eba-dpo", start, own=start, settings=_DPO)


ROWS = (
    Row("pretrained-v1"),
    Row("sft-v1"),
    Row("sft-longer", "sft", settings=_COMMON),
    _eba("eba-round-1"),
    _eba("eba-round-2", "eba-round-1"),
    _eba("eba", "eba-round-2"),
    _eba("eba-round-4", "eba"),
    _eba("eba-1200-steps", steps=1200),
    _dpo("eba-dpo-round-1", BASELINE),
    _dpo("eba-dpo-round-2", "eba-dpo-round-1"),
    _dpo("eba-dpo", "eba-dpo-round-2"),
    # Each of these is to be compared with the first round.
    _eba("seed-4", seed=4),
    _eba("seed-5", seed=5),
    _eba("k-2", conformations=2),
    _eba("k-3", conformations=3),
    _eba("k-5", conformations=5),
    _eba("alpha-t-40", alpha_t=40),
    _eba("alpha-t-100", alpha_t=100),
    _eba("no-reference", reference=False),
    _eba("md-frames", own="", alpha_t=40),
    _eba("md-frames-no-reference", own="", reference=False, alpha_t=40, beta=0.4),
    # The field since, as one round each.
    Row("epo", "epo", own=BASELINE, settings={**_EBA, "alpha_t": 30}),
    Row("grpo", "grpo", own=BASELINE, settings=_EBA),
    # Energies alone, without MD at 300 K.
    _eba("from-pretrained", "pretrained-v1", steps=1000, learning_rate=1e-4),
)


class Ablation:
    """The rows of one ablation, made in order. Everything lies under ``out``."""

    def __init__(
        self,
        out: Path,
        rows: Sequence[Row],
        suites: Sequence[str],
        samples: int | None = None,
        own: int = _OWN,
        baseline: str = BASELINE,
    ) -> None:
        self.out, self.rows, self.suites, self.samples = out, rows, suites, samples
        self.own, self.baseline = own, baseline
        # A row that bears a shipped model's name is never replaced by it: it has to be made before it is built on.
        self._trained = {row.name for row in rows if row.objective}
        self._runs: dict[tuple[str, str], ebabench.Run] = {}

    def make(self, row: Row) -> None:
        """Train a row and run it on each suite. What is there already stays."""
        if row.objective:
            ebabench.align(
                self.out / row.name,
                row.objective,
                row.suites,
                samples=self._samples(row) if row.own else None,
                start=self._checkpoint(row.start),
                settings=row.settings,
                threads=1,
            )
        for suite in self.suites:
            self._runs[row.name, suite] = ebabench.run(
                self._card(row.name),
                suite,
                samples=self.samples,
                out=self.folder(row, suite),
                leaderboards=self.out / "leaderboards",
            )
            self._runs[row.name, suite].check()

    def folder(self, row: Row, suite: str) -> Path:
        """Return the run folder of a row."""
        return self.out / "runs" / suite / row.name

    def differences(self, suite: str) -> pd.DataFrame:
        """Return every row less the baseline, one line per row and endpoint (the index)."""
        base = self._runs[self.baseline, suite]
        tables = {row.name: ebabench.compare(self._runs[row.name, suite], base, metrics=ENDPOINTS) for row in self.rows}
        return pd.concat(tables, names=["row"])

    def _samples(self, row: Row) -> Path:
        """Return the folder of ensembles of a row's training targets, sampled by a model itself."""
        card = self._card(row.own)
        if row.deterministic:
            card = without_churn(Path(card))
        place = self.out / "samples" / Path(card).stem
        for suite in row.suites:
            chosen = ebabench.load_suite(suite)
            out = place / chosen.id
            names = [target.name for target in chosen.targets[:: row.every]]
            ebabench.sample(card, suite, targets=names, samples=self.own, seed=7, out=out).check()
        return out / "ensembles" if len(row.suites) == 1 else place

    def _card(self, model: str) -> str:
        return str(self.out / model / f"{model}.toml") if model in self._trained else model

    def _checkpoint(self, model: str) -> Path:
        folder = self.out if model in self._trained else package_folder("ebabench.models.eba") / "checkpoints"
        return folder / model / "model.safetensors"


def without_churn(card: Path) -> str:
    """Return a copy, beside it, of the card of a trained model whose sampler adds no noise on the way."""
    copy = card.with_name(f"{card.stem}-deterministic.toml")
    text = card.read_text(encoding="utf-8").replace(f'name = "{card.stem}"', f'name = "{copy.stem}"')
    copy.write_text(f"{text}churn = 0\n", encoding="utf-8")  # [sampling] is the last table
    return str(copy)


def write_table(differences: Mapping[str, pd.DataFrame], path: Path, baseline: str = BASELINE) -> None:
    """Write one line per suite, row and endpoint."""
    table = pd.concat(differences, names=["suite"]).reset_index()
    columns = {"a": "value", "b": baseline, "winner": "better"}
    kept = ["suite", "row", "metric", "a", "b", "difference", "low", "high", "p", "winner"]
    table[kept].rename(columns=columns).to_csv(
        path, index=False, float_format="%.4g", na_rep="nan", lineterminator="\n"
    )


def draw_figure(differences: Mapping[str, pd.DataFrame], path: Path, baseline: str = BASELINE) -> None:
    """A panel for each endpoint: rows less the baseline on every suite, with the interval where there is one."""
    from matplotlib.figure import Figure

    rows = next(iter(differences.values())).index.get_level_values("row").unique()
    names = [name for name in rows if name != baseline]
    figure = Figure(figsize=(13, 1.2 + 0.3 * len(names)), layout="constrained")
    panels: Any = figure.subplots(1, len(ENDPOINTS), sharey=True, squeeze=False)
    for axes, key in zip(panels[0], ENDPOINTS, strict=True):
        axes.axvline(0, color="#8a929b", lw=0.8)
        for (suite, of_suite), colour, shift in zip(differences.items(), _COLOURS, _SHIFTS, strict=False):
            for place, name in enumerate(names):
                found = of_suite.loc[(name, key)]
                y = place + shift
                axes.plot([found.low, found.high], [y, y], color=colour, lw=1.2)
                axes.plot(found.difference, y, "o", color=colour, ms=4, mfc=colour if found.winner else "white")
            axes.plot([], [], "o", color=colour, ms=4, label=suite)
        axes.set_title(key, fontsize=9)
        axes.tick_params(labelsize=8)
    panels[0, 0].set_yticks(range(len(names)), names)
    panels[0, 0].invert_yaxis()
    figure.supxlabel(f"less {baseline}; left of 0 is better; filled: told apart", fontsize=9)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Make all rows, then the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, samples and runs")
    parser.add_argument("--figures", type=Path, required=True, help="folder for ablation.csv and ablation.svg")
    chosen = parser.parse_args()
    ablation = Ablation(chosen.out, ROWS, (VALIDATION, TEST))
    for row in ROWS:
        print(f"{row.name} ...", flush=True)
        try:
            ablation.make(row)
        except ebabench.EbabenchError as error:
            sys.exit(f"{row.name}: {error}")
    chosen.figures.mkdir(parents=True, exist_ok=True)
    differences = {suite: ablation.differences(suite) for suite in ablation.suites}
    write_table(differences, chosen.figures / "ablation.csv")
    draw_figure(differences, chosen.figures / "ablation.svg")


if __name__ == "__main__":
    main()
