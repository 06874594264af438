"""Whether each sample looks like some frame of MD, and each frame of MD like some sample, by lDDT of C-alphas.

Definitions: Jing et al., ICML 2024 (arXiv:2402.04845), section on PDB ensembles; lDDT: Mariani et al., Bioinformatics
29, 2722 (2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.weighting import systematic
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import evenly_spaced

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import FloatArray, IndexArray, Positions

_MOST = 100

_spec = partial(
    MetricSpec, version=1, unit="", better="higher", aggregate="median", needs="ca", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair, from at most 100 samples and as many frames of draw A.

    Samples are evenly spaced. Where there are more than 100 of unequal weights, 100 are drawn by systematic resampling,
    and weigh the same. ``recall`` does not depend on the weights of the samples that it finds.
    """
    from ebabench.metrics.kernels.lddt import lddt

    if len(pair.ca) < 2:
        return dict.fromkeys((spec.key for spec in SIMILARITY.specs), NotAvailable("fewer than two C-alphas"))
    spaced = evenly_spaced(len(pair), _MOST)
    weights, samples = pair.weights, spaced
    if weights is not None and len(pair) > _MOST:
        samples, weights = systematic(weights, _MOST), None
    model, md = pair.model_ca[samples], pair.md_ca[pair.md_draw[spaced]]
    match = lddt(model, md)
    best = match.max(1)
    return {
        "precision": float(best.mean() if weights is None else weights @ best),
        "recall": float(match.max(0).mean()),
        "diversity": _diversity(model, weights),
        "md_diversity": float(pair.of_reference("diversity", 1, lambda: _of_md(pair, spaced))["diversity"]),
    }


def _of_md(pair: Pair, chosen: IndexArray) -> Arrays:
    return {"diversity": np.asarray(_diversity(pair.md_ca[np.unique(pair.md_draw[chosen])], None))}


def _diversity(frames: Positions, weights: FloatArray | None) -> float:
    """Return the mean of 1 - lDDT over all pairs of two frames; NaN for a single frame.

    With weights, the mean over all pairs, each frame with itself included, times n / (n - 1).
    """
    from ebabench.metrics.kernels.lddt import lddt

    if len(frames) < 2:
        return float("nan")
    own = lddt(frames, frames)
    if weights is None:
        return float(1 - own[~np.eye(len(own), dtype=bool)].mean())
    return float(weights @ (1 - own) @ weights) * len(own) / (len(own) - 1)


SIMILARITY = Metric(
    "similarity",
    (
        _spec(
            "precision",
            title="lDDT of a sample with the frame of MD most like it",
            means="lDDT of a conformation of the model with the MD frame most similar to it, mean over "
            "conformations: whether what the model makes is found in MD.",
            cannot_see="A model that repeats one frame of MD has 1. On tetrapeptides it is near 1 for almost any "
            "ensemble, because four C-alphas have few ways to differ.",
        ),
        _spec(
            "recall",
            title="lDDT of a frame of MD with the sample most like it",
            means="lDDT of an MD frame with the conformation of the model most similar to it, mean over frames: "
            "whether what is in MD is found by the model.",
            cannot_see="Conformations that MD does not have cost nothing, and weights do not count. On "
            "tetrapeptides it is near 1 for almost any ensemble, because four C-alphas have few ways "
            "to differ.",
        ),
        _spec(
            "diversity",
            title="1 - lDDT between samples",
            better="reference",
            reference_key="md_diversity",
            means="1 - lDDT, mean over pairs of conformations of the model. MD's value uses each drawn frame once.",
            cannot_see="It counts conformations that differ, whether they are right or wrong.",
        ),
        _spec("md_diversity", title="1 - lDDT between frames of MD", better="reference"),
    ),
    compute,
    honours_weights=True,
)
