"""Energies within backbone basins: what an alignment compares that leaves the populations to the reference model.

An energy after minimisation ranks the conformations of a basin well and basins badly: it lacks their entropy. Taken
relative to the free energy of its own basin, it says nothing about basins any more.
"""

from __future__ import annotations

import numpy as np

from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
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


def within_basins(energies: FloatArray, basin: IndexArray, beta: float) -> FloatArray:
    """Return energies less the free energy of their basin, -1/beta ln of the mean of exp(-beta E) over its members.

    The weights exp(-beta E) of the members of a basin then add up to their number: weighted or not, the conformations
    have the same populations of basins, and within each basin they follow the Boltzmann distribution.

    Args:
        energies: [F] in kJ/mol.
        basin: [F], the number of the basin of each conformation.
        beta: Inverse temperature in mol/kJ, above 0.

    Returns:
        [F] in kJ/mol; 0 for a conformation that is alone in its basin.

    Example:
        >>> import numpy as np
        >>> relative = within_basins(np.array([0.0, 5.0, -80.0]), np.array([0, 0, 1]), beta=0.4)
        >>> bool(np.isclose(np.exp(-0.4 * relative[:2]).sum(), 2)), float(relative[2])
        (True, 0.0)
    """
    relative = np.empty(len(energies), np.float64)
    for one in np.unique(basin):
        members = basin == one
        above = energies[members] - energies[members].min()
        relative[members] = above + np.log(np.exp(-beta * above).mean()) / beta
    return relative
