"""lDDT of C-alphas, all pairs of two ensembles (Mariani et al., Bioinformatics 29, 2722 (2013))."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ebabench.contracts import FloatArray
from ebabench.structures import Positions

INCLUSION = 15.0  # angstrom


def lddt(models: Positions, references: Positions) -> FloatArray:
    """Scores lDDT [n, m] of the C-alphas of models [n, C, 3] against references [m, C, 3], in [0, 1].

    Over all pairs of C-alphas nearer than 15 angstrom in the reference, the mean share of those whose distance differs
    by less than 0.5, 1, 2 and 4 angstrom. NaN where there is no such pair.
    """
    found: FloatArray = _lddt(np.ascontiguousarray(models), np.ascontiguousarray(references), INCLUSION)
    return found


@numba.njit(cache=True)
def _lddt(
    models: npt.NDArray[Any], references: npt.NDArray[Any], inclusion: float
) -> npt.NDArray[Any]:  # pragma: no cover
    size = references.shape[1]
    result = np.empty((len(models), len(references)))
    first, second = np.empty(size * size, np.int64), np.empty(size * size, np.int64)
    true = np.empty(size * size)
    for r in range(len(references)):
        count = 0
        for i in range(size):
            for j in range(i):
                square = 0.0
                for x in range(3):
                    square += (references[r, i, x] - references[r, j, x]) ** 2
                if square < inclusion**2:
                    first[count], second[count], true[count] = i, j, np.sqrt(square)
                    count += 1
        for m in range(len(models)):
            kept = 0
            for k in range(count):
                i, j = first[k], second[k]
                x = models[m, i, 0] - models[m, j, 0]
                y = models[m, i, 1] - models[m, j, 1]
                z = models[m, i, 2] - models[m, j, 2]
                error = abs(np.sqrt(x * x + y * y + z * z) - true[k])
                kept += (error < 0.5) + (error < 1.0) + (error < 2.0) + (error < 4.0)
            result[m, r] = kept / (4 * count) if count else np.nan
    return result
