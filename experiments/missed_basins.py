"""Count the backbone basins of MD that the models of run folders miss.

``python experiments/missed_basins.py RUN...`` prints for each run how many targets have a basin of a residue that MD
populates by more than 10 % and the model by less than a tenth of that; and the worst of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import ebabench
from ebabench.datasets.suites import reference_reader
from ebabench.metrics.ramachandran import basin_populations
from ebabench.structures.geometry import torsions

NAMES = ("alpha", "beta", "PPII", "left-handed")
_POPULATED, _MISSED = 0.1, 0.1


def missed(run: ebabench.Run) -> pd.DataFrame:
    """Return the missed basins of a run: target, residue (from 1), basin, shares of MD and of the model."""
    suite = ebabench.load_suite(run.identity.suite)
    read = reference_reader(suite)
    lines = []
    for target in suite.targets:
        reference = read(target.name)
        atoms, place = reference.target.atoms, np.arange(len(target.sequence))
        residues, angles = torsions(atoms, place, np.concatenate([replica[:] for replica in reference.replicas]))
        ensemble = run.load_ensemble(target.name)
        assert ensemble.atoms.digest() == atoms.digest()
        md, model = basin_populations(angles), basin_populations(torsions(atoms, place, ensemble.positions)[1])
        for k, basin in zip(*np.nonzero((md > _POPULATED) & (model < _MISSED * md)), strict=True):
            lines.append((target.name, int(residues[k]) + 1, NAMES[basin], md[k, basin], model[k, basin]))
    return pd.DataFrame(lines, columns=["target", "residue", "basin", "md", "model"])


def main() -> None:
    """Print a line for each run and the basins that it misses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    for folder in parser.parse_args().runs:
        run = ebabench.Run.read(folder)
        found = missed(run)
        print(f"{run.identity.model}: {found.target.nunique()} of {len(run.targets)} targets miss a basin")
        if len(found):
            print(found.sort_values("md", ascending=False).head(5).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
