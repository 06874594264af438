"""lDDT of C-alphas, all pairs of two ensembles (Mariani et al., Bioinformatics 29, 2722 (2013))."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.compilation import cached_njit

INCLUSION = 15.0  # angstrom


def lddt(models: Positions, references: Positions) -> FloatArray:
    """Return the lDDT [n, m], in [0, 1], of every model against every reference.

    A score is the mean, over the thresholds 0.5, 1, 2 and 4 angstrom, of the share of pairs of C-alphas whose distance
    differs by less. Pairs nearer than 15 angstrom in the reference count. NaN where there is no such pair.

    Args:
        models: [n, C, 3] in angstrom, C-alphas.
        references: [m, C, 3] in angstrom, C-alphas.
    """
    found: FloatArray = _lddt(np.ascontiguousarray(models), np.ascontiguousarray(references), INCLUSION)
    return found


@cached_njit(error_model="numpy", nogil=True)
def _lddt(
    models: npt.NDArray[Any], references: npt.NDArray[Any], inclusion: float
) -> npt.NDArray[Any]:  # pragma: no cover
    size = references.shape[1]
    result = np.full((len(models), len(references)), np.nan)
    distances = np.empty(size * (size - 1) // 2, np.float32)
    # All models' distances of one pair lie side by side: they are compared at once.
    of_models = np.empty((len(distances), len(models)), np.float32)
    for m in range(len(models)):
        _distances(models[m], distances)
        for k in range(len(distances)):
            of_models[k, m] = distances[k]
    kept = np.empty(len(models), np.int32)
    for r in range(len(references)):
        _distances(references[r], distances)
        near = 0
        for m in range(len(models)):
            kept[m] = 0
        for k in range(len(distances)):
            if distances[k] < inclusion:
                near += 1
                _count(of_models[k], distances[k], kept)
        if near:
            for m in range(len(models)):
                result[m, r] = kept[m] / (4 * near)
    return result


@cached_njit(error_model="numpy")
def _count(distances: npt.NDArray[Any], true: float, kept: npt.NDArray[Any]) -> None:  # pragma: no cover
    """Add to ``kept`` the number of thresholds, of four, within which each distance is right."""
    for m in range(len(distances)):
        error = abs(distances[m] - true)
        right = np.int32(error < np.float32(0.5)) + np.int32(error < np.float32(1.0))
        right += np.int32(error < np.float32(2.0)) + np.int32(error < np.float32(4.0))
        kept[m] += right


@cached_njit(error_model="numpy")
def _distances(positions: npt.NDArray[Any], found: npt.NDArray[Any]) -> None:  # pragma: no cover
    """Write the distances of all pairs of points, one row of pairs after the other."""
    start = 0
    for i in range(1, len(positions)):
        for j in range(i):
            x = positions[i, 0] - positions[j, 0]
            y = positions[i, 1] - positions[j, 1]
            z = positions[i, 2] - positions[j, 2]
            found[start + j] = np.sqrt(x * x + y * y + z * z)
        start += i
