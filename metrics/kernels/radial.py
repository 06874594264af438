"""The radial kernel exp(-gamma |x - y|^2) of all pairs of points, to the bit as a support vector machine computes it.

libsvm, which scikit-learn is built on, takes |x - y|^2 from scalar products when it is trained, and from differences
when it predicts. Cross-validation asks for the same pairs in every fold; here each pair is computed once. The scalar
products are those of SciPy's BLAS, in both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray
from ebabench.system.compilation import cached_njit

_Array = npt.NDArray[Any]
_TILE = 16  # points: two tiles fit into a core's cache


def radial_kernels(points: FloatArray, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Return the kernels [K, K] of training and of prediction; they are equal but for rounding.

    Args:
        points: [K, D].
        gamma: Of the kernel.

    Example:
        >>> trained, predicting = radial_kernels(np.array([[0.0], [1.0], [3.0]]), 1.0)
        >>> (-np.log(trained)).round(6).tolist()
        [[-0.0, 1.0, 9.0], [1.0, -0.0, 4.0], [9.0, 4.0, -0.0]]
    """
    points = np.ascontiguousarray(points, np.float64)
    trained, predicting = np.empty((len(points),) * 2), np.empty((len(points),) * 2)
    _fill(points, gamma, trained, predicting)
    return trained, predicting


@cached_njit(error_model="numpy", nogil=True)
def _fill(points: _Array, gamma: float, trained: _Array, predicting: _Array) -> None:  # pragma: no cover
    count, size = points.shape
    square, away = np.empty(count), np.empty(size)
    for i in range(count):
        square[i] = np.dot(points[i], points[i])
    for first in range(0, count, _TILE):
        for second in range(first, count, _TILE):
            for i in range(first, min(first + _TILE, count)):
                for j in range(max(second, i), min(second + _TILE, count)):
                    product = square[i] + square[j] - 2 * np.dot(points[i], points[j])
                    trained[i, j] = trained[j, i] = math.exp(-gamma * product)
                    for k in range(size):
                        away[k] = points[i, k] - points[j, k]
                    predicting[i, j] = predicting[j, i] = math.exp(-gamma * np.dot(away, away))
