"""Distributions of single torsions: backbone, peptide bond and side chains.

The definition of MDGen (Jing et al., NeurIPS 2024, arXiv:2409.17808), so that figures compare with published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.metrics.histograms import jensen_shannon
from ebabench.metrics.torsion_counts import BINS, bins, histogram, md_counts
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.torsions import BACKBONE, SIDE_CHAIN

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair

NATURAL = float(np.sqrt(np.log(2)))
"""A Jensen-Shannon distance of base 2, times this, is one of natural logarithms."""

_spec = partial(
    MetricSpec, version=1, unit="", better="lower", aggregate="median", depends_on_samples=True,
    paper="arXiv:2409.17808",
)  # fmt: skip
_KINDS: dict[str, tuple[str, ...]] = {
    "js_backbone_torsions": BACKBONE,
    "js_side_chain_torsions": SIDE_CHAIN,
    "js_omega_torsions": ("omega",),
}


def torsion_histograms(angles: npt.NDArray[np.floating], weights: FloatArray | None = None) -> FloatArray:
    """Return the shares [T, 100] of angles [S, T] in radians in 100 equal bins from -pi to pi.

    Args:
        angles: [S, T].
        weights: [S], of sum 1; None for equal weights.
    """
    if weights is None:
        return np.asarray(histogram(bins(angles), BINS) / len(angles))
    size = angles.shape[1]
    flat = (bins(angles) + BINS * np.arange(size)).ravel()
    return np.asarray(np.bincount(flat, np.repeat(weights, size), BINS * size).reshape(size, BINS), float)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    lacks = {
        key: pair.unavailable_reason("heavy" if kinds == SIDE_CHAIN else "backbone") for key, kinds in _KINDS.items()
    }
    if all(lacks.values()):
        return {key: lack for key, lack in lacks.items() if lack}
    model = torsion_histograms(pair.model_torsions, pair.weights)
    frames = sum(pair.replica_lengths)
    md = pair.of_reference("torsion_histograms", 1, lambda: {"shares": md_counts(pair)["bins"] / frames})
    distances = NATURAL * jensen_shannon(model, md["shares"])
    values: dict[str, Value] = {}
    for key, kinds in _KINDS.items():
        columns = pair.torsions.of(*kinds)
        values[key] = lacks[key] or (
            float(distances[columns].mean()) if len(columns) else NotAvailable(f"no torsion {', '.join(kinds)}")
        )
    return values


TORSIONS = Metric(
    "torsions",
    (
        _spec("js_backbone_torsions", title="Jensen-Shannon distance (nats) of phi and psi, mean over torsions",
              needs="backbone", default_view=("peptides", "atlas"),
              means="Jensen-Shannon distance of phi and psi between model and MD, in 100 equal bins from -180° to "
                    "180°, mean over torsions. Logarithms are natural, as in MDGen: 0 is equal, 0.8326 is disjoint.",
              cannot_see="Each torsion is compared alone: which torsions change together does not count. Two finite "
                         "samples of one distribution have a positive value: compare it with MD against itself."),
        _spec("js_side_chain_torsions", title="Jensen-Shannon distance (nats) of chi angles, mean over torsions",
              needs="heavy", default_view=("peptides",),
              means="Jensen-Shannon distance of chi1 to chi5 between model and MD, in 100 equal bins from -180° to "
                    "180°, mean over torsions. Logarithms are natural, as in MDGen: 0 is equal, 0.8326 is disjoint.",
              cannot_see="Each torsion is compared alone: which torsions change together does not count. Equivalent "
                         "atoms are taken as they are named: a ring that is numbered the other way round counts as "
                         "another conformation. Two finite samples of one distribution have a positive value: "
                         "compare it with MD against itself."),
        _spec("js_omega_torsions", title="Jensen-Shannon distance (nats) of omega, mean over peptide bonds",
              needs="backbone",
              means="Jensen-Shannon distance of omega between model and MD, in 100 equal bins from -180° to 180°, "
                    "mean over peptide bonds. Logarithms are natural, as in MDGen: 0 is equal, 0.8326 is disjoint. "
                    "MDGen does not have it.",
              cannot_see="It sees cis bonds and bends of the peptide bond, and no other motion. Two finite samples "
                         "of one distribution have a positive value: compare it with MD against itself."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
