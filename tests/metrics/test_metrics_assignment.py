"""The assignment behind Wasserstein distances costs what SciPy's does."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from ebabench.metrics.kernels.assignment import least_mean_cost


@pytest.mark.parametrize("points", [1, 2, 7, 60])
@pytest.mark.parametrize("levels", [None, 3])
def test_the_least_cost_is_scipys_with_and_without_ties(points: int, levels: int | None) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        cost = rng.random((points, points)) if levels is None else rng.integers(0, levels, (points, points)) / 2.0
        rows, columns = linear_sum_assignment(cost)
        assert least_mean_cost(cost) == pytest.approx(cost[rows, columns].mean(), rel=1e-12, abs=1e-12)
