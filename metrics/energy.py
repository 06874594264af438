"""Distribution of the potential energy of conformations against MD's, both through the same protocol."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.divergence import js_distance
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.nomenclature import canonical

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair

_MOST_FAILED = 0.5

_spec = partial(
    MetricSpec, version=1, better="lower", aggregate="median", needs="energy", paper="", depends_on_samples=True
)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair.

    A structure for which there is no energy (beyond repair) is counted in ``energy_failed_percent``, is left out of
    the Wasserstein distance, and stands above all of MD's in the Jensen-Shannon distance.
    """
    keys = [spec.key for spec in ENERGY.specs]
    lack = pair.unavailable_reason("energy")
    if lack or pair.energy_protocol is None:
        return dict.fromkeys(keys, lack or NotAvailable("no energy protocol was named"))
    from scipy.stats import wasserstein_distance

    from ebabench.physics.energy import potential_energies
    from ebabench.physics.molecules import Molecule

    target = pair.reference.target
    (gap,) = Molecule.of(canonical(target.atoms)).gaps(target.native[None])
    if gap:
        return dict.fromkeys(keys, NotAvailable(f"no energy: the reference has a {gap}"))
    once, draws = np.unique(pair.md_draw, return_inverse=True)
    of_md = potential_energies(canonical(target.atoms), pair.md_as_read(once), pair.energy_protocol)
    md = of_md[draws]
    if np.isnan(md).any():
        return dict.fromkeys(keys, NotAvailable(f"{int(np.isnan(md).sum())} of MD's frames have no energy"))
    model = potential_energies(pair.atoms, pair.model_as_read, pair.energy_protocol)
    failed = np.isnan(model)
    w1: Value = NotAvailable(f"{int(failed.sum())} of {len(model)} structures have no energy")
    if failed.mean() <= _MOST_FAILED:
        w1 = float(wasserstein_distance(model[~failed], md))
    return {
        "energy_w1": w1,
        "energy_js": float(js_distance(np.where(failed, np.inf, model)[:, None], md[:, None])[0]),
        "energy_failed_percent": 100 * float(failed.mean()),
    }


ENERGY = Metric(
    "energy",
    (
        _spec("energy_w1", title="1-Wasserstein distance of potential energies", unit="kJ/mol"),
        _spec("energy_js", title="Jensen-Shannon distance of potential energies", unit=""),
        _spec("energy_failed_percent", title="Conformations beyond repair: no energy", unit="%", aggregate="mean"),
    ),
    compute,
)
