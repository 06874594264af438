"""How much a chain moves, and where: fluctuations of atoms, distances between conformations, concerted motion.

Definitions of rmsf and pairwise_rmsd: Jing et al., ICML 2024 (arXiv:2402.04845). Cross-correlations: Ichiye and
Karplus, Proteins 11, 205 (1991).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.correlation import pearson
from ebabench.metrics.weighting import mean
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


def rmsf(positions: Positions, weights: FloatArray | None = None) -> FloatArray:
    """Return the root mean square fluctuation [N] of every atom about its own mean.

    Args:
        positions: [S, N, 3], superposed.
        weights: [S], of sum 1; None for equal weights.
    """
    away = positions - mean(positions, weights)
    if weights is None:
        return np.asarray(np.sqrt(np.einsum("snx,snx->n", away, away) / len(positions)))
    return np.asarray(np.sqrt(np.einsum("s,snx,snx->n", weights, away, away)))


def pairwise_rmsd(first: Positions, second: Positions) -> FloatArray:
    """Return the RMSD [n, m] of every frame of first [n, N, 3] from every frame of second [m, N, 3], as they lie."""
    rows = squared_distances(first.reshape(len(first), -1), second.reshape(len(second), -1))
    return np.asarray(np.sqrt(rows / first.shape[1]))


def own_rmsd(frames: Positions) -> Iterator[tuple[int, FloatArray]]:
    """Yield the matrix of RMSD of frames [S, N, 3] from each other, in blocks of rows, with the first row's index.

    The diagonal is zero. Blocks keep the memory of many frames in bounds.
    """
    for start in range(0, len(frames), _BLOCK):
        block = pairwise_rmsd(frames[start : start + _BLOCK], frames)
        # Rounding leaves the distance of a frame from itself near zero.
        block[np.arange(len(block)), start + np.arange(len(block))] = 0
        yield start, block


def total_own_rmsd(frames: Positions) -> float:
    """Return the sum of the matrix of RMSD of frames [S, N, 3] from each other."""
    return float(sum(float(block.sum()) for _, block in own_rmsd(frames)))


def mean_own_rmsd(frames: Positions, weights: FloatArray | None = None) -> float:
    """Return the mean RMSD over all pairs of frames [S, N, 3], each frame with itself included."""
    if weights is None:
        return total_own_rmsd(frames) / len(frames) ** 2
    return float(sum(weights[k : k + len(block)] @ block @ weights for k, block in own_rmsd(frames)))


def cross_correlation(ca: Positions, weights: FloatArray | None = None) -> FloatArray:
    """Return the cross-correlation [C, C], in [-1, 1], of displacements from the mean; NaN where a point never moves.

    Args:
        ca: [F, C, 3], superposed.
        weights: [F], of sum 1; None for equal weights.
    """
    center = mean(ca, weights).astype(ca.dtype)
    covariance = np.zeros((ca.shape[1], ca.shape[1]))
    for start in range(0, len(ca), _BLOCK):
        for axis in (ca[start : start + _BLOCK] - center).transpose(2, 0, 1):
            weighted = axis if weights is None else weights[start : start + _BLOCK, None] * axis
            covariance += weighted.T @ axis
    scale = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation: FloatArray = covariance / np.outer(scale, scale)
    return correlation


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    md = pair.of_reference("flexibility", 1, lambda: _of_md(pair))
    spread, md_spread = mean_own_rmsd(pair.model_ca, pair.weights), float(md["spread"])
    concert, md_concert = _concert(pair.model_ca, pair.weights), md["concert"]
    values: dict[str, Value] = {
        "pairwise_rmsd": spread,
        "md_pairwise_rmsd": md_spread,
        "pairwise_rmsd_mae": abs(spread - md_spread),
        "dccm_r": pearson(concert, md_concert) if len(concert) else float("nan"),
        "dccm_mae": float(np.abs(concert - md_concert).mean()) if len(concert) else float("nan"),
    }
    if lack := pair.unavailable_reason("heavy"):
        return values | dict.fromkeys(("rmsf_r", "rmsf", "md_rmsf", "rmsf_mae"), lack)
    profile = rmsf(pair.model, pair.weights)
    return values | {
        "rmsf": profile,
        "md_rmsf": pair.md_rmsf,
        "rmsf_r": pearson(profile, pair.md_rmsf),
        "rmsf_mae": float(np.abs(profile - pair.md_rmsf).mean()),
    }


def _of_md(pair: Pair) -> Arrays:
    first, second = pair.md_ca[pair.md_draw], pair.md_ca[pair.md_draw_2]
    blocks = (pairwise_rmsd(first[start : start + _BLOCK], second) for start in range(0, len(first), _BLOCK))
    spread = sum(float(block.sum()) for block in blocks) / (len(first) * len(second))
    return {"spread": np.asarray(spread), "concert": _concert(pair.md_ca, None)}


def _concert(ca: Positions, weights: FloatArray | None) -> FloatArray:
    return cross_correlation(ca, weights)[np.triu_indices(ca.shape[1], 1)]


FLEXIBILITY = Metric(
    "flexibility",
    (
        _spec("pairwise_rmsd", title="RMSD between conformations, C-alpha", better="reference", aggregate="median",
              needs="ca", depends_on_samples=True, reference_key="md_pairwise_rmsd", default_view=("atlas",),
              means="Mean C-alpha RMSD over all pairs of conformations of the model, each conformation with itself "
                    "included. MD's value is the mean over all pairs of a frame of draw A and a frame of draw B.",
              cannot_see="It is the width of the ensemble in one number. It does not see which residues move, nor "
                         "in which direction. It depends on the structure onto which frames are superposed. A short "
                         "peptide has no fold, and the choice is arbitrary there."),
        _spec("md_pairwise_rmsd", title="RMSD between conformations, C-alpha, MD", better="reference",
              aggregate="median", needs="ca", depends_on_samples=True),
        _spec("pairwise_rmsd_r", title="Correlation over targets of RMSD between conformations with MD's", unit="",
              better="higher", aggregate="pearson", needs="ca", of=("pairwise_rmsd", "md_pairwise_rmsd"),
              depends_on_samples=True,
              means="Pearson correlation over the targets of a suite between `pairwise_rmsd` and MD's value: "
                    "whether the model moves those proteins more that MD moves more.",
              cannot_see="It does not see scale. With eight targets its interval spans most of the range."),
        _spec("pairwise_rmsd_mae", title="Error of the RMSD between conformations", better="lower", aggregate="mean",
              needs="ca", depends_on_samples=True,
              means="Absolute difference between `pairwise_rmsd` and MD's value. Aggregate: mean over targets.",
              cannot_see="It sees the width of an ensemble only. Two different ensembles of one width have an error "
                         "of 0."),
        _spec("rmsf", title="Fluctuation of an atom", better="reference", aggregate="pooled_median", needs="heavy",
              depends_on_samples=True, reference_key="md_rmsf",
              means="Root mean square fluctuation (RMSF) of a heavy atom about its own mean, over all frames. "
                    "Aggregate: median over all atoms of all targets. MD's value comes from all reference frames.",
              cannot_see="The median does not see which atoms move. It depends on the structure onto which frames "
                         "are superposed. A short peptide has no fold, and the choice is arbitrary there. "
                         "`distance_rmsf` needs no superposition."),
        _spec("md_rmsf", title="Fluctuation of an atom, MD", better="reference", aggregate="pooled_median",
              needs="heavy"),
        _spec("rmsf_r", title="Correlation of fluctuations with MD's, in a target", unit="", better="higher",
              aggregate="median", needs="heavy", depends_on_samples=True, default_view=("atlas",),
              means="Pearson correlation over heavy atoms between the RMSF of model and MD, per target.",
              cannot_see="It does not see scale: a model that moves ten times too much in the right places has 1. "
                         "It depends on the structure onto which frames are superposed. A short peptide has no "
                         "fold, and the choice is arbitrary there."),
        _spec("rmsf_r_global", title="Correlation of fluctuations with MD's, all atoms of all targets", unit="",
              better="higher", aggregate="pooled_pearson", needs="heavy", of=("rmsf", "md_rmsf"),
              depends_on_samples=True,
              means="Pearson correlation between the RMSF of model and MD over all heavy atoms of all targets of a "
                    "suite.",
              cannot_see="It does not see scale, and targets with large fluctuations decide it. It depends on the "
                         "structure onto which frames are superposed. A short peptide has no fold, and the choice "
                         "is arbitrary there."),
        _spec("rmsf_mae", title="Error of fluctuations, mean over atoms", better="lower", aggregate="median",
              needs="heavy", depends_on_samples=True,
              means="Mean over heavy atoms of the absolute difference of RMSF between model and MD, per target. "
                    "Unlike `rmsf_r` it sees scale.",
              cannot_see="It does not see which atoms move together. It depends on the structure onto which frames "
                         "are superposed. A short peptide has no fold, and the choice is arbitrary there."),
        _spec("dccm_r", title="Correlation of cross-correlations of C-alphas with MD's", unit="", better="higher",
              aggregate="median", needs="ca", paper="doi:10.1002/prot.340110305", depends_on_samples=True,
              means="Pearson correlation between the C-alpha cross-correlation matrices of model and MD (Ichiye and "
                    "Karplus 1991), over all pairs of C-alphas. MD is all reference frames.",
              cannot_see="Cross-correlations are normalised: the size of a motion does not count. Two C-alphas that "
                         "move together at right angles have a cross-correlation of 0."),
        _spec("dccm_mae", title="Error of cross-correlations of C-alphas", unit="", better="lower",
              aggregate="median", needs="ca", paper="doi:10.1002/prot.340110305", depends_on_samples=True,
              means="Mean absolute difference between the C-alpha cross-correlation matrices of model and MD "
                    "(Ichiye and Karplus 1991), over all pairs of C-alphas. MD is all reference frames.",
              cannot_see="Cross-correlations are normalised: the size of a motion does not count. Two C-alphas that "
                         "move together at right angles have a cross-correlation of 0."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
