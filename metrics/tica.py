"""Time-lagged independent component analysis (TICA): the slowest linear combinations of features.

Molgedey and Schuster, Phys. Rev. Lett. 72, 3634 (1994); Perez-Hernandez et al., J. Chem. Phys. 139, 015102 (2013).
"""

from __future__ import annotations

import numpy as np

from ebabench.structures.arrays import FloatArray

_LAGS_PER_REPLICA = 100


def lag_time(lengths: tuple[int, ...]) -> int:
    """Return the lag in frames: a hundredth of the shortest replica, rounded down, at least 1."""
    return max(min(lengths) // _LAGS_PER_REPLICA, 1)


def slow_axes(features: FloatArray, lengths: tuple[int, ...], lag: int, axes: int, least: float = 0.0) -> FloatArray:
    """Return the directions [K, axes or fewer] of the slowest motions, the slowest first. Their lengths mean nothing.

    Pairs of frames ``lag`` apart are taken inside a replica only. The estimate is reversible: both frames of a pair
    enter the mean and the instantaneous covariance, and the lagged covariance is made symmetric.

    Args:
        features: [F, K], of all replicas one after the other.
        lengths: Frames of each replica, of sum F.
        lag: In frames.
        axes: How many directions.
        least: Directions in which the features have a smaller variance are left out. 0 leaves out none, and the
            covariance must then have full rank.
    """
    from scipy.linalg import eigh

    starts = np.cumsum((0, *lengths[:-1]))
    now = np.concatenate([features[a : a + n - lag] for a, n in zip(starts, lengths, strict=True) if n > lag])
    later = np.concatenate([features[a + lag : a + n] for a, n in zip(starts, lengths, strict=True) if n > lag])
    center = (now.mean(0) + later.mean(0)) / 2
    now, later = now - center, later - center
    instant = now.T @ now + later.T @ later
    lagged = now.T @ later
    if least <= 0:
        vectors = eigh(lagged + lagged.T, instant, eigvals_only=False)[1]
        slowest: FloatArray = vectors[:, ::-1][:, :axes]
        return slowest
    variances, directions = eigh(instant / (2 * len(now)))
    whiten = directions[:, variances > least] / np.sqrt(variances[variances > least])
    vectors = eigh(whiten.T @ (lagged + lagged.T) @ whiten)[1]
    return np.asarray((whiten @ vectors)[:, ::-1][:, :axes])
