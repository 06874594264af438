"""Positions of hydrogens (and of a missing terminal OXT) from the heavy atoms around them, for all frames at once.

The positions are local geometry: tetrahedral, planar or bent about the parent, staggered or trans where a torsion is
free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray

_LENGTH = {"CH": 0.109, "NH": 0.101, "OH": 0.096, "SH": 0.134, "CO": 0.125}  # nm
_HALF_TETRAHEDRAL = np.arccos(-1 / 3) / 2
# By the number of bonds of a parent that has one known neighbour: the angle there and the torsions of its atoms.
_AROUND = {
    2: (np.radians(109.5), np.radians([180.0])),
    3: (np.radians(120.0), np.radians([0.0, 180.0])),
    4: (np.radians(109.5), np.radians([60.0, 180.0, 300.0])),
}
_TETRAHEDRAL = 4
# An atom on a parent with two or three known neighbours: away from them, tilted toward the normal of the first two.
# Where there is no third neighbour the first is repeated with weight 0.
_AWAY = np.dtype(
    [("atom", int), ("parent", int), ("neighbours", int, 3), ("third", float), ("tilt", float), ("length", float)]
)
# An atom on a parent with one: by angle and torsion about that neighbour and one of its own.
_ABOUT = np.dtype(
    [("atom", int), ("parent", int), ("axis", int, 2), ("angle", float), ("torsion", float), ("length", float)]
)


def _unit(vector: FloatArray) -> FloatArray:
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.maximum(length, 1e-9))


@dataclass(frozen=True)
class Placement:
    """Rules for the atoms to be placed, with indices into all atoms of a molecule.

    Attributes:
        away: rules of atoms whose parent has two or three known neighbours.
        about: rules of atoms whose parent has one known neighbour.
    """

    away: npt.NDArray[np.void]
    about: npt.NDArray[np.void]

    def __call__(self, positions: FloatArray) -> None:
        """Place the atoms in ``positions`` [S, N, 3], nanometre, in place."""
        rule = self.away
        parent = positions[:, rule["parent"]]
        arms = _unit(parent[:, :, None] - positions[:, rule["neighbours"]])
        away = _unit(arms[:, :, 0] + arms[:, :, 1] + rule["third"][:, None] * arms[:, :, 2])
        normal = _unit(np.cross(arms[:, :, 0], arms[:, :, 1]))
        direction = np.cos(rule["tilt"])[:, None] * away + np.sin(rule["tilt"])[:, None] * normal
        positions[:, rule["atom"]] = parent + rule["length"][:, None] * direction

        rule = self.about
        parent, first, second = (positions[:, k] for k in (rule["parent"], *rule["axis"].T))
        along = _unit(parent - first)
        normal = _unit(np.cross(first - second, along))
        across = np.cross(normal, along)
        turned = np.cos(rule["torsion"])[:, None] * across + np.sin(rule["torsion"])[:, None] * normal
        direction = -np.cos(rule["angle"])[:, None] * along + np.sin(rule["angle"])[:, None] * turned
        positions[:, rule["atom"]] = parent + rule["length"][:, None] * direction


def plan_placement(elements: Sequence[str], bonds: Sequence[tuple[int, int]], known: Sequence[bool]) -> Placement:
    """Return rules for every atom that is not ``known``.

    Args:
        elements: [A] element symbols.
        bonds: pairs of indices of bonded atoms. An atom to be placed has one bond, to a known atom.
        known: [A], True for atoms whose positions are given.

    Raises:
        ValueError: no rule covers the surroundings of a parent.
    """
    around: list[list[int]] = [[] for _ in elements]
    for i, j in bonds:
        around[i].append(j)
        around[j].append(i)
    away: list[tuple[object, ...]] = []
    about: list[tuple[object, ...]] = []
    for parent in np.flatnonzero(known).tolist():
        added = sorted(j for j in around[parent] if not known[j])
        heavy = sorted(j for j in around[parent] if known[j])
        further = sorted(j for j in around[heavy[0]] if known[j] and j != parent) if heavy else []
        lengths = [_LENGTH.get(elements[parent] + elements[atom]) for atom in added]
        shape = len(heavy), len(added)
        if None in lengths or (added and not (shape in {(2, 1), (3, 1), (2, 2)} or (len(heavy) == 1 and further))):
            raise ValueError(f"no rule places {len(added)} atoms on a {elements[parent]} with {len(heavy)} neighbours")
        for k, (atom, length) in enumerate(zip(added, lengths, strict=True)):
            if len(heavy) == 1:
                # An amine (neutral lysine) is a pyramid, an amide is flat.
                amine = elements[parent] == "N" and shape == (1, 2) and len(around[heavy[0]]) == _TETRAHEDRAL
                angle, torsions = _AROUND[_TETRAHEDRAL if amine else sum(shape)]
                about.append((atom, parent, (heavy[0], further[0]), angle, torsions[k], length))
            else:
                tilt = _HALF_TETRAHEDRAL * (1 - 2 * k) * (len(added) - 1)
                away.append((atom, parent, [*heavy, heavy[0]][:3], len(heavy) == 3, tilt, length))
    return Placement(np.array(away, _AWAY), np.array(about, _ABOUT))
