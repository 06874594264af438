"""Distribution of the potential energy of conformations against MD's, both through the same protocol."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.histograms import js_distance
from ebabench.metrics.weighting import mean
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.nomenclature import canonical

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair

_MOST_FAILED = 0.5
TRIMMED = 0.1

_spec = partial(
    MetricSpec, version=1, better="lower", aggregate="median", needs="energy", paper="", depends_on_samples=True
)


def trimmed_w1(
    first: FloatArray, second: FloatArray, weights: FloatArray | None = None, trimmed: float = TRIMMED
) -> float:
    """Return the 1-Wasserstein distance of the central parts of two distributions.

    That is the mean of the absolute difference of the quantiles at every level between ``trimmed`` and
    1 - ``trimmed``. The tails, where a few torn structures are, do not enter (Munk and Czado, J. R. Stat. Soc. B 60,
    223 (1998)).

    Args:
        first: [n]; infinite values are allowed.
        second: [m], of equal weights.
        weights: [n], weights of ``first``, of sum 1; None for equal weights.
        trimmed: Share of either tail that is left out.

    Returns:
        Infinity if more than ``trimmed`` of ``first`` is infinite.
    """
    sides = []
    for values, own in ((first, weights), (second, None)):
        order = np.argsort(values, kind="stable")
        levels = np.arange(1, len(values) + 1) / len(values) if own is None else np.cumsum(own[order])
        sides.append((values[order], levels))
    inner = np.concatenate([levels for _, levels in sides])
    inner = np.unique(inner[(inner > trimmed) & (inner < 1 - trimmed)])
    edges = np.concatenate([[trimmed], inner, [1 - trimmed]])
    middle = (edges[1:] + edges[:-1]) / 2
    quantiles = [values[np.minimum(np.searchsorted(levels, middle), len(values) - 1)] for values, levels in sides]
    return float(np.abs(quantiles[0] - quantiles[1]) @ np.diff(edges)) / (1 - 2 * trimmed)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair; MD is draw A.

    A structure for which there is no energy (beyond repair) is counted in ``energy_failed_percent``. It is left out of
    ``energy_w1``, and stands above all of MD's energies in ``energy_js`` and ``energy_w1_trimmed``.
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
    model, weights = potential_energies(pair.atoms, pair.model_as_read, pair.energy_protocol), pair.weights
    failed = np.isnan(model)
    share = float(mean(failed, weights))
    w1: Value = NotAvailable(f"{int(failed.sum())} of {len(model)} structures have no energy")
    if share <= _MOST_FAILED:
        w1 = float(wasserstein_distance(model[~failed], md, None if weights is None else weights[~failed]))
    ranked = np.where(failed, np.inf, model)
    trimmed = trimmed_w1(ranked, md, weights)
    central: Value = trimmed
    if np.isinf(trimmed):
        central = NotAvailable(f"{100 * share:.0f} % of the structures have no energy")
    return {
        "energy_w1": w1,
        "energy_w1_trimmed": central,
        "energy_js": float(js_distance(ranked[:, None], md[:, None], weights)[0]),
        "energy_failed_percent": 100 * share,
    }


ENERGY = Metric(
    "energy",
    (
        _spec("energy_w1", title="1-Wasserstein distance of potential energies", unit="kJ/mol",
              means="1-Wasserstein distance of the potential energies of model and MD (draw A), after missing "
                    "hydrogens are added and a short minimisation with restrained heavy atoms. Conformations that "
                    "cannot be prepared are left out; if more than half fail, it is not available.",
              cannot_see="It is not robust: a few conformations with a clash or a torn bond decide its value. "
                         "Different conformations may have equal energies. The minimisation repairs broken bonds in "
                         "part: read the validity metrics, too."),
        _spec("energy_w1_trimmed", title="1-Wasserstein distance of potential energies, tails of 10 % left out",
              unit="kJ/mol", paper="doi:10.1111/1467-9868.00121",
              means="`energy_w1` without the tails: mean absolute difference of the quantiles of potential energies "
                    "at all levels from 10 to 90 % (Munk and Czado 1998). Conformations that cannot be prepared "
                    "count above all energies of MD; if more than a tenth fail, it is not available.",
              cannot_see="Up to 10 % of torn conformations do not decide it. Different conformations may have equal "
                         "energies."),
        _spec("energy_js", title="Jensen-Shannon distance of potential energies", unit="", default_view=("peptides",),
              means="Jensen-Shannon distance of the potential energies of model and MD (draw A). Conformations that "
                    "cannot be prepared count above all energies of MD. The logarithm has base 2: 0 is equal, 1 is "
                    "disjoint. The histogram bins belong to MD.",
              cannot_see="Energies beyond MD's range count alike, however large they are. Different conformations "
                         "may have equal energies. Two finite samples of one distribution have a positive value: "
                         "compare it with MD against itself."),
        _spec("energy_failed_percent", title="Conformations beyond repair: no energy", unit="%", aggregate="mean",
              means="Percentage of conformations that cannot be prepared, so that they have no energy.",
              cannot_see="It says nothing about the conformations that have an energy."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
