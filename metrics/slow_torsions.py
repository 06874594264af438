"""The slowest motions of MD's torsions: where the model is along them.

C-alpha components miss the slow motions of peptides, which are in side chains and single torsions. Definitions of MDGen
(Jing et al., NeurIPS 2024, arXiv:2409.17808): TICA on sines and cosines of phi, psi and chi.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.free_energy import plane_errors, surface
from ebabench.metrics.histograms import jensen_shannon
from ebabench.metrics.tica import lag_time, slow_axes
from ebabench.metrics.torsions import NATURAL
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray, IndexArray
from ebabench.structures.torsions import BACKBONE, SIDE_CHAIN

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.reference_cache import Arrays
    from ebabench.structures.arrays import Positions

_BINS, _BINS_2D = 100, 50
_LEAST_VARIANCE = 1e-6
_MOST_TORSIONS = 250
_FRAMES_PER_FEATURE = 10
_spec = partial(
    MetricSpec, version=1, unit="", better="lower", aggregate="median", needs="heavy", depends_on_samples=True,
    paper="arXiv:2409.17808",
)  # fmt: skip
_energy_spec = partial(_spec, unit="kcal/mol", paper="doi:10.1126/science.adv9817")


def features(angles: Positions) -> FloatArray:
    """Return sines and cosines [S, 2 T] of angles [S, T] in radians."""
    wide = angles.astype(np.float64)
    return np.concatenate([np.sin(wide), np.cos(wide)], axis=1)


def joint_histograms(first: FloatArray, second: FloatArray, bins: int, weights: FloatArray | None) -> FloatArray:
    """Return the shares [2, bins^d] of two sets of points on one grid, from the least to the greatest value of both.

    Args:
        first: [n, d].
        second: [m, d], of equal weights.
        bins: Number of bins in each direction.
        weights: [n], weights of ``first``, of sum 1; None for equal weights.
    """
    low = np.minimum(first.min(0), second.min(0))
    high = np.maximum(first.max(0), second.max(0))
    scale = bins / np.where(high > low, high - low, 1)
    shape = (bins,) * first.shape[1]
    shares = []
    for points, own in ((first, weights), (second, None)):
        index = np.clip((points - low) * scale, 0, bins - 1).astype(np.int64)
        flat = np.ravel_multi_index(tuple(index.T), shape)
        mass = np.full(len(points), 1 / len(points)) if own is None else own
        shares.append(np.bincount(flat, mass, bins ** len(shape)))
    return np.stack(shares)


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    keys = [spec.key for spec in SLOW_TORSIONS.specs]
    if lack := pair.unavailable_reason("heavy"):
        return dict.fromkeys(keys, lack)
    columns, frames = pair.torsions.of(*BACKBONE, *SIDE_CHAIN), sum(pair.replica_lengths)
    if not len(columns):
        return dict.fromkeys(keys, NotAvailable("the atoms in common define no torsion"))
    if len(columns) > _MOST_TORSIONS:
        return dict.fromkeys(
            keys, NotAvailable(f"{len(columns)} torsions: slow motions are found among at most {_MOST_TORSIONS}")
        )
    lag = lag_time(pair.replica_lengths)
    if frames < _FRAMES_PER_FEATURE * 2 * len(columns) or max(pair.replica_lengths) <= lag:
        return dict.fromkeys(
            keys, NotAvailable(f"too few frames of the reference ({frames}) for {len(columns)} torsions")
        )
    md = pair.of_reference("slow_torsions", 1, lambda: _of_md(pair, columns, lag))
    if md["axes"].shape[1] < 2 or not (md["width"] > 0).all():
        return dict.fromkeys(keys, NotAvailable("the torsions of the reference do not vary"))
    model = (features(pair.model_torsions[:, columns]) - md["center"]) @ md["axes"]
    tics = md["tics"]
    one = joint_histograms(model[:, :1], tics[:, :1], _BINS, pair.weights)
    both = joint_histograms(model, tics, _BINS_2D, pair.weights)
    return {
        "js_torsion_tic_0": NATURAL * float(jensen_shannon(one[:1], one[1:])[0]),
        "js_torsion_tic_01": NATURAL * float(jensen_shannon(both[:1], both[1:])[0]),
    } | plane_errors("torsion_free_energy", md, model, pair.weights)


def _of_md(pair: Pair, columns: IndexArray, lag: int) -> Arrays:
    found = features(pair.md_torsions(np.arange(sum(pair.replica_lengths)))[:, columns])
    center = found.mean(0)
    axes = slow_axes(found, pair.replica_lengths, lag, 2, _LEAST_VARIANCE)
    tics = (found - center) @ axes
    if axes.shape[1] < 2:
        return {"center": center, "axes": axes, "width": np.zeros(2)}
    return {"center": center, "axes": axes, "tics": tics, **surface(tics)}


SLOW_TORSIONS = Metric(
    "slow_torsions",
    (
        _spec("js_torsion_tic_0", title="Jensen-Shannon distance (nats) along the slowest motion of MD's torsions",
              default_view=("peptides",),
              means="Jensen-Shannon distance between model and MD along the slowest component of the sines and "
                    "cosines of all phi, psi and chi, in 100 equal bins from the least to the greatest value of "
                    "both. The component comes from all reference frames by time-lagged independent component "
                    "analysis (TICA). Logarithms are natural, as in MDGen: 0 is equal, 0.8326 is disjoint.",
              cannot_see="One direction counts. A slow motion that MD makes once or twice is itself uncertain. It "
                         "is not available for more than 250 torsions, nor with fewer than 20 reference frames per "
                         "torsion. Two finite samples of one distribution have a positive value: compare it with MD "
                         "against itself."),
        _spec("js_torsion_tic_01", title="Jensen-Shannon distance (nats) in the plane of MD's two slowest torsions",
              means="Jensen-Shannon distance between model and MD in the plane of the two slowest components of "
                    "`js_torsion_tic_0`, in 50 by 50 bins. Logarithms are natural, as in MDGen: 0 is equal, 0.8326 "
                    "is disjoint.",
              cannot_see="With a few hundred conformations most bins are empty, and MD against itself is near the "
                         "value of any model."),
        _energy_spec("torsion_free_energy_mae", title="Mean absolute error of the free energy in that plane",
                     means="Mean absolute error of the free-energy surface in the plane of the two slowest "
                           "components of `js_torsion_tic_0`, as in `free_energy_mae`. Both are compared where MD's "
                           "free energy is at most 4 kcal/mol above its minimum and where the model has samples.",
                     cannot_see="A state that the model lacks is left out of the error: read "
                                "`torsion_free_energy_coverage`, too. A slow motion that MD makes once or twice is "
                                "itself uncertain."),
        _energy_spec("torsion_free_energy_rmse", title="Root mean square error of the free energy in that plane",
                     means="Root mean square error of the free-energy surface in the plane of the two slowest "
                           "components of `js_torsion_tic_0`, as in `free_energy_rmse`. Both are compared where "
                           "MD's free energy is at most 4 kcal/mol above its minimum and where the model has "
                           "samples.",
                     cannot_see="A state that the model lacks is left out of the error: read "
                                "`torsion_free_energy_coverage`, too. A slow motion that MD makes once or twice is "
                                "itself uncertain."),
        _energy_spec("torsion_free_energy_coverage", title="Share of MD's low free-energy bins that the model reaches",
                     unit="", better="higher",
                     means="Share of the bins of the plane of `torsion_free_energy_mae` with a low free energy in "
                           "MD that the model reaches, as in `free_energy_coverage`.",
                     cannot_see="It does not see how often the model visits a bin, nor states that MD does not "
                                "have."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
