"""The assignment of least cost, exact: the optimal transport between two clouds of as many points of equal weight.

The algorithm is that of Jonker and Volgenant (Computing 38, 325 (1987)): column reduction, reduction transfer, then
shortest augmenting paths for the remaining rows. Augmenting row reduction is left out: it takes longer than it saves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray
from ebabench.system.compilation import cached_njit

_Array = npt.NDArray[Any]


def least_mean_cost(cost: FloatArray) -> float:
    """Return the mean cost of the best one-to-one assignment of rows to columns.

    Args:
        cost: [n, n], all finite.
    """
    columns: npt.NDArray[np.int64] = _assign(np.ascontiguousarray(cost, np.float64))
    return float(cost[np.arange(len(cost)), columns].mean())


@cached_njit(error_model="numpy", nogil=True)
def _assign(cost: _Array) -> _Array:  # pragma: no cover
    """Return the column of every row."""
    size = len(cost)
    price = np.empty(size)
    column_of, row_of = np.full(size, -1), np.full(size, -1)
    _reduce_columns(cost, price, column_of, row_of)
    for row in range(size):
        if column_of[row] < 0:
            _augment(row, cost, price, column_of, row_of)
    return column_of


@cached_njit(error_model="numpy")
def _reduce_columns(cost: _Array, price: _Array, column_of: _Array, row_of: _Array) -> None:  # pragma: no cover
    """Price columns at their least entries, and assign each row one of the columns whose least entry it has."""
    size = len(cost)
    least = np.zeros(size, np.int64)
    for column in range(size):  # an assignment of arrays takes numba two seconds to compile
        price[column] = cost[0, column]
    for row in range(1, size):
        for column in range(size):
            if cost[row, column] < price[column]:
                price[column], least[column] = cost[row, column], row
    cheapest_in = np.zeros(size, np.int64)
    for column in range(size - 1, -1, -1):
        cheapest_in[least[column]] += 1
        if column_of[least[column]] < 0:
            column_of[least[column]], row_of[column] = column, least[column]
    for row in range(size):
        if cheapest_in[row] == 1:
            own, second = column_of[row], np.inf
            for column in range(size):
                if column != own:
                    second = min(second, cost[row, column] - price[column])
            if size > 1:
                price[own] -= second


@cached_njit(error_model="numpy")
def _augment(start: int, cost: _Array, price: _Array, column_of: _Array, row_of: _Array) -> None:  # pragma: no cover
    """Find the shortest path from a free row to a free column, and move the rows along it to other columns."""
    size = len(cost)
    distance, before, done = np.empty(size), np.empty(size, np.int64), np.zeros(size, np.bool_)
    for column in range(size):
        distance[column], before[column] = cost[start, column] - price[column], start
    while True:
        least, nearest = np.inf, -1
        for column in range(size):
            if not done[column] and distance[column] < least:
                least, nearest = distance[column], column
        row = row_of[nearest]
        if row < 0:
            break
        done[nearest] = True
        offset = least - (cost[row, nearest] - price[nearest])
        for column in range(size):
            through = offset + cost[row, column] - price[column]
            if not done[column] and through < distance[column]:
                distance[column], before[column] = through, row
    for column in range(size):
        if done[column]:
            price[column] += distance[column] - least
    while True:
        row = before[nearest]
        row_of[nearest] = row
        column_of[row], nearest = nearest, column_of[row]
        if row == start:
            break
