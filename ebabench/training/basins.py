"""Backbone basins of conformations: which of them an alignment compares so that populations stay with the reference.

An energy after minimisation ranks the conformations of one basin well and basins badly: it lacks their entropy.
"""

from __future__ import annotations

import numpy as np

from ebabench.structures import Atoms
from ebabench.structures.arrays import IndexArray, Positions
from ebabench.structures.geometry import torsions
from ebabench.structures.torsions import basins


def joint_basins(atoms: Atoms, positions: Positions) -> IndexArray:
    """Return the number of the backbone basin of each conformation: two share one if every residue does.

    Args:
        atoms: N heavy atoms of a chain without gaps.
        positions: [F, N, 3] in angstrom.

    Returns:
        [F], numbers from 0. Without a residue that has both phi and psi all are in one basin.
    """
    place = np.arange(len(np.unique(atoms.residue)))
    each = basins(torsions(atoms, place, positions)[1])
    if not each.shape[1]:
        return np.zeros(len(positions), np.int64)
    number: IndexArray = np.unique(each, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return number
