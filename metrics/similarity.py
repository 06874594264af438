"""Does each sample look like some frame of MD, and each frame of MD like some sample? By lDDT of C-alphas.

Definitions: Jing et al., ICML 2024 (arXiv:2402.04845), section on PDB ensembles; lDDT: Mariani et al., Bioinformatics
29, 2722 (2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import IndexArray, Positions

_MOST = 100

_spec = partial(
    MetricSpec, version=1, unit="", better="higher", aggregate="median", needs="ca", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair: of at most 100 samples, evenly spaced, and as many frames of draw A."""
    from ebabench.metrics.lddt import lddt

    keys = [spec.key for spec in SIMILARITY.specs]
    if len(pair.ca) < 2:
        return dict.fromkeys(keys, NotAvailable("fewer than two C-alphas"))
    chosen = np.linspace(0, len(pair) - 1, min(len(pair), _MOST)).round().astype(np.int64)
    model, md = pair.model_ca[chosen], pair.md_ca[pair.md_draw[chosen]]
    match = lddt(model, md)
    return {
        "precision": float(match.max(1).mean()),
        "recall": float(match.max(0).mean()),
        "diversity": _diversity(model),
        "md_diversity": float(pair.of_reference("diversity", 1, lambda: _of_md(pair, chosen))["diversity"]),
    }


def _of_md(pair: Pair, chosen: IndexArray) -> Arrays:
    return {"diversity": np.asarray(_diversity(pair.md_ca[np.unique(pair.md_draw[chosen])]))}


def _diversity(frames: Positions) -> float:
    """Mean of 1 - lDDT over all pairs of two frames; NaN of a single one."""
    from ebabench.metrics.lddt import lddt

    if len(frames) < 2:
        return float("nan")
    own = lddt(frames, frames)
    return float(1 - own[~np.eye(len(own), dtype=bool)].mean())


SIMILARITY = Metric(
    "similarity",
    (
        _spec("precision", title="lDDT of a sample with the frame of MD most like it"),
        _spec("recall", title="lDDT of a frame of MD with the sample most like it"),
        _spec("diversity", title="1 - lDDT between samples", better="reference", reference_key="md_diversity"),
        _spec("md_diversity", title="1 - lDDT between frames of MD", better="reference"),
    ),
    compute,
)
