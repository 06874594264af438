"""How often MD's torsions are in each bin and each backbone basin, counted together while all frames are read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import IndexArray
from ebabench.structures.torsions import TorsionTable, basins

if TYPE_CHECKING:
    from ebabench.scoring.pair import Pair
    from ebabench.scoring.superposed import Counts
    from ebabench.structures.arrays import Positions

BINS = 100


def bins(angles: npt.NDArray[np.floating]) -> IndexArray:
    """Return the bin of every angle in radians, of 100 equal bins from -pi to pi."""
    index: IndexArray = np.clip((angles + np.pi) * (BINS / (2 * np.pi)), 0, BINS - 1).astype(np.int64)
    return index


def phi_psi(torsions: TorsionTable) -> IndexArray:
    """Return the columns of phi and psi [K, 2] of the residues that have both."""
    columns = [{int(torsions.residue[column]): column for column in torsions.of(kind)} for kind in ("phi", "psi")]
    both = sorted(columns[0].keys() & columns[1].keys())
    return np.array([[column[k] for column in columns] for k in both], np.int64).reshape(-1, 2)


def md_counts(pair: Pair) -> Counts:
    """Return how many frames of the reference are in each bin, "bins" [T, 100], and in each basin, "basins" [K, 4]."""
    backbone = phi_psi(pair.torsions)

    def count(angles: Positions) -> Counts:
        return {"bins": histogram(bins(angles), BINS), "basins": histogram(basins(angles[:, backbone]), 4)}

    return pair.counted_torsions("bins and basins", count)


def histogram(index: IndexArray, size: int) -> IndexArray:
    """Return how often each of ``size`` values is in each column of index [S, K]: [K, size]."""
    columns = index.shape[1]
    flat = (index + size * np.arange(columns)).ravel()
    return np.bincount(flat, minlength=size * columns).reshape(columns, size)
