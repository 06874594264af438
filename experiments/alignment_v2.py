"""What early stopping and the strength of the tilt do, on the peptides of version 2. Validation peptides only.

``python experiments/alignment_v2.py --out alignment-v2 --figures docs/figures`` makes ``alignment-v2.csv`` and
``alignment-v2.svg``. `fine-tuned` is trained on 900 of the 1,000 training peptides until the loss of the other hundred
rises. Every row below continues from it. A row takes some minutes on one core. A run that was stopped is resumed. The
test suite is not read. ``alignment-v2-tilt.csv`` has what the energies can give at best: samples of `fine-tuned`
weighted by exp(-tilt E / kT), for several values of the tilt, and the same within backbone basins.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ablation import Ablation, Row, draw_figure, write_table

import ebabench
from ebabench.datasets.suites import reference_reader
from ebabench.io.npz import load_ensemble
from ebabench.physics.energy import prepare_energies
from ebabench.structures.arrays import FloatArray, IndexArray
from ebabench.training.basins import joint_basins

TRAINING, VALIDATION, BASE = "peptides-train-v2", "peptides-val-v2", "fine-tuned"
OWN = 16  # samples of the model for every training peptide
_KT = 8.314462618e-3 * 350  # kJ/mol, at the temperature of the suites

_SFT = {
    **{"steps": 2500, "warmup": 100, "learning_rate": 5e-4, "seed": 2, "checkpoint_every": 50},
    **{"held_out": 0.1, "validate_every": 50, "patience": 5},
}
_LONGER = {"steps": 400, "warmup": 50, "learning_rate": 5e-5, "seed": 3}
_EBA = {**_LONGER, "conformations": 8, "draws": 8, "crossed": True, "reference": True}
_PAPER = {"conformations": 3, "reference": False, "beta": round(1 / _KT, 4), "alpha_t": 40.0}
_ANCHORED = {"anchor": 1.0, "anchor_sigma": 0.0, "learning_rate": 1e-4}
_ONE_STAGE = {**_EBA, **_ANCHORED, "beta": round(0.2 / _KT, 4), "alpha_t": 40.0, "steps": 2900, "learning_rate": 5e-4}
_WITHIN = {"within_basins": True, "exponent": 0.0, "conformations": 4}


def _eba(name: str, tilt: float, alpha_t: float, **changed: Any) -> Row:
    """EBA on own samples with beta = tilt / kT. alpha T is neutral at about 25 to 40."""
    settings = {**_EBA, "beta": round(tilt / _KT, 4), "alpha_t": alpha_t, **changed}
    return Row(name, "eba", BASE, suites=(TRAINING,), own=BASE, settings=settings)


def _residual_flow(name: str, alpha_t: float, **changed: Any) -> Row:
    """The Boltzmann distribution as the aim, with densities by the probability flow of samples of that flow.

    On every fourth sequence: the density of a sample costs as much as three of its energies.
    """
    row = _eba(name, 1.0, alpha_t, residual="flow", **_ANCHORED, **changed)
    return replace(row, deterministic=True, every=4)


ROWS = (
    Row("pretrained"),
    Row(BASE, "sft", "pretrained", suites=(TRAINING,), settings=_SFT),
    Row("longer", "sft", BASE, suites=(TRAINING,), settings=_LONGER),
    # As many steps without energies on own samples: what they cost by themselves.
    Row("own-longer", "sft", BASE, suites=(TRAINING,), own=BASE, settings={**_LONGER, "learning_rate": 1e-4}),
    _eba("tilt-0.2", 0.2, 40.0),
    _eba("tilt-0.2-anchored", 0.2, 40.0, **_ANCHORED),
    _eba("tilt-0.3-alpha-t-10", 0.3, 10.0),
    # Energies within backbone basins only: between basins the reference decides. Weights exp(-tilt E / kT) as they are,
    # not over sqrt(L), and so twice the alpha T: the anchor has these weights, too.
    _eba("within-0.2", 0.2, 80.0, **_WITHIN),
    _eba("within-0.2-anchored", 0.2, 80.0, **_WITHIN, **_ANCHORED),
    # The same where noise is too low to move a conformation to another basin.
    _eba("within-0.2-low-noise", 0.2, 80.0, objective_sigma=0.4, **_WITHIN, **_ANCHORED),
    _eba("within-0.4-anchored", 0.4, 80.0, **_WITHIN, **_ANCHORED),
    # The Boltzmann distribution itself as the aim: full weights, less the density of the samples.
    _eba("residual-loss", 1.0, 80.0, residual="loss", exponent=0.0, **_ANCHORED),
    _eba("within-residual-loss", 1.0, 80.0, residual="loss", **_WITHIN, **_ANCHORED),
    _residual_flow("residual-flow", 80.0, exponent=0.0),
    _residual_flow("within-residual-flow", 80.0, **_WITHIN),
    # Order or standing of energies in place of their Boltzmann weights.
    Row("epo", "epo", BASE, suites=(TRAINING,), own=BASE, settings={**_EBA, "alpha_t": 30.0}),
    # `tilt-0.2` on frames of MD; and the paper's: full Boltzmann weights, three conformations, no reference.
    Row("md-frames", "eba", BASE, suites=(TRAINING,), settings={**_EBA, "beta": round(0.2 / _KT, 4), "alpha_t": 40.0}),
    Row("paper", "eba", BASE, suites=(TRAINING,), settings={**_EBA, **_PAPER}),
    # One stage in place of two: energies and MD together, with the steps of both.
    Row("one-stage", "eba", "pretrained", suites=(TRAINING,), settings=_ONE_STAGE),
    # One setting changed in `tilt-0.2`.
    _eba("k-2", 0.2, 40.0, conformations=2),
    _eba("k-3", 0.2, 40.0, conformations=3),
    _eba("k-5", 0.2, 40.0, conformations=5),
    _eba("no-reference", 0.2, 40.0, reference=False),
    _eba("tilt-0.1", 0.1, 40.0),
    _eba("alpha-t-10", 0.2, 10.0),
    _eba("alpha-t-160", 0.2, 160.0),
    Row("grpo", "grpo", BASE, suites=(TRAINING,), own=BASE, settings={**_EBA, "alpha_t": 10.0}),
)


WEIGHTED = ("basin_populations_tv", "ramachandran_w2")
TILTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


def weighted(ensembles: Path, suite_id: str) -> pd.DataFrame:
    """Return figures of ensembles weighted by exp(-tilt E / kT), as it is or within basins, a row per kind and tilt."""
    suite = ebabench.load_suite(suite_id)
    read = reference_reader(suite, None)
    rows = []
    for target in suite.targets:
        reference = read(target.name)
        ensemble = load_ensemble(ensembles / f"{target.name}.npz", target.name)
        energies = prepare_energies(ensemble.atoms, ensemble.positions, str(suite.energy)).values
        energies = np.nan_to_num(energies - np.nanmin(energies), nan=np.inf)
        basins = joint_basins(ensemble.atoms, ensemble.positions)
        for kind, basin in (("all", np.zeros_like(basins)), ("within basins", basins)):
            for tilt in TILTS:
                weights = tilted(energies, basin, tilt / _KT)
                result = ebabench.score(replace(ensemble, weights=weights), reference, metrics=WEIGHTED, floor=False)
                share = 1 / (weights**2).sum() / len(weights)
                rows.append((target.name, kind, tilt, *(result.values[key] for key in WEIGHTED), share))
    table = pd.DataFrame(rows, columns=["target", "kind", "tilt", *WEIGHTED, "effective"])
    return table.drop(columns="target").groupby(["kind", "tilt"]).mean().reset_index()


def write_tilts(ensembles: Path, suite_id: str, path: Path) -> None:
    """Write the table of ``weighted``."""
    weighted(ensembles, suite_id).to_csv(path, index=False, float_format="%.4g", lineterminator="\n")


def tilted(energies: FloatArray, basin: IndexArray, beta: float) -> FloatArray:
    """Return weights exp(-beta E) of sum 1 that leave each basin its share of conformations."""
    weights = np.ones_like(energies)
    for one in np.unique(basin) if beta else ():
        members = basin == one
        lowest = energies[members].min()
        if np.isfinite(lowest):
            own = np.exp(-beta * (energies[members] - lowest))
            weights[members] = own * members.sum() / own.sum()
    return weights / weights.sum()


def main() -> None:
    """Make all rows, then the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, samples and runs")
    parser.add_argument("--figures", type=Path, required=True, help="folder for alignment-v2.csv and alignment-v2.svg")
    chosen = parser.parse_args()
    made = Ablation(chosen.out, ROWS, (VALIDATION,), own=OWN, baseline=BASE)
    for row in ROWS:
        print(f"{row.name} ...", flush=True)
        made.make(row)
    chosen.figures.mkdir(parents=True, exist_ok=True)
    differences = {VALIDATION: made.differences(VALIDATION)}
    write_table(differences, chosen.figures / "alignment-v2.csv", BASE)
    draw_figure(differences, chosen.figures / "alignment-v2.svg", BASE)
    write_tilts(made.folder(ROWS[1], VALIDATION) / "ensembles", VALIDATION, chosen.figures / "alignment-v2-tilt.csv")


if __name__ == "__main__":
    main()
