"""How far a model's distribution of conformations is from MD's.

Definitions: Jing et al., ICML 2024 (arXiv:2402.04845).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.contracts import FloatArray, Metric, MetricSpec, Value
from ebabench.geometry import squared_distances

if TYPE_CHECKING:
    from ebabench.pairing import Pair
    from ebabench.structures import Positions

_spec = partial(
    MetricSpec, version=1, unit="Å", better="lower", aggregate="median", needs="ca", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip


def principal_components(frames: Positions, components: int = 2) -> tuple[FloatArray, FloatArray]:
    """Mean [3N] and leading principal axes [components, 3N] of frames [F, N, 3], flattened."""
    from sklearn.decomposition import PCA

    rows = frames.reshape(len(frames), -1).astype(np.float64)
    fitted = PCA(min(components, *rows.shape), svd_solver="full").fit(rows)
    return fitted.mean_, fitted.components_


def wasserstein2(first: FloatArray, second: FloatArray) -> float:
    """2-Wasserstein distance of two point clouds [n, d] and [m, d], each uniformly weighted; exact."""
    import ot

    cost = squared_distances(first, second)
    return float(np.sqrt(max(ot.emd2([], [], cost, numItermax=10_000_000), 0)))


def pca_w2(first: Positions, second: Positions, axes: tuple[FloatArray, FloatArray]) -> float:
    """2-Wasserstein distance of two ensembles [., N, 3] in a PCA's plane, as an RMSD."""
    mean, components = axes
    a, b = ((frames.reshape(len(frames), -1) - mean) @ components.T for frames in (first, second))
    return wasserstein2(a, b) / float(np.sqrt(first.shape[1]))


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair."""
    a = pair.md_ca[pair.a]
    reference = principal_components(pair.md_ca)
    joint = principal_components(np.concatenate([a, pair.model_ca]))
    return {
        "md_pca_w2": pca_w2(a, pair.model_ca, reference),
        "joint_pca_w2": pca_w2(a, pair.model_ca, joint),
        "md_vs_md_pca_w2": pca_w2(a, pair.md_ca[pair.b], reference),
    }


DISTRIBUTION = Metric(
    "distribution",
    (
        _spec("md_pca_w2", title="2-Wasserstein distance in the plane of MD's principal components",
              reference_key="md_vs_md_pca_w2"),
        _spec("md_vs_md_pca_w2", title="The same, MD against MD", better="reference"),
        _spec("joint_pca_w2", title="2-Wasserstein distance in the plane of the principal components of both"),
    ),
    compute,
)  # fmt: skip
