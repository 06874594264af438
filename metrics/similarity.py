"""Does each sample look like some frame of MD, and each frame of MD like some sample? By lDDT of C-alphas.

Definitions: Jing et al., ICML 2024 (arXiv:2402.04845), section on PDB ensembles; lDDT: Mariani et al., Bioinformatics
29, 2722 (2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import numpy.typing as npt

from ebabench.contracts import FloatArray, Metric, MetricSpec, NotAvailable, Value

if TYPE_CHECKING:
    from ebabench.pairing import Pair
    from ebabench.structures import Positions

INCLUSION = 15.0  # angstrom
_MOST = 100

_spec = partial(
    MetricSpec, version=1, unit="", better="higher", aggregate="median", needs="ca", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip


def lddt(models: Positions, references: Positions) -> FloatArray:
    """Scores lDDT [n, m] of the C-alphas of models [n, C, 3] against references [m, C, 3], in [0, 1].

    Over all pairs of C-alphas nearer than 15 angstrom in the reference, the mean share of those whose distance differs
    by less than 0.5, 1, 2 and 4 angstrom. NaN where there is no such pair.
    """
    found: FloatArray = _lddt(np.ascontiguousarray(models), np.ascontiguousarray(references), INCLUSION)
    return found


@numba.njit(cache=True)
def _lddt(
    models: npt.NDArray[Any], references: npt.NDArray[Any], inclusion: float
) -> npt.NDArray[Any]:  # pragma: no cover
    size = references.shape[1]
    result = np.empty((len(models), len(references)))
    first, second = np.empty(size * size, np.int64), np.empty(size * size, np.int64)
    true = np.empty(size * size)
    for r in range(len(references)):
        count = 0
        for i in range(size):
            for j in range(i):
                square = 0.0
                for x in range(3):
                    square += (references[r, i, x] - references[r, j, x]) ** 2
                if square < inclusion**2:
                    first[count], second[count], true[count] = i, j, np.sqrt(square)
                    count += 1
        for m in range(len(models)):
            kept = 0
            for k in range(count):
                i, j = first[k], second[k]
                x = models[m, i, 0] - models[m, j, 0]
                y = models[m, i, 1] - models[m, j, 1]
                z = models[m, i, 2] - models[m, j, 2]
                error = abs(np.sqrt(x * x + y * y + z * z) - true[k])
                kept += (error < 0.5) + (error < 1.0) + (error < 2.0) + (error < 4.0)
            result[m, r] = kept / (4 * count) if count else np.nan
    return result


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair: of at most 100 samples, evenly spaced, and as many frames of draw A."""
    keys = [spec.key for spec in SIMILARITY.specs]
    if len(pair.ca) < 2:
        return dict.fromkeys(keys, NotAvailable("fewer than two C-alphas"))
    chosen = np.linspace(0, len(pair) - 1, min(len(pair), _MOST)).round().astype(np.int64)
    model, md = pair.model_ca[chosen], pair.md_ca[pair.a[chosen]]
    match = lddt(model, md)
    return {
        "precision": float(match.max(1).mean()),
        "recall": float(match.max(0).mean()),
        "diversity": _diversity(model),
        "md_diversity": _diversity(pair.md_ca[np.unique(pair.a[chosen])]),
    }


def _diversity(frames: Positions) -> float:
    """Mean of 1 - lDDT over all pairs of two frames; NaN of a single one."""
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
