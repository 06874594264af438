"""How large a site is and how long it takes to build: synthetic models on synthetic proteins.

The proteins are helices that bend and shake, with the backbone and C-beta atoms of every residue. Conformations are
made in memory when they are asked for, and figures are random numbers: no model is run, nothing is scored, and no
trajectory is read. Everything else is what ``ebabench site`` does.

    python experiments/site_size.py --out SITE
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ebabench.results.identity import Identity
from ebabench.results.leaderboard import Board
from ebabench.results.site import SuiteSite, build_site
from ebabench.scoring.metric import METRICS
from ebabench.scoring.records import MetricValues, Record
from ebabench.structures import ONE_TO_THREE, Atoms, Ensemble, Reference, Target

SPECS = tuple(spec for name in METRICS for spec in METRICS.load(name).specs)
TIER = "md-implicit"
REPLICAS = 3
# Atom -> radius and height in angstrom and angle in degrees from the C-alpha, about the axis of an alpha helix.
HELIX = {
    "N": (1.55, -0.9, -28.0),
    "CA": (2.29, 0.0, 0.0),
    "C": (1.66, 1.1, 26.0),
    "O": (2.0, 2.3, 22.0),
    "CB": (3.32, -0.8, 18.0),
}


@dataclass
class Synthetic:
    """A run of which there are only records."""

    folder: Path
    identity: Identity
    kept: list[Record] = field(repr=False)

    def records(self) -> list[Record]:
        """Return the records."""
        return self.kept


def protein(name: str, residues: int) -> Target:
    """Return a helix of a random sequence.

    Args:
        name: Its name, which seeds the sequence.
        residues: Its length.
    """
    letters = np.random.default_rng([*name.encode()]).choice([*"ARNDCQEHILKMFSTWYV"], residues)
    turns = np.arange(residues)[:, None]
    radius, height, angle = np.array(list(HELIX.values())).T
    turn = np.radians(100.0 * turns + angle)
    native = np.stack([radius * np.cos(turn), radius * np.sin(turn), 1.5 * turns + height], axis=2).reshape(-1, 3)
    names = np.repeat([ONE_TO_THREE[letter] for letter in letters], len(HELIX))
    atoms = Atoms(np.tile(list(HELIX), residues), names, np.repeat(np.arange(residues), len(HELIX)))
    return Target(name, "".join(letters), atoms, native.astype(np.float32))


def frames(target: Target, count: int, seed: int) -> np.ndarray:
    """Return conformations [count, N, 3] that bend and shake."""
    rng = np.random.default_rng([seed, *target.name.encode()])
    along = target.native[:, 2:] / np.ptp(target.native[:, 2]) - 0.5
    bends = [4 * rng.normal(size=(count, 1, 3)) * along**power for power in (2, 3)]
    return (target.native + sum(bends) + 0.3 * rng.normal(size=(count, *target.native.shape))).astype(np.float32)


def reference(residues: int, count: int, name: str) -> Reference:
    """Return the MD of a target."""
    target = protein(name, residues)
    return Reference(target, tuple(frames(target, count, 1000 + k) for k in range(REPLICAS)), TIER)


def ensemble(residues: int, samples: int, model: str, name: str) -> Ensemble:
    """Return what a model sampled of a target."""
    target = protein(name, residues)
    return Ensemble(name, target.atoms, frames(target, samples, int(model.split("-")[1])))


PROFILES = ("rmsf", "md_rmsf")


def record(target: Target, model: int, samples: int, count: int) -> Record:
    """Return a record with random figures, as long as a real one."""
    rng = np.random.default_rng([model, *target.name.encode()])
    keys = {key for spec in SPECS for key in (spec.key, *spec.of)}

    def figures(shift: float) -> MetricValues:
        values = {key: float(shift + rng.random()) for key in sorted(keys - set(PROFILES))}
        atoms = len(target.atoms)
        return MetricValues(values, {key: tuple(rng.random(atoms).round(7).tolist()) for key in PROFILES})

    versions = {spec.key: spec.version for spec in SPECS}
    floor = tuple(figures(0.0) for _ in range(REPLICAS))
    return Record(
        target.name, target.sequence, TIER, samples, REPLICAS * count, 1.0, versions, figures(0.05 * model), floor
    )


def suite_of(models: int, targets: int, residues: int, samples: int, count: int) -> SuiteSite:
    """Return a suite with its board and runs."""
    names = [f"T{k:03d}" for k in range(targets)]
    proteins = [protein(name, residues) for name in names]
    runs, lines = {}, []
    aggregated = tuple(spec for spec in SPECS if spec.aggregate)
    for k in range(models):
        name = f"model-{k}"
        kept = [record(one, k, samples, count) for one in proteins]
        identity = Identity(
            model=name,
            suite="synthetic-v1",
            tier=TIER,
            targets=tuple(names),
            samples=samples,
            seed=0,
            protocol="corrected",
            energy=None,
            card={},
            suite_digest="",
            references={},
        )
        runs[name] = Synthetic(Path(name), identity, kept)
        line = {"model": name, "status": "official"}
        for spec in aggregated:
            found = [one.figures.values[spec.key] for one in kept if spec.key in one.figures.values]
            if found:
                low, value, high = np.quantile(found, (0.4, 0.5, 0.6))
                line |= {spec.key: str(value), f"{spec.key}_low": str(low), f"{spec.key}_high": str(high)}
        lines.append(line)
    board = Board("synthetic-v1", aggregated, tuple(lines))
    return SuiteSite(
        board,
        f"{targets} synthetic proteins of {residues} residues",
        samples,
        "atlas",
        runs,  # type: ignore[arg-type]
        partial(reference, residues, count),
        partial(ensemble, residues, samples),
    )


def main() -> None:
    """Build the site, and print its size and how long that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, value in (("models", 12), ("targets", 50), ("residues", 200), ("samples", 250), ("frames", 300)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--jobs", type=int)
    asked = parser.parse_args()
    suite = suite_of(asked.models, asked.targets, asked.residues, asked.samples, asked.frames)
    began = time.perf_counter()
    built = build_site([suite], asked.out, "python experiments/site_size.py", asked.jobs)
    wall = time.perf_counter() - began
    size = sum(path.stat().st_size for path in asked.out.rglob("*") if path.is_file())
    used = sum(os.times()[:4])  # user and system time of this process and of its children
    if built.left_out:
        sys.exit("{} has no page: {}".format(*next(iter(built.left_out.items()))))
    print(f"{built.pages} pages, {size / 1e6:.1f} MB")
    print(f"{wall:.0f} s, {used:.0f} s of processor time")


if __name__ == "__main__":
    main()
