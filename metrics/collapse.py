"""Whether an ensemble is as diverse as MD's. Distances between ensembles hardly penalise a single structure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ebabench.metrics.flexibility import own_rmsd, total_own_rmsd
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, Value
from ebabench.structures.arrays import FloatArray, evenly_spaced

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.structures.arrays import Positions

_spec = partial(
    MetricSpec, version=1, unit="", better="reference", aggregate="median", needs="ca", depends_on_samples=True,
    paper="doi:10.1038/163688a0",
)  # fmt: skip


def effective_conformations(ca: Positions, near: float, weights: FloatArray | None = None) -> float:
    """Return one over the chance that two samples, drawn with replacement, are nearer than a limit.

    This is the inverse Simpson index (Simpson, Nature 163, 688 (1949)) with a radius in place of species: n for n
    samples that are all apart, k for k tight clusters of equal weight, 1 for a single structure.

    Args:
        ca: [n, C, 3].
        near: RMSD below which two samples are the same conformation, in the unit of ``ca``.
        weights: [n], of sum 1; None for equal weights.
    """
    if weights is None:
        pairs = sum(int((block < near).sum()) for _, block in own_rmsd(ca))
        return 1 / (pairs / len(ca) ** 2)
    return 1 / sum(float(weights[k : k + len(block)] @ (block < near) @ weights) for k, block in own_rmsd(ca))


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair. "Near" is half of the mean RMSD of two frames of MD.

    MD has as many frames as the model, evenly spaced over its replicas.
    """
    frames = evenly_spaced(len(pair.md_ca), len(pair))
    md = pair.md_ca[frames]
    near = total_own_rmsd(md) / (len(md) * (len(md) - 1)) / 2
    if not near > 0:
        return dict.fromkeys((spec.key for spec in COLLAPSE.specs), float("nan"))
    return {
        "effective_conformations": effective_conformations(pair.model_ca, near, pair.weights),
        "md_effective_conformations": effective_conformations(md, near),
    }


COLLAPSE = Metric(
    "collapse",
    (
        _spec("effective_conformations", title="Effective number of distinct conformations",
              reference_key="md_effective_conformations",
              means="Inverse of the probability that two conformations, drawn with replacement, are nearer than "
                    "half of the mean distance (C-alpha RMSD) between two MD frames (inverse Simpson index). It is "
                    "1 for a single structure. The MD side is n frames, evenly spaced over the reference "
                    "(`numpy.linspace(0, F - 1, min(n, F))`, rounded), and its mean distance leaves out pairs of a "
                    "frame with itself.",
              cannot_see="It counts conformations that differ, whether they are right or wrong. It depends on the "
                         "structure onto which frames are superposed. A short peptide has no fold, and the choice "
                         "is arbitrary there."),
        _spec("md_effective_conformations", title="Effective number of distinct conformations, MD"),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
