"""Distances between C-alphas: their distributions and their fluctuations. Nothing is superposed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.histograms import bin_count, binned, jensen_shannon
from ebabench.metrics.weighting import mean
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import by_axis, squares_from

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import Positions

_APART = 3  # residues: distances of nearer ones hardly vary
_spec = partial(
    MetricSpec, version=1, unit="Å", better="reference", needs="ca", depends_on_samples=True,
    paper="doi:10.1371/journal.pone.0036382",
)  # fmt: skip


def distance_fluctuation(variances: FloatArray, points: int) -> FloatArray:
    """Return the root mean square fluctuation [C] of the distances of every point from all others.

    The square of a point's value is the mean, over all other points, of the variance of their distance. Like the RMSF,
    it says how much a point moves, but relative to the others: no superposition and no native structure enters.

    Args:
        variances: [P], variances of the distances of pairs i < j, in the order of ``numpy.triu_indices(points, 1)``.
        points: C, at least 2.
    """
    square = np.zeros((points, points))
    square[np.triu_indices(points, 1)] = variances
    return np.asarray(np.sqrt((square + square.T).sum(1) / (points - 1)))


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    if len(pair.ca) < 2:
        return dict.fromkeys((spec.key for spec in DISTANCES.specs), NotAvailable("fewer than two C-alphas"))
    bins = bin_count(len(pair))
    md = pair.of_reference("distances", 1, lambda: _of_md(pair.md_ca, bins))
    size = len(pair.ca)
    along = pair.residue_index[pair.atoms.residue[pair.ca]]
    first, second = np.triu_indices(size, 1)
    far = along[second] - along[first] >= _APART
    axes, variances, divergences, start = by_axis(pair.model_ca), np.empty(len(first)), [], 0
    for k in range(size - 1):
        found = np.sqrt(squares_from(axes, k, k + 1).astype(np.float64))
        stop = start + size - 1 - k
        variances[start:stop] = mean((found - mean(found, pair.weights)) ** 2, pair.weights)
        chosen = np.flatnonzero(far[start:stop])
        low, high, shares = (md[name][start + chosen] for name in ("low", "high", "shares"))
        divergences.append(jensen_shannon(binned(found[:, chosen], low, high, bins, pair.weights), shares))
        start = stop
    own, reference = distance_fluctuation(variances, size), distance_fluctuation(md["variance"], size)
    values: dict[str, Value] = {
        "distance_rmsf": own,
        "md_distance_rmsf": reference,
        "distance_rmsf_mae": float(np.abs(own - reference).mean()),
        "js_pairwise_distance": NotAvailable("no two C-alphas are three residues apart"),
    }
    if far.any():
        values["js_pairwise_distance"] = float(np.concatenate(divergences).mean())
    return values


def _of_md(ca: Positions, bins: int) -> Arrays:
    from ebabench.metrics.kernels.distances import pair_distances

    found = pair_distances(ca, bins)
    shares = found.counts / len(ca)
    return {"low": found.low, "high": found.high, "variance": found.variance, "shares": shares}


DISTANCES = Metric(
    "distances",
    (
        _spec("distance_rmsf", title="Fluctuation of a C-alpha's distances from the others", aggregate="pooled_median",
              reference_key="md_distance_rmsf",
              means="Fluctuation of a C-alpha relative to the others: the square root of the mean, over all other "
                    "C-alphas, of the variance of their distance. One value per residue; aggregate: median over all "
                    "residues of all targets. It needs no superposition and no native structure.",
              cannot_see="It sees no side chains. The median does not see which residues move."),
        _spec("md_distance_rmsf", title="Fluctuation of a C-alpha's distances from the others, MD",
              aggregate="pooled_median"),
        _spec("distance_rmsf_mae", title="Error of the fluctuations of distances, mean over C-alphas", better="lower",
              aggregate="median", default_view=("peptides",),
              means="Mean over residues of the absolute difference of `distance_rmsf` between model and MD, per "
                    "target. It needs no superposition and no native structure.",
              cannot_see="It sees no side chains, and not whether two distances change together."),
        _spec("js_pairwise_distance", version=2, title="Jensen-Shannon distance of C-alpha distances", unit="",
              better="lower", aggregate="median", paper="arXiv:2306.03117",
              means="Jensen-Shannon distance of each C-alpha distance between model and MD, mean over pairs three "
                    "or more residues apart. The logarithm has base 2: 0 is equal, 1 is disjoint. The histogram "
                    "bins belong to MD.",
              cannot_see="Each distance is compared alone: whether two distances change together does not count. A "
                         "mirror image has the same distances. Two finite samples of one distribution have a "
                         "positive value: compare it with MD against itself."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
