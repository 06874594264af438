"""How far a model's distribution of conformations is from MD's.

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
from ebabench.structures.geometry import principal_components, squared_distances

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import Positions

_spec = partial(
    MetricSpec, version=1, unit="Å", better="lower", aggregate="median", needs="ca", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip

_BLOCK = 128
_MOMENTS = ("mean", "covariance")
Gaussians = tuple[FloatArray, FloatArray]


def wasserstein2(first: FloatArray, second: FloatArray) -> float:
    """2-Wasserstein distance of two point clouds [n, d] and [n, d], each uniformly weighted; exact.

    As many points on either side: the optimal transport is an assignment.
    """
    from ebabench.metrics.assignment import least_mean_cost

    return float(np.sqrt(least_mean_cost(squared_distances(first, second))))


def pca_w2(first: Positions, second: Positions, axes: tuple[FloatArray, FloatArray]) -> float:
    """2-Wasserstein distance of two ensembles [., N, 3] in a PCA's plane, as an RMSD."""
    mean, components = axes
    a, b = ((frames.reshape(len(frames), -1) - mean) @ components.T for frames in (first, second))
    return wasserstein2(a, b) / float(np.sqrt(first.shape[1]))


def rmwd(model: Gaussians, md: Gaussians) -> tuple[float, float]:
    """Root mean square over atoms of the 2-Wasserstein distance of Gaussians.

    Returns:
        The part of the means and the part of the covariances: sqrt(tr(S1 + S2 - 2 (S1 S2)^1/2)).
    """
    (mean1, covariance1), (mean2, covariance2) = model, md
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    # S1 S2 has the eigenvalues of the symmetric root(S1) S2 root(S1).
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance2 @ root), 0)).sum(1)
    variance = np.trace(covariance1 + covariance2, axis1=1, axis2=2) - 2 * cross
    return float(np.sqrt(((mean1 - mean2) ** 2).sum(1).mean())), float(np.sqrt(np.maximum(variance, 0).mean()))


def gaussians(frames: Positions) -> Gaussians:
    """Gaussians fitted to frames [S, N, 3]: every atom's mean [N, 3] and population covariance [N, 3, 3]."""
    mean = frames.mean(0, dtype=np.float64)
    covariance = np.zeros((*mean.shape, 3))
    for start in range(0, len(frames), _BLOCK):
        away = np.ascontiguousarray((frames[start : start + _BLOCK] - mean).transpose(1, 2, 0))
        covariance += away @ away.transpose(0, 2, 1)
    return mean, covariance / len(frames)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair."""
    a = pair.md_ca[pair.md_draw]
    mean, axes = pair.md_components
    reference = mean, axes[:2]
    joint = principal_components(np.concatenate([a, pair.model_ca]), 2)
    own = principal_components(pair.model_ca, 1)
    values: dict[str, Value] = {
        "md_pca_w2": pca_w2(a, pair.model_ca, reference),
        "joint_pca_w2": pca_w2(a, pair.model_ca, joint),
        "md_vs_md_pca_w2": float(pair.of_reference("plane", 1, lambda: _in_plane(pair, reference))["w2"]),
        "pc_sim": abs(float(own[1][0] @ reference[1][0])),
    }
    if lack := pair.unavailable_reason("heavy"):
        return values | dict.fromkeys(("rmwd", "rmwd_translation", "rmwd_variance"), lack)
    md = pair.of_reference(
        "gaussians", 1, lambda: dict(zip(_MOMENTS, gaussians(pair.md(pair.md_draw_1000)), strict=True))
    )
    translation, variance = rmwd(gaussians(pair.model), (md["mean"], md["covariance"]))
    return values | {
        "rmwd": float(np.hypot(translation, variance)),
        "rmwd_translation": translation,
        "rmwd_variance": variance,
    }


def _in_plane(pair: Pair, axes: tuple[FloatArray, FloatArray]) -> Arrays:
    return {"w2": np.asarray(pca_w2(pair.md_ca[pair.md_draw], pair.md_ca[pair.md_draw_2], axes))}


DISTRIBUTION = Metric(
    "distribution",
    (
        _spec("rmwd", title="Root mean square 2-Wasserstein distance of an atom's distribution", needs="heavy"),
        _spec("rmwd_translation", title="The same, part of the mean positions", needs="heavy"),
        _spec("rmwd_variance", title="The same, part of the fluctuations", needs="heavy"),
        _spec("md_pca_w2", title="2-Wasserstein distance in the plane of MD's principal components",
              reference_key="md_vs_md_pca_w2"),
        _spec("md_vs_md_pca_w2", title="The same, MD against MD", better="reference"),
        _spec("joint_pca_w2", title="2-Wasserstein distance in the plane of the principal components of both"),
        _spec("pc_sim", title="Cosine of the first principal components of model and MD", unit="", better="higher"),
        _spec("pc_sim_percent", title="Targets with a cosine of first principal components above 0.5", unit="%",
              better="higher", aggregate="percent_above_half", of=("pc_sim",)),
    ),
    compute,
)  # fmt: skip
