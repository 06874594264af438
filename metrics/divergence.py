"""Divergence of distributions of observables: torsions, distances, the radius of gyration, slow motions.

MD is draw A: as many frames as the model has. Jensen-Shannon distances have base 2 and lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.scoring.metric import Metric
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import by_axis, squares_from, torsions

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.structures.arrays import Positions

_spec = partial(MetricSpec, version=1, unit="", better="lower", aggregate="median", needs="ca", depends_on_samples=True)
_APART = 3  # residues: nearer ones are all but rigid
_SLOW, _LAG = 2, 100
_ALPHA, _BETA, _PPII, _LEFT = range(4)
_BACKBONE = ("ramachandran_w2", "basin_populations_tv", "alpha_percent", "md_alpha_percent")


def js_distance(model: npt.NDArray[np.floating], md: npt.NDArray[np.floating]) -> FloatArray:
    """Jensen-Shannon distances [K] of the histograms of K observables, model [n, K] against MD [m, K].

    The bins belong to MD: sqrt(m) of equal width between its lowest and highest value (at least 4, at most 50), and an
    open one at either end. So outliers of the model count as what MD never does and cannot stretch the bins. Infinite
    values of the model fall into the open bins (Lin, IEEE Trans. Inf. Theory 37, 145 (1991)).
    """
    inner = int(np.clip(np.sqrt(len(md)), 4, 50))
    low, high = md.min(0), md.max(0)
    width = np.where(high > low, (high - low) / inner, np.finfo(np.float32).tiny)
    shares = []
    for values in (model, md):
        with np.errstate(over="ignore"):
            index = np.clip(np.floor((values - low) / width), -1, inner).astype(np.int64)
        # MD's highest value lies on the upper edge of the last inner bin, and in it.
        index[values == high] = inner - 1
        flat = index + 1 + (inner + 2) * np.arange(values.shape[1])
        counts = np.bincount(flat.ravel(), minlength=(inner + 2) * values.shape[1])
        shares.append(counts.reshape(values.shape[1], inner + 2) / len(values))
    mean = (shares[0] + shares[1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(p > 0, p * np.log2(p / mean), 0).sum(1) for p in shares]
    divergence: FloatArray = np.sqrt(np.clip((terms[0] + terms[1]) / 2, 0, 1))
    return divergence


def basin_populations(angles: FloatArray) -> FloatArray:
    """Shares [K, 4] of conformations in the backbone basins alpha, beta, PPII and left-handed; angles as ``torsions``.

    The four cover the torus: left-handed phi > 0; of the rest, alpha -100 <= psi <= 50; of the rest, beta phi <= -100;
    PPII what is left. Basins of Jha et al., Biochemistry 44, 9691 (2005), as Beauchamp, Pande and Das used them for
    the populations of peptides (Biophys. J. 106, 1381 (2014)).
    """
    phi, psi = np.moveaxis((np.degrees(angles) + 180) % 360 - 180, -1, 0)
    basin = np.select([phi > 0, (psi >= -100) & (psi <= 50), phi <= -100], [_LEFT, _ALPHA, _BETA], _PPII)
    return np.stack([(basin == k).mean(0) for k in (_ALPHA, _BETA, _PPII, _LEFT)], axis=-1)


def torus_w2(model: FloatArray, md: FloatArray) -> float:
    """2-Wasserstein distance, in degrees, of angles [n, d] and [n, d] in radians on the torus; exact."""
    from ebabench.metrics.assignment import least_mean_cost

    turn = 2 * np.pi
    cost = np.zeros((len(model), len(md)))
    for k in range(model.shape[1]):
        away = np.abs(np.subtract.outer(model[:, k] % turn, md[:, k] % turn))
        cost += np.minimum(away, turn - away) ** 2
    return float(np.degrees(np.sqrt(least_mean_cost(cost))))


def radius_of_gyration(ca: Positions) -> FloatArray:
    """Radius of gyration [S] of the C-alphas of ca [S, C, 3]."""
    away = ca - ca.mean(1, keepdims=True, dtype=np.float64)
    radius: FloatArray = np.sqrt(np.einsum("scx,scx->s", away, away) / ca.shape[1])
    return radius


def slow_axes(features: FloatArray, lengths: tuple[int, ...], lag: int, axes: int) -> FloatArray:
    """Directions [K, axes] of the slowest motions in features [F, K]: time-lagged independent components.

    Pairs of frames ``lag`` apart are taken inside a replica only (``lengths``); the estimate is reversible
    (Perez-Hernandez et al., J. Chem. Phys. 139, 015102 (2013)).
    """
    from scipy.linalg import eigh

    starts = np.cumsum((0, *lengths[:-1]))
    now = np.concatenate([features[a : a + n - lag] for a, n in zip(starts, lengths, strict=True) if n > lag])
    later = np.concatenate([features[a + lag : a + n] for a, n in zip(starts, lengths, strict=True) if n > lag])
    mean = (now.mean(0) + later.mean(0)) / 2
    now, later = now - mean, later - mean
    instant = now.T @ now + later.T @ later
    lagged = now.T @ later
    vectors = eigh(lagged + lagged.T, instant, eigvals_only=False)[1]
    slowest: FloatArray = vectors[:, ::-1][:, :axes]
    return slowest


def compute(pair: Pair) -> Mapping[str, Value]:
    """Every number of the family for one pair."""
    md = pair.md_ca[pair.md_draw]
    radii = (radius_of_gyration(side)[:, None] for side in (pair.model_ca, md))
    return _backbone(pair) | {
        "js_pairwise_distance": _pairwise_distance(pair, md),
        "js_radius_of_gyration": float(js_distance(*radii)[0]),
        "js_tic": _slow_motion(pair),
    }


def _backbone(pair: Pair) -> dict[str, Value]:
    if lack := pair.unavailable_reason("backbone"):
        return dict.fromkeys(_BACKBONE, lack)
    residues, model = torsions(pair.atoms, pair.residue_index, pair.model)
    if not len(residues):
        return dict.fromkeys(_BACKBONE, NotAvailable("no residue has both neighbours"))
    md = pair.of_reference(
        "torsions", 1, lambda: {"angles": torsions(pair.atoms, pair.residue_index, pair.md(pair.md_draw))[1]}
    )
    shares, md_shares = basin_populations(model), basin_populations(md["angles"])
    return {
        "ramachandran_w2": float(np.mean([torus_w2(model[:, k], md["angles"][:, k]) for k in range(len(residues))])),
        "basin_populations_tv": 100 * float(np.abs(shares - md_shares).sum(1).mean()) / 2,
        "alpha_percent": 100 * float(shares[:, _ALPHA].mean()),
        "md_alpha_percent": 100 * float(md_shares[:, _ALPHA].mean()),
    }


def _pairwise_distance(pair: Pair, md: Positions) -> Value:
    along = pair.residue_index[pair.atoms.residue[pair.ca]]
    axes = by_axis(pair.model_ca), by_axis(md)
    found = []
    for k, place in enumerate(along):
        far = int(np.searchsorted(along, place + _APART))
        if far < len(along):
            model, reference = (np.sqrt(squares_from(side, k, far)) for side in axes)
            found.append(js_distance(model, reference))
    if not found:
        return NotAvailable("no two C-alphas are three residues apart")
    return float(np.concatenate(found).mean())


def _slow_motion(pair: Pair) -> Value:
    """TICA of the reference in its leading principal components, at a hundredth of its replicas' length."""
    lag = max(min(pair.replica_lengths) // _LAG, 1)
    frames = sum(pair.replica_lengths)
    count = min(len(pair.md_components[1]), 3 * len(pair.ca) - 6, frames // 10)
    if count < _SLOW or max(pair.replica_lengths) <= lag:
        return NotAvailable("too few C-alphas or frames of the reference for two slow motions")
    mean, components = pair.md_components
    axes = components[:count].T.astype(np.float32)
    md, model = (side.reshape(len(side), -1) @ axes - (mean @ axes) for side in (pair.md_ca, pair.model_ca))
    slow = slow_axes(md, pair.replica_lengths, lag, _SLOW)
    return float(js_distance(model @ slow, md[pair.md_draw] @ slow).mean())


DIVERGENCE = Metric(
    "divergence",
    (
        _spec("ramachandran_w2", title="2-Wasserstein distance of phi and psi, mean over residues", unit="°",
              needs="backbone", paper="doi:10.1016/S0022-2836(63)80023-6"),
        _spec("basin_populations_tv", title="Total variation distance of backbone basins, mean over residues", unit="%",
              needs="backbone", paper="doi:10.1101/002048"),
        _spec("alpha_percent", title="Residues in the alpha basin", unit="%", better="reference", needs="backbone",
              paper="doi:10.1101/002048", reference_key="md_alpha_percent"),
        _spec("md_alpha_percent", title="Residues in the alpha basin, MD", unit="%", better="reference",
              needs="backbone", paper="doi:10.1101/002048"),
        _spec("js_pairwise_distance", title="Jensen-Shannon distance of C-alpha distances", paper="arXiv:2306.03117"),
        _spec("js_radius_of_gyration", title="Jensen-Shannon distance of radii of gyration", paper="arXiv:2306.03117"),
        _spec("js_tic", title="Jensen-Shannon distance along MD's two slowest motions", paper="arXiv:2306.03117"),
    ),
    compute,
)  # fmt: skip
