"""2-Wasserstein distances of two point clouds, and how they are estimated from many points.

As many points of equal weight on either side make an assignment problem, solved exactly. Unequal weights make a linear
program, solved exactly by POT (Flamary et al., JMLR 22, 78 (2021)). The time of both grows faster than the square of
the number of points. So above ``EXACT`` points the distance is that of sub-samples of ``EXACT`` points: the mean over
``SUBSAMPLES`` of them, with its standard error. Two finite samples of one distribution are some way apart, the further
the fewer they are: a value from sub-samples is that of ``EXACT`` samples, and so is the floor beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ebabench.errors import RunError
from ebabench.metrics.weighting import systematic
from ebabench.scoring.spec import Approximation
from ebabench.structures.arrays import FloatArray, IndexArray
from ebabench.structures.geometry import squared_distances

EXACT = 1000
SUBSAMPLES = 5
_SEED = 137
_ITERATIONS = 10_000_000

Frames = IndexArray | slice


def over_samples(
    samples: int, weights: FloatArray | None, distance: Callable[[Frames, Frames, FloatArray | None], float]
) -> float | Approximation:
    """Return the distance of all samples, or its mean over sub-samples where there are more than ``EXACT``.

    A sub-sample is drawn without replacement, of a weighted model by systematic resampling; its samples weigh the same.
    The generator is NumPy's default one with the seed (137, k) for the k-th sub-sample, counted from 0.

    Args:
        samples: Number of samples of the model, and of frames of MD.
        weights: [samples], weights of the model's samples, of sum 1; None for equal weights.
        distance: Takes the samples of the model, the frames of MD, and the weights of the model's samples.
    """
    if samples <= EXACT:
        return distance(slice(None), slice(None), weights)
    found = []
    for k in range(SUBSAMPLES):
        random = np.random.default_rng((_SEED, k))
        frames = np.sort(random.choice(samples, EXACT, replace=False))
        if weights is None:
            chosen = np.sort(random.choice(samples, EXACT, replace=False))
        else:
            chosen = systematic(weights, EXACT, random.random())
        found.append(distance(chosen, frames, None))
    return Approximation(float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(SUBSAMPLES)))


def wasserstein2(first: FloatArray, second: FloatArray, weights: FloatArray | None = None) -> float:
    """Return the 2-Wasserstein distance of two point clouds.

    Args:
        first: [n, d].
        second: [n, d], of equal weights.
        weights: [n], weights of ``first``, of sum 1; None for equal weights.
    """
    return float(np.sqrt(least_cost(squared_distances(first, second), weights)))


def torus_w2(first: FloatArray, second: FloatArray, weights: FloatArray | None = None) -> float:
    """Return the 2-Wasserstein distance, in degrees, of two sets of angles on the torus.

    Args:
        first: [n, d], in radians.
        second: [n, d], in radians, of equal weights.
        weights: [n], weights of ``first``, of sum 1; None for equal weights.
    """
    turn = 2 * np.pi
    cost = np.zeros((len(first), len(second)))
    for k in range(first.shape[1]):
        away = np.abs(np.subtract.outer(first[:, k] % turn, second[:, k] % turn))
        cost += np.minimum(away, turn - away) ** 2
    return float(np.degrees(np.sqrt(least_cost(cost, weights))))


def least_cost(cost: FloatArray, weights: FloatArray | None = None) -> float:
    """Return the least mean cost of a transport between the rows and the columns of cost [n, n].

    Args:
        cost: [n, n], all finite.
        weights: [n], weights of the rows, of sum 1; None for equal weights. The columns have equal weights.

    Raises:
        RunError: POT does not find the optimum.
    """
    if weights is None:
        from ebabench.metrics.kernels.assignment import least_mean_cost

        return least_mean_cost(cost)
    import ot

    columns = np.full(cost.shape[1], 1 / cost.shape[1])
    # POT asks for equal masses on both sides, to the last bit or nearly so.
    value, log = ot.emd2(weights / weights.sum(), columns / columns.sum(), cost, numItermax=_ITERATIONS, log=True)
    if log["warning"] is not None:
        raise RunError(f"no optimal transport: {log['warning']}", code="metrics.transport")
    return max(float(value), 0.0)
