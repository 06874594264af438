"""Whether an ensemble is as diverse as MD's: distances between ensembles alone are kind to a single structure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.flexibility import pairwise_rmsd
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, Value
from ebabench.structures.arrays import FloatArray

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.structures.arrays import Positions

_spec = partial(
    MetricSpec, version=1, unit="", better="reference", aggregate="median", needs="ca", depends_on_samples=True,
    paper="doi:10.1038/163688a0",
)  # fmt: skip


def effective_conformations(distances: FloatArray, near: float) -> float:
    """One over the chance that two samples, drawn with replacement, are nearer than ``near``.

    The inverse Simpson index (Simpson, Nature 163, 688 (1949)) with a radius in place of species: n for n samples that
    are all apart, k for k tight clusters of equal size, 1 for a single structure.

    Args:
        distances: [n, n], zero on the diagonal.
        near: what counts as the same conformation, in the unit of ``distances``.
    """
    return 1 / float((distances < near).mean())


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair. "Near": half of the mean distance between two frames of MD.

    MD has as many frames as the model, evenly spaced over its replicas.
    """
    frames = np.linspace(0, len(pair.md_ca) - 1, min(len(pair), len(pair.md_ca))).round().astype(np.int64)
    model, md = (_distances(positions) for positions in (pair.model_ca, pair.md_ca[frames]))
    near = float(md.sum()) / (len(md) * (len(md) - 1)) / 2
    if not near > 0:
        return dict.fromkeys((spec.key for spec in COLLAPSE.specs), float("nan"))
    return {
        "effective_conformations": effective_conformations(model, near),
        "md_effective_conformations": effective_conformations(md, near),
    }


def _distances(positions: Positions) -> FloatArray:
    distances = pairwise_rmsd(positions, positions)
    np.fill_diagonal(distances, 0)  # rounding leaves it near zero
    return distances


COLLAPSE = Metric(
    "collapse",
    (
        _spec("effective_conformations", title="Effective number of distinct conformations",
              reference_key="md_effective_conformations"),
        _spec("md_effective_conformations", title="Effective number of distinct conformations, MD"),
    ),
    compute,
)  # fmt: skip
