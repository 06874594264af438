"""Do importance weights turn samples of a model into the Boltzmann distribution? Their effective number says.

``python experiments/importance_weights.py --figures docs/figures`` draws samples of `sft` and `eba` for the validation
peptides with the deterministic sampler, computes their density by the probability flow and their energies, and writes
``importance-weights.csv``: for weights exp(-b E / kT) / q the effective number of samples (Kish), the basin populations
and torsions of the weighted ensembles, and the spreads of b E / kT and of ln q. A row per model, b and target.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

import ebabench
from ebabench.datasets.suites import reference_reader
from ebabench.models.eba.denoiser import InternalDenoiser
from ebabench.physics.energy import prepare_energies
from ebabench.physics.free_energy import GAS_CONSTANT
from ebabench.structures import Ensemble
from ebabench.system.registry import folder
from ebabench.training.density import by_flow

SUITE, MODELS, SAMPLES, SEED = "peptides-val-v2", ("sft", "eba"), 64, 11
STRENGTHS = (0.0, 0.2, 1.0)  # b; without q where b is 0: the samples as they are
METRICS = ("basin_populations_tv", "js_backbone_torsions")
Array = npt.NDArray[np.float64]


def weights_of(energies: Array, log_density: Array) -> Array:
    """Return weights exp(-E) / q of sum 1, with energies in kT. A sample without an energy has the weight 0."""
    exponent = np.where(np.isfinite(energies), -energies - log_density, -np.inf)
    weights: Array = np.exp(exponent - exponent.max())
    return weights / weights.sum()


def main() -> None:
    """Write the table, and print its medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, required=True, help="folder for importance-weights.csv")
    chosen = parser.parse_args()
    suite = ebabench.load_suite(SUITE)
    read = reference_reader(suite)
    assert suite.simulation is not None
    kt = GAS_CONSTANT * suite.simulation.temperature_k
    rows = []
    for model in MODELS:
        denoiser = InternalDenoiser.load(folder("ebabench.models.eba") / "checkpoints" / model / "model.safetensors")
        for name in (target.name for target in suite.targets):
            reference = read(name)
            target = reference.target
            positions = denoiser.sample(target, SAMPLES, SEED, steps=20, churn=0.0)
            generator = torch.Generator().manual_seed(SEED)
            log_q = by_flow(denoiser, denoiser.prepare(target, positions), generator, "cpu").double().numpy()
            energies = prepare_energies(target.atoms, positions, str(suite.energy)).values / kt
            for strength in STRENGTHS:
                weights = weights_of(strength * energies, log_q if strength else np.zeros(SAMPLES))
                ensemble = replace(Ensemble(target.name, target.atoms, positions), weights=weights)
                result = ebabench.score(ensemble, reference, metrics=METRICS, floor=False)
                row = {"model": model, "b": strength, "target": name, "effective": ensemble.effective_samples}
                row |= {key: result.values[key] for key in METRICS}
                rows.append(row | {"spread_energy": np.nanstd(strength * energies), "spread_log_q": log_q.std()})
            print(model, name, [round(row["effective"], 1) for row in rows[-len(STRENGTHS) :]], flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(chosen.figures / "importance-weights.csv", index=False, float_format="%.4g", lineterminator="\n")
    print(table.drop(columns="target").groupby(["model", "b"], sort=False).median().to_string(float_format="%.3g"))


if __name__ == "__main__":
    main()
