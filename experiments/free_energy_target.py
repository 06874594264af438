"""Is a minimised energy a free energy? Energies of basins against the populations that MD gives them.

``python experiments/free_energy_target.py --out docs/figures`` takes frames of every joint backbone basin of the
tetrapeptides of a test and a validation suite, computes the energy of the protocol and its harmonic free energy
(``ebabench.physics.free_energy``), and writes ``free-energy-target.csv``: for each peptide slope and correlation of the
basins' mean of beta E against -ln p of MD. 1 and 1 would make it a target of alignment. The mean over the frames of a
basin of an exact -ln of the density is -ln p of the basin plus the entropy inside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.metrics.ramachandran import basin_populations
from ebabench.physics.free_energy import GAS_CONSTANT, free_energies
from ebabench.structures import Reference
from ebabench.structures.geometry import torsions

LEAST = 0.02  # population of a basin
FRAMES = 12  # of a basin
_JUDGED = ["slope", "correlation", "off_percent", "off_percent_scaled", "scale"]
SUITES = ("peptides-v1", "peptides-val-v1")


def basins(reference: Reference) -> npt.NDArray[np.int64]:
    """Return the joint backbone basin of every frame of MD."""
    positions = np.concatenate(reference.replicas)
    angles = torsions(reference.target.atoms, np.arange(len(reference.target.sequence)), positions)[1]
    each = np.array([basin_populations(frame[None]).argmax(1) for frame in angles])
    joint: npt.NDArray[np.int64] = each @ 4 ** np.arange(each.shape[1])
    return joint


def rows(suite_id: str, restraint: float | None) -> Iterator[dict[str, Any]]:
    """Yield one row per frame: target, basin, its population in MD, and the terms in kT."""
    suite = load_suite(suite_id)
    read = reference_reader(suite)
    temperature = suite.simulation.temperature_k if suite.simulation else 300.0
    for name in (target.name for target in suite.targets if len(target.sequence) == 4):
        reference = read(name)
        positions, joint = np.concatenate(reference.replicas), basins(reference)
        for basin, count in zip(*np.unique(joint, return_counts=True), strict=True):
            if count < LEAST * len(joint):
                continue
            inside = np.flatnonzero(joint == basin)
            chosen = inside[np.linspace(0, len(inside) - 1, FRAMES).astype(int)]
            found = free_energies(reference.target.atoms, positions[chosen], suite.energy or "", temperature, restraint)
            kt = GAS_CONSTANT * temperature
            for k in range(FRAMES):
                yield {
                    **{"suite": suite_id, "target": name, "basin": int(basin), "population": count / len(joint)},
                    **{"minimised": found.minimised[k] / kt, "spring": found.spring[k] / kt},
                    **{"vibration": found.vibration[k] / kt, "softest": found.softest[k]},
                }


CHOICES = {
    "minimised": ["minimised"],
    "minimised + spring": ["minimised", "spring"],
    "minimised + vibration": ["minimised", "vibration"],
    "all three": ["minimised", "spring", "vibration"],
}


def judged(frames: pd.DataFrame) -> pd.DataFrame:
    """Return one row per target and choice of terms.

    ``slope`` is that of -ln p of MD against the basins' mean energy in kT, ``correlation`` theirs. ``off_percent`` is
    the total variation distance of exp(-energy) from MD's populations, and ``off_percent_scaled`` that of
    exp(-s energy), with one slope s for the choice, fitted to all other targets.
    """
    tables: dict[tuple[str, str, str], pd.DataFrame] = {}
    for (suite, target), of_target in frames.groupby(["suite", "target"], sort=False):
        for choice, terms in CHOICES.items():
            each = of_target.assign(energy=of_target[terms].sum(axis=1, skipna=False)).dropna(subset="energy")
            table = each.groupby("basin").agg(energy=("energy", "mean"), population=("population", "first"))
            truth = -np.log(table.population)
            tables[str(suite), str(target), choice] = table.assign(
                energy=table.energy - table.energy.mean(), truth=truth - truth.mean()
            )
    found = []
    for (suite, target, choice), table in tables.items():
        others = pd.concat([other for key, other in tables.items() if key[2] == choice and key[1] != target])
        scale = float((others.energy * others.truth).sum() / (others.energy**2).sum())
        found.append(
            {
                **{"suite": suite, "target": target, "terms": choice, "basins": len(table)},
                "slope": float((table.energy * table.truth).sum() / (table.energy**2).sum()),
                "correlation": float(np.corrcoef(table.truth, table.energy)[0, 1]),
                "off_percent": _off(table, 1.0),
                "off_percent_scaled": _off(table, scale),
                "scale": scale,
            }
        )
    return pd.DataFrame(found)


def _off(table: pd.DataFrame, scale: float) -> float:
    weights = np.exp(-scale * (table.energy - table.energy.min()))
    return 50 * float((weights / weights.sum() - table.population / table.population.sum()).abs().sum())


def main() -> None:
    """Write the table, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for free-energy-target.csv")
    parser.add_argument("--suite", nargs="+", default=list(SUITES))
    parser.add_argument("--restraint", type=float, nargs="+", default=[1000.0], help="springs in kJ/mol/nm^2")
    chosen = parser.parse_args()
    tables = []
    for restraint in chosen.restraint:
        found: list[dict[str, Any]] = []
        for suite in chosen.suite:
            for row in rows(suite, restraint):
                if not found or found[-1]["target"] != row["target"]:
                    print(suite, row["target"], flush=True)
                found.append(row)
        tables.append(judged(pd.DataFrame(found)).assign(restraint=restraint))
        table = pd.concat(tables)
        chosen.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(chosen.out / "free-energy-target.csv", index=False, float_format="%.4g", lineterminator="\n")
        print(table.groupby(["restraint", "terms"])[_JUDGED].median(), flush=True)


if __name__ == "__main__":
    main()
