"""Divergence of distributions of observables of the C-alpha trace: the radius of gyration, slow motions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.metrics.histograms import bin_count, js_distance
from ebabench.metrics.tica import lag_time, slow_axes
from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.structures.arrays import Positions

_spec = partial(
    MetricSpec, version=2, unit="", better="lower", aggregate="median", needs="ca", depends_on_samples=True,
    paper="arXiv:2306.03117",
)  # fmt: skip
_BLOCK = 1024  # frames
_SLOW = 2
_FRAMES_PER_COMPONENT = 10


def radius_of_gyration(ca: Positions) -> FloatArray:
    """Return the radius of gyration [S] of the C-alphas of ca [S, C, 3], each of the same mass."""
    radius = np.empty(len(ca))
    for start in range(0, len(ca), _BLOCK):
        block = ca[start : start + _BLOCK]
        away = block - block.mean(1, keepdims=True, dtype=np.float64)
        radius[start : start + _BLOCK] = np.sqrt(np.einsum("scx,scx->s", away, away) / ca.shape[1])
    return radius


def compute(pair: Pair) -> Mapping[str, Value]:
    """Return every number of the family for one pair."""
    md = pair.of_reference("gyration", 1, lambda: {"radii": radius_of_gyration(pair.md_ca)})["radii"]
    own = radius_of_gyration(pair.model_ca)
    bins = bin_count(len(pair))
    return {
        "js_radius_of_gyration": float(js_distance(own[:, None], md[:, None], pair.weights, bins)[0]),
        "js_tic": _slow_motion(pair, bins),
    }


def _slow_motion(pair: Pair, bins: int) -> Value:
    lag = lag_time(pair.replica_lengths)
    frames = sum(pair.replica_lengths)
    count = min(len(pair.md_components[1]), 3 * len(pair.ca) - 6, frames // _FRAMES_PER_COMPONENT)
    if count < _SLOW or max(pair.replica_lengths) <= lag:
        return NotAvailable("too few C-alphas or frames of the reference for two slow motions")
    center, components = pair.md_components
    axes = components[:count].T.astype(np.float32)
    md, model = (side.reshape(len(side), -1) @ axes - (center @ axes) for side in (pair.md_ca, pair.model_ca))
    try:
        slow = slow_axes(md, pair.replica_lengths, lag, _SLOW)
    except np.linalg.LinAlgError:
        return NotAvailable("the reference varies in too few directions for two slow motions")
    return float(js_distance(model @ slow, md @ slow, pair.weights, bins).mean())


DIVERGENCE = Metric(
    "divergence",
    (
        _spec("js_radius_of_gyration", title="Jensen-Shannon distance of radii of gyration",
              means="Jensen-Shannon distance of the radius of gyration of the C-alphas between model and MD. The "
                    "logarithm has base 2: 0 is equal, 1 is disjoint. The histogram bins belong to MD.",
              cannot_see="It sees how compact a conformation is, and not its shape. Two finite samples of one "
                         "distribution have a positive value: compare it with MD against itself."),
        _spec("js_tic", title="Jensen-Shannon distance along the two slowest motions of MD's C-alphas",
              means="Jensen-Shannon distance between model and MD along the two slowest time-lagged independent "
                    "components (TICA) of MD, mean of both. The components are computed from all reference frames "
                    "in the leading principal components of the C-alphas. Their number is the least of 20, 3C - 6 "
                    "and a tenth of the number of frames, where C is the number of C-alphas. The logarithm has base "
                    "2: 0 is equal, 1 is disjoint. The histogram bins belong to MD.",
              cannot_see="It sees the slowest motions of the C-alphas only. In short peptides the slowest motions "
                         "are torsions of side chains or salt bridges, which C-alphas often do not show; "
                         "`js_torsion_tic_0` sees these. Two finite samples of one distribution have a positive "
                         "value: compare it with MD against itself."),
    ),
    compute,
    honours_weights=True,
)  # fmt: skip
