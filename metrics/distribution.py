"""How far a model's distribution of conformations is from MD's, in planes of principal components and atom by atom.

Definitions: Jing et al., ICML 2024 (arXiv:2402.04845).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.transport import EXACT, Frames, over_samples, wasserstein2
from ebabench.metrics.weighting import mean
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import Approximation, MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import principal_components

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import Positions

_spec = partial(
    MetricSpec, version=1, unit="Å", better="lower", aggregate="median", needs="ca", paper="arXiv:2402.04845",
    depends_on_samples=True,
)  # fmt: skip

_BLOCK = 128
_MOVING = 3  # C-alphas that move in more than one way once they are superposed
_MOMENTS = ("mean", "covariance")
Gaussians = tuple[FloatArray, FloatArray]


def pca_w2(
    md: Positions, model: Positions, axes: tuple[FloatArray, FloatArray], weights: FloatArray | None = None
) -> float | Approximation:
    """Return the 2-Wasserstein distance of two ensembles in a plane, as an RMSD in the unit of the positions.

    Args:
        md: [n, N, 3], of equal weights.
        model: [n, N, 3].
        axes: Mean [3N] and directions [2, 3N] of the plane.
        weights: [n], weights of ``model``, of sum 1; None for equal weights.
    """
    center, components = axes
    a, b = ((frames.reshape(len(frames), -1) - center) @ components.T for frames in (md, model))

    def distance(chosen: Frames, frames: Frames, own: FloatArray | None) -> float:
        w2 = wasserstein2(a[frames], b[chosen]) if own is None else wasserstein2(b[chosen], a[frames], own)
        return w2 / float(np.sqrt(md.shape[1]))

    return over_samples(len(b), weights, distance)


def rmwd(model: Gaussians, md: Gaussians) -> tuple[float, float]:
    """Return the root mean square over atoms of the 2-Wasserstein distance of Gaussians, in two parts.

    Args:
        model: Every atom's mean [N, 3] and covariance [N, 3, 3].
        md: The same of MD.

    Returns:
        The part of the means, and the part of the covariances, sqrt(tr(S1 + S2 - 2 (S1 S2)^1/2)).
    """
    (mean1, covariance1), (mean2, covariance2) = model, md
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    # S1 S2 has the eigenvalues of the symmetric root(S1) S2 root(S1).
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance2 @ root), 0)).sum(1)
    variance = np.trace(covariance1 + covariance2, axis1=1, axis2=2) - 2 * cross
    return float(np.sqrt(((mean1 - mean2) ** 2).sum(1).mean())), float(np.sqrt(np.maximum(variance, 0).mean()))


def gaussians(frames: Positions, weights: FloatArray | None = None) -> Gaussians:
    """Return every atom's mean [N, 3] and population covariance [N, 3, 3].

    Args:
        frames: [S, N, 3], superposed.
        weights: [S], of sum 1; None for equal weights.
    """
    center = mean(frames, weights)
    covariance = np.zeros((*center.shape, 3))
    for start in range(0, len(frames), _BLOCK):
        away = np.ascontiguousarray((frames[start : start + _BLOCK] - center).transpose(1, 2, 0))
        weighted = away if weights is None else away * weights[start : start + _BLOCK]
        covariance += weighted @ away.transpose(0, 2, 1)
    return center, covariance / (len(frames) if weights is None else 1)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    a, weights = pair.md_ca[pair.md_draw], pair.weights
    center, axes = pair.md_components
    reference = center, axes[:2]
    both = None if weights is None else np.concatenate([np.full(len(a), 0.5 / len(a)), weights / 2])
    joint = principal_components(np.concatenate([a, pair.model_ca]), 2, both)
    own = principal_components(pair.model_ca, 1, weights)
    values: dict[str, Value] = {
        "md_pca_w2": pca_w2(a, pair.model_ca, reference, weights),
        "joint_pca_w2": pca_w2(a, pair.model_ca, joint, weights),
        "md_vs_md_pca_w2": float(pair.of_reference("plane", 1, lambda: _in_plane(pair, reference))["w2"]),
        "pc_sim": abs(float(own[1][0] @ reference[1][0]))
        if a.shape[1] >= _MOVING
        else NotAvailable("fewer than three C-alphas, which move in one way at most"),
    }
    if lack := pair.unavailable_reason("heavy"):
        return values | dict.fromkeys(("rmwd", "rmwd_translation", "rmwd_variance"), lack)
    md = pair.of_reference(
        "gaussians", 1, lambda: dict(zip(_MOMENTS, gaussians(pair.md(pair.md_draw_1000)), strict=True))
    )
    translation, variance = rmwd(gaussians(pair.model, weights), (md["mean"], md["covariance"]))
    return values | {
        "rmwd": float(np.hypot(translation, variance)),
        "rmwd_translation": translation,
        "rmwd_variance": variance,
    }


def _in_plane(pair: Pair, axes: tuple[FloatArray, FloatArray]) -> Arrays:
    w2 = pca_w2(pair.md_ca[pair.md_draw], pair.md_ca[pair.md_draw_2], axes)
    return {"w2": np.asarray(w2.value if isinstance(w2, Approximation) else w2)}


DISTRIBUTION = Metric(
    "distribution",
    (
        _spec("rmwd", title="Root mean square 2-Wasserstein distance of an atom's distribution", needs="heavy",
              default_view=("atlas",),
              means="Root mean square over atoms of the 2-Wasserstein distance between Gaussians fitted to the "
                    "positions of the atom in model and MD. MD is draw C. Covariances are population covariances "
                    "(division by the number of frames).",
              cannot_see="Each atom is compared alone and as a Gaussian: several states of an atom, and atoms that "
                         "move together, do not count. It depends on the structure onto which frames are "
                         "superposed. A short peptide has no fold, and the choice is arbitrary there."),
        _spec("rmwd_translation", title="The same, part of the mean positions", needs="heavy",
              means="The part of `rmwd` that comes from mean positions. Its square and that of `rmwd_variance` add "
                    "up to the square of `rmwd`.",
              cannot_see="It does not see motion: a single structure at MD's mean positions has 0. It depends on "
                         "the structure onto which frames are superposed. A short peptide has no fold, and the "
                         "choice is arbitrary there."),
        _spec("rmwd_variance", title="The same, part of the fluctuations", needs="heavy",
              means="The part of `rmwd` that comes from covariances. Its square and that of `rmwd_translation` add "
                    "up to the square of `rmwd`.",
              cannot_see="It does not see where the mean positions are. Several states of an atom count as one wide "
                         "Gaussian. It depends on the structure onto which frames are superposed. A short peptide "
                         "has no fold, and the choice is arbitrary there."),
        _spec("md_pca_w2", title="2-Wasserstein distance in the plane of MD's principal components",
              reference_key="md_vs_md_pca_w2", exact_up_to=EXACT, default_view=("atlas",),
              means="2-Wasserstein distance between the MD frames of draw A and the model's conformations, in the "
                    "plane of the first two principal components of the C-alphas of all reference frames, divided "
                    "by the square root of the number of C-alphas.",
              cannot_see="Motions that MD does not have lie outside of the plane: `joint_pca_w2` sees them. Two "
                         "components may be a small part of all motion. It contains the noise of a finite number of "
                         "frames, which `md_vs_md_pca_w2` shows."),
        _spec("md_vs_md_pca_w2", title="The same, MD against MD", better="reference", exact_up_to=EXACT,
              means="`md_pca_w2` between draws A and B of MD. It is the part of `md_pca_w2` that comes from the "
                    "finite number of frames.",
              cannot_see="It says nothing about the model."),
        _spec("joint_pca_w2", title="2-Wasserstein distance in the plane of the principal components of both",
              exact_up_to=EXACT,
              means="2-Wasserstein distance as in `md_pca_w2`, in the plane of the first two principal components "
                    "of draw A together with the model's conformations. It sees motions that MD does not have.",
              cannot_see="The plane depends on the model: the values of two models are distances in two planes. Two "
                         "components may be a small part of all motion."),
        _spec("pc_sim", title="Cosine of the first principal components of model and MD", unit="", better="higher",
              means="Absolute cosine between the first principal component of the model's C-alphas and that of all "
                    "reference frames.",
              cannot_see="It is arbitrary if the two largest motions have equal variance. It does not see how large "
                         "the motion is."),
        _spec("pc_sim_percent", title="Targets with a cosine of first principal components above 0.5", unit="%",
              better="higher", aggregate="percent_above_half", of=("pc_sim",),
              means="Percentage of the targets of a suite with a `pc_sim` above 0.5.",
              cannot_see="It does not see how far above or below the threshold a target is, nor how large the "
                         "motion is."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
