"""Free-energy surfaces of two coordinates: error and coverage, as bioemu-benchmarks defines them.

Lewis et al., Science 389, eadv9817 (2025); class ``DistributionMetrics2D`` of bioemu-benchmarks. There, densities come
from 1,000,000 points, drawn from the samples with Gaussian noise of 0.25 standard deviations. Here the density is the
expected one, so that nothing is random: each sample is spread over the bins as the noise would on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import Positions

KT = 0.001987203599772605 * 300  # kcal/mol
NOISE = 0.25  # standard deviations of MD
BINS = 50
CUTOFF = 4.0  # kcal/mol above the minimum
RESAMPLED = 1_000_000
_AT_ONCE = 4_000_000  # coordinates
_REACH = 3.0  # widths of the noise: how far the grid reaches beyond MD

_spec = partial(
    MetricSpec, version=1, unit="kcal/mol", better="lower", aggregate="median", needs="ca", depends_on_samples=True,
    paper="doi:10.1126/science.adv9817",
)  # fmt: skip


class SurfaceError(NamedTuple):
    """Errors in kcal/mol over the bins that MD and the model share, and the share of MD's bins that are these."""

    mae: float
    rmse: float
    coverage: float


def surface(md: FloatArray) -> Arrays:
    """Return MD's smoothed density of two coordinates.

    Args:
        md: [m, 2], coordinates that both vary.

    Returns:
        "width" [2], the standard deviation of each coordinate; "edges" [2, 51], the edges of the bins in units of the
        width; "density" [50, 50], the probability of each bin.
    """
    width = md.std(0)
    scaled = md / width
    low, high = scaled.min(0) - _REACH * NOISE, scaled.max(0) + _REACH * NOISE
    edges = np.linspace(low, high, BINS + 1).T
    return {"width": width, "edges": edges, "density": smoothed(scaled, edges)}


def smoothed(points: FloatArray, edges: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return the probability [B, B] of each bin when Gaussian noise of width ``NOISE`` is added to points.

    Args:
        points: [n, 2].
        edges: [2, B + 1].
        weights: [n], of sum 1; None for equal weights.
    """
    from scipy.special import ndtr

    x, y = (np.diff(ndtr((edges[k] - points[:, k : k + 1]) / NOISE), axis=1) for k in (0, 1))
    weighted = x / len(points) if weights is None else x * weights[:, None]
    return np.asarray(weighted.T @ y)


def surface_error(md: Arrays, model: FloatArray, weights: FloatArray | None = None) -> SurfaceError:
    """Return how far the model's free energy is from MD's where MD's is at most 4 kcal/mol above its minimum.

    A bin is covered if at least one of 1,000,000 points drawn from the smoothed model is expected in it. Free energies
    are -kT ln p at 300 K, known up to a constant: the constant is the one that makes the error least, the median of the
    differences for the mean absolute error, and their mean for the root mean square error.

    Args:
        md: What ``surface`` returns.
        model: [n, 2], the model's samples in the same coordinates.
        weights: [n], of sum 1; None for equal weights.
    """
    low = md["density"] > md["density"].max() * np.exp(-CUTOFF / KT)
    density = smoothed(model / md["width"], md["edges"], weights)
    common = low & (density * RESAMPLED >= 1)
    if not common.any():
        return SurfaceError(np.nan, np.nan, 0.0)
    away = KT * np.log(md["density"][common] / density[common])
    mae = float(np.abs(away - np.median(away)).mean())
    return SurfaceError(mae, float(away.std()), float(common.sum() / low.sum()))


def plane_errors(prefix: str, md: Arrays, model: FloatArray, weights: FloatArray | None) -> dict[str, Value]:
    """Return the errors under the keys PREFIX_mae, PREFIX_rmse and PREFIX_coverage; arguments as ``surface_error``."""
    error = surface_error(md, model, weights)
    values: dict[str, Value] = {f"{prefix}_{name}": value for name, value in error._asdict().items()}
    if not error.coverage:
        values |= dict.fromkeys((f"{prefix}_mae", f"{prefix}_rmse"), NotAvailable("no sample where MD's frames are"))
    return values


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair, in the plane of MD's first two principal components."""
    center, components = pair.md_components
    keys = [spec.key for spec in FREE_ENERGY.specs]
    if len(components) < 2:
        return dict.fromkeys(keys, NotAvailable("fewer than two principal components"))

    def projected(ca: Positions) -> FloatArray:
        rows = ca.reshape(len(ca), -1)
        blocks = np.array_split(rows, max(rows.size // _AT_ONCE, 1))
        return np.concatenate([(block - center) @ components[:2].T for block in blocks])

    md = pair.of_reference("free_energy", 1, lambda: surface(projected(pair.md_ca)))
    if not (md["width"] > 0).all():
        return dict.fromkeys(keys, NotAvailable("the reference does not vary"))
    return plane_errors("free_energy", md, projected(pair.model_ca), pair.weights)


FREE_ENERGY = Metric(
    "free_energy",
    (
        _spec("free_energy_mae", title="Mean absolute error of the free energy in the plane of MD's PCA",
              means="Mean absolute error of the free-energy surface in the plane of the first two principal "
                    "components of the C-alphas of all reference frames, by the definition of bioemu-benchmarks. "
                    "Both are compared where MD's free energy is at most 4 kcal/mol above its minimum and where the "
                    "model has samples.",
              cannot_see="A state that the model lacks is left out of the error: read `free_energy_coverage`, too. "
                         "Only two components of the C-alphas count."),
        _spec("free_energy_rmse", title="Root mean square error of the free energy in the plane of MD's PCA",
              means="Root mean square error of the free-energy surface in the plane of the first two principal "
                    "components of the C-alphas of all reference frames, by the definition of bioemu-benchmarks. "
                    "Both are compared where MD's free energy is at most 4 kcal/mol above its minimum and where the "
                    "model has samples.",
              cannot_see="A state that the model lacks is left out of the error: read `free_energy_coverage`, too. "
                         "Only two components of the C-alphas count."),
        _spec("free_energy_coverage", title="Share of MD's low free-energy bins that the model reaches in the plane",
              unit="", better="higher",
              means="Share of the bins of the plane of `free_energy_mae` with a low free energy in MD (at most 4 "
                    "kcal/mol above its minimum) in which at least one of 1,000,000 points of the model is "
                    "expected.",
              cannot_see="It does not see how often the model visits a bin, nor states that MD does not have."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
