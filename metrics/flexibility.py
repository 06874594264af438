"""How much a chain moves, and where: fluctuations of atoms, distances between conformations.

Definitions: Jing et al., ICML 2024 (arXiv:2402.04845).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import squared_distances

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import Positions

_BLOCK = 1024
_spec = partial(MetricSpec, version=1, unit="Å", paper="arXiv:2402.04845")


def rmsf(positions: Positions) -> FloatArray:
    """Root mean square fluctuation [N] of every atom of positions [S, N, 3] about its own mean."""
    away = positions - positions.mean(0, dtype=np.float64)
    return np.asarray(np.sqrt(np.einsum("snx,snx->n", away, away) / len(positions)))


def pairwise_rmsd(first: Positions, second: Positions) -> FloatArray:
    """RMSD [n, m] of every frame of first [n, N, 3] from every frame of second [m, N, 3], as they lie."""
    rows = squared_distances(first.reshape(len(first), -1), second.reshape(len(second), -1))
    return np.asarray(np.sqrt(rows / first.shape[1]))


def pearson(first: FloatArray, second: FloatArray) -> float:
    """Pearson's r; NaN where one side does not vary or has fewer than two values."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 and len(first) > 1 else float("nan")


def cross_correlation(ca: Positions) -> FloatArray:
    """Cross-correlation [C, C] of the displacements of ca [F, C, 3] from their means, in [-1, 1]; NaN where none moves.

    Ichiye and Karplus, Proteins 11, 205 (1991).
    """
    mean = ca.mean(0, dtype=np.float64).astype(ca.dtype)
    covariance = np.zeros((ca.shape[1], ca.shape[1]))
    for start in range(0, len(ca), _BLOCK):
        for axis in (ca[start : start + _BLOCK] - mean).transpose(2, 0, 1):
            covariance += axis.T @ axis
    scale = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation: FloatArray = covariance / np.outer(scale, scale)
    return correlation


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair."""
    own = pairwise_rmsd(pair.model_ca, pair.model_ca)
    # Rounding leaves the distance of a frame from itself near zero.
    np.fill_diagonal(own, 0)
    md = pair.of_reference("flexibility", 1, lambda: _of_md(pair))
    spread, md_spread = float(own.mean()), float(md["spread"])
    concert, md_concert = _concert(pair.model_ca), md["concert"]
    values: dict[str, Value] = {
        "pairwise_rmsd": spread,
        "md_pairwise_rmsd": md_spread,
        "pairwise_rmsd_mae": abs(spread - md_spread),
        "dccm_r": pearson(concert, md_concert) if len(concert) else float("nan"),
        "dccm_mae": float(np.abs(concert - md_concert).mean()) if len(concert) else float("nan"),
    }
    if lack := pair.unavailable_reason("heavy"):
        return values | dict.fromkeys(("rmsf_r", "rmsf", "md_rmsf", "rmsf_mae"), lack)
    profile = rmsf(pair.model)
    return values | {
        "rmsf": profile,
        "md_rmsf": pair.md_rmsf,
        "rmsf_r": pearson(profile, pair.md_rmsf),
        "rmsf_mae": float(np.abs(profile - pair.md_rmsf).mean()),
    }


def _of_md(pair: Pair) -> Arrays:
    spread = pairwise_rmsd(pair.md_ca[pair.md_draw], pair.md_ca[pair.md_draw_2]).mean()
    return {"spread": np.asarray(spread), "concert": _concert(pair.md_ca)}


def _concert(ca: Positions) -> FloatArray:
    return cross_correlation(ca)[np.triu_indices(ca.shape[1], 1)]


FLEXIBILITY = Metric(
    "flexibility",
    (
        _spec("pairwise_rmsd", title="RMSD between conformations, C-alpha", better="reference", aggregate="median",
              needs="ca", depends_on_samples=True, reference_key="md_pairwise_rmsd"),
        _spec("md_pairwise_rmsd", title="RMSD between conformations, C-alpha, MD", better="reference",
              aggregate="median", needs="ca", depends_on_samples=True),
        _spec("pairwise_rmsd_r", title="Correlation over targets of RMSD between conformations with MD's", unit="",
              better="higher", aggregate="pearson", needs="ca", of=("pairwise_rmsd", "md_pairwise_rmsd"),
              depends_on_samples=True),
        _spec("pairwise_rmsd_mae", title="Error of the RMSD between conformations", better="lower", aggregate="mean",
              needs="ca", depends_on_samples=True),
        _spec("rmsf", title="Fluctuation of an atom", better="reference", aggregate="pooled_median", needs="heavy",
              depends_on_samples=True, reference_key="md_rmsf"),
        _spec("md_rmsf", title="Fluctuation of an atom, MD", better="reference", aggregate="pooled_median",
              needs="heavy"),
        _spec("rmsf_r", title="Correlation of fluctuations with MD's, in a target", unit="", better="higher",
              aggregate="median", needs="heavy", depends_on_samples=True),
        _spec("rmsf_r_global", title="Correlation of fluctuations with MD's, all atoms of all targets", unit="",
              better="higher", aggregate="pooled_pearson", needs="heavy", of=("rmsf", "md_rmsf"),
              depends_on_samples=True),
        _spec("rmsf_mae", title="Error of fluctuations, mean over atoms", better="lower", aggregate="median",
              needs="heavy", depends_on_samples=True),
        _spec("dccm_r", title="Correlation of cross-correlations of C-alphas with MD's", unit="", better="higher",
              aggregate="median", needs="ca", paper="doi:10.1002/prot.340110305", depends_on_samples=True),
        _spec("dccm_mae", title="Error of cross-correlations of C-alphas", unit="", better="lower",
              aggregate="median", needs="ca", paper="doi:10.1002/prot.340110305", depends_on_samples=True),
    ),
    compute,
)  # fmt: skip
