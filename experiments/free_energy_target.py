"""Is a minimised energy a free energy? Energies of basins against the populations that MD gives them.

``python experiments/free_energy_target.py --out docs/figures --frames FOLDER`` takes frames of every joint backbone
basin of the tetrapeptides of a test and a validation suite. It computes the energy of the protocol, its harmonic free
energy (``ebabench.physics.free_energy``) and the free energy by dynamics with springs (``restrained_dynamics.py``), and
writes ``free-energy-target.csv``: for each peptide slope and correlation of the basins' mean of beta E against -ln p of
MD. 1 and 1 would make it a target of alignment. The mean over the frames of a basin of an exact -ln of the density is
-ln p of the basin plus the entropy inside it. ``FOLDER`` keeps the frames of finished peptides: a run that was stopped
is resumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from restrained_dynamics import softened

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.metrics.ramachandran import basin_populations
from ebabench.physics.free_energy import GAS_CONSTANT, free_energies, wells
from ebabench.structures import Reference
from ebabench.structures.geometry import torsions
from ebabench.system.files import replacement

LEAST = 0.02  # population of a basin
FRAMES = 12  # of a basin
RESTRAINTS = (1000, 200, 50)  # springs in kJ/mol/nm^2
LADDER = (100_000, 46_000, 21_500, 10_000, 4_600, 2_150, 1_000, 450, 200, 100, 50)
PICOSECONDS = 10  # of dynamics for each rung, of every second frame
_JUDGED = ["slope", "correlation", "off_percent", "off_percent_scaled", "scale"]
SUITES = ("peptides-v1", "peptides-val-v1")


def basins(reference: Reference) -> npt.NDArray[np.int64]:
    """Return the joint backbone basin of every frame of MD."""
    positions = np.concatenate(reference.replicas)
    angles = torsions(reference.target.atoms, np.arange(len(reference.target.sequence)), positions)[1]
    each = np.array([basin_populations(frame[None]).argmax(1) for frame in angles])
    joint: npt.NDArray[np.int64] = each @ 4 ** np.arange(each.shape[1])
    return joint


def rows(reference: Reference, energy: str, temperature: float) -> Iterator[dict[str, Any]]:
    """Yield one row per frame and springs: basin, its population in MD, and the terms in kT."""
    atoms, kt = reference.target.atoms, GAS_CONSTANT * temperature
    positions, joint = np.concatenate(reference.replicas), basins(reference)
    for basin, count in zip(*np.unique(joint, return_counts=True), strict=True):
        if count < LEAST * len(joint):
            continue
        inside = np.flatnonzero(joint == basin)
        chosen = positions[inside[np.linspace(0, len(inside) - 1, FRAMES).astype(int)]]
        by_springs = {k: free_energies(atoms, chosen, energy, temperature, k) for k in RESTRAINTS}
        stiff = list(wells(atoms, chosen, energy, LADDER[0]))
        for one, well in enumerate(stiff):
            moved = np.full(len(LADDER), np.nan)
            if one % 2 == 0 and well is not None and well.softest > 0:
                start = well.minimised + well.spring + well.vibration(temperature)
                moved = start + softened(well, LADDER, temperature, PICOSECONDS, 1000 * one)
            for k, found in by_springs.items():
                yield {
                    **{"restraint": k, "basin": int(basin), "population": count / len(joint)},
                    **{"minimised": found.minimised[one] / kt, "spring": found.spring[one] / kt},
                    **{"vibration": found.vibration[one] / kt, "dynamics": moved[LADDER.index(k)] / kt},
                }


def frames_of(suite_id: str, folder: Path) -> pd.DataFrame:
    """Return the rows of all tetrapeptides of a suite, and keep those of each in ``folder``."""
    suite = load_suite(suite_id)
    read = reference_reader(suite)
    temperature = suite.simulation.temperature_k if suite.simulation else 300.0
    tables = []
    for name in (target.name for target in suite.targets if len(target.sequence) == 4):
        kept = folder / f"{suite_id}-{name}.csv"
        if not kept.exists():
            print(suite_id, name, flush=True)
            table = pd.DataFrame(rows(read(name), suite.energy or "", temperature))
            folder.mkdir(parents=True, exist_ok=True)
            with replacement(kept) as temporary:
                table.assign(suite=suite_id, target=name).to_csv(temporary, index=False)
        tables.append(pd.read_csv(kept))
    return pd.concat(tables)


CHOICES = {
    "minimised": ["minimised"],
    "minimised + spring": ["minimised", "spring"],
    "minimised + vibration": ["minimised", "vibration"],
    "all three": ["minimised", "spring", "vibration"],
    "by dynamics": ["dynamics"],
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
    parser.add_argument("--frames", type=Path, required=True, help="folder for the frames of finished peptides")
    parser.add_argument("--suite", nargs="+", default=list(SUITES))
    chosen = parser.parse_args()
    frames = pd.concat([frames_of(suite, chosen.frames) for suite in chosen.suite])
    table = pd.concat([judged(part).assign(restraint=k) for k, part in frames.groupby("restraint", sort=False)])
    chosen.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(chosen.out / "free-energy-target.csv", index=False, float_format="%.4g", lineterminator="\n")
    print(table.groupby(["restraint", "terms"], sort=False)[_JUDGED].median().to_string(float_format="%.2f"))


if __name__ == "__main__":
    main()
