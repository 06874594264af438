"""Molecules that a periodic boundary cuts, made whole along their bonds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.bonds import peptide_bonds, residue_bonds
from ebabench.structures.ensembles import Atoms

_REACH = 8.0  # angstrom: the farthest side-chain atom from its C-alpha, and twice as far as the next C-alpha
_LEAST_WIDTH = 2 * _REACH  # angstrom: in a narrower cell (a crystal's, or nanometres), the nearest image may be wrong
_LONGEST_BOND = 2.5  # angstrom
_ROUNDING = 1e-9


class Bonds(NamedTuple):
    """Spanning trees of molecules, layer by layer from their roots: ``child[k]`` [n_k] hangs on ``parent[k]`` [n_k].

    ``structure`` [N, 3] in angstrom is the molecule in one piece, if it is known: it tells how wide gaps are.
    """

    child: tuple[IndexArray, ...]
    parent: tuple[IndexArray, ...]
    structure: Positions | None = None


def spanning_tree(atoms: Atoms, structure: Positions | None = None) -> Bonds:
    """Return a spanning tree of the chain along its bonds.

    Atoms without a known bond hang on the C-alpha of their residue; residues without a peptide bond between them hang
    together by their C-alphas.

    Args:
        atoms: heavy atoms of one chain under PDB names; every residue has a C-alpha.
        structure: see ``Bonds``.
    """
    ca = {int(atoms.residue[row]): row for row in atoms.select("CA").tolist()}
    within, between = residue_bonds(atoms).tolist(), peptide_bonds(atoms).tolist()
    bonded = {row for pair in within for row in pair}
    linked = {int(atoms.residue[first]) for first, _ in between}
    gaps = [(ca[k], ca[k + 1]) for k in ca if k + 1 in ca and k not in linked]
    loose = [(ca[residue], row) for row, residue in enumerate(atoms.residue.tolist()) if row not in bonded]
    found = tree([*within, *between, *gaps, *((a, b) for a, b in loose if a != b)])
    return found._replace(structure=structure)


def tree(pairs: Iterable[tuple[int, int]]) -> Bonds:
    """Return the trees along which atoms are bonded, each from its first atom.

    Args:
        pairs: bonded atoms.
    """
    neighbours: dict[int, list[int]] = {}
    for a, b in pairs:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    children: list[list[int]] = []
    parents: list[list[int]] = []
    seen: set[int] = set()
    for root in sorted(neighbours):
        layer, depth = [root] * (root not in seen), 0
        seen.add(root)
        while found := _next_layer(layer, neighbours, seen):
            if depth == len(children):
                children.append([])
                parents.append([])
            children[depth] += found
            parents[depth] += found.values()
            layer, depth = list(found), depth + 1
    child, parent = (tuple(np.array(layer, np.int64) for layer in layers) for layers in (children, parents))
    return Bonds(child, parent)


def _next_layer(layer: Iterable[int], neighbours: Mapping[int, list[int]], seen: set[int]) -> dict[int, int]:
    """The atoms that a layer leads to, each with the one that it hangs on; they are seen now."""
    found: dict[int, int] = {}
    for atom in layer:
        for other in neighbours[atom]:
            if other not in seen:
                seen.add(other)
                found[other] = atom
    return found


def make_whole(positions: Positions, box: FloatArray, bonds: Bonds) -> Positions:
    """Return the frames with every molecule in one piece: along every bond, the nearest periodic image.

    A frame in which the molecule is shorter than half the box along every axis is whole already. Such frames, and
    frames without a box of at least 16 angstrom across, are returned as they are. An atom moves only if that brings it
    to where a bond reaches, or a gap of the chain nearer to its width in ``bonds.structure``: no gap is closed by
    chance.

    Args:
        positions: [F, N, 3] in angstrom.
        box: [F, 3, 3], box vectors as rows, in angstrom; zero where there is none.
        bonds: a spanning tree of the N atoms.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = np.linalg.norm(np.cross(box[:, [1, 2, 0]], box[:, [2, 0, 1]]), axis=2).max(1)
        width = np.abs(np.linalg.det(box)) / areas
    sides = np.linalg.norm(box, axis=2).min(1)
    # Axis by axis: NumPy takes twenty times as long for all three at once.
    extent = np.max([axis.max(1) - axis.min(1) for axis in np.moveaxis(positions, 2, 0)], axis=0)
    cut = np.flatnonzero((width >= _LEAST_WIDTH) & (extent > sides / 2))
    if not len(cut):
        return positions
    own, read = box[cut], positions[cut].astype(np.float64)
    fractional = np.matmul(read, np.linalg.inv(own))
    images = np.zeros(fractional.shape)
    for child, parent in zip(bonds.child, bonds.parent, strict=True):
        shift = np.round(fractional[:, child] - fractional[:, parent])
        given = read[:, child] - read[:, parent]
        apart = np.linalg.norm(given - np.matmul(shift, own), axis=2)
        stays = apart > _REACH
        if bonds.structure is not None and stays.any():
            gap = np.linalg.norm(bonds.structure[child] - bonds.structure[parent], axis=1)
            nearer = np.abs(apart - gap) < np.abs(np.linalg.norm(given, axis=2) - gap)
            stays &= ~(nearer & (gap > _LONGEST_BOND))
        shift[stays] = 0
        images[:, child] = images[:, parent] - shift
    moved = (images != 0).any((1, 2))
    if not moved.any():
        return positions
    found = positions.copy()
    found[cut[moved]] = (read[moved] + np.matmul(images[moved], own[moved])).astype(np.float32)
    return found


def box_vectors(lengths: FloatArray, angles: FloatArray) -> FloatArray:
    """Return the vectors of unit cells, as rows; zeros where lengths and angles are those of no cell.

    Args:
        lengths: [F, 3], of a, b and c.
        angles: [F, 3], alpha, beta and gamma in degrees.

    Returns:
        [F, 3, 3], in the unit of ``lengths``; a lies along x, b in the plane of x and y.

    Example:
        >>> box_vectors(np.array([[30.0, 40.0, 50.0]]), np.array([[90.0, 90.0, 90.0]])).round(6).tolist()
        [[[30.0, 0.0, 0.0], [0.0, 40.0, 0.0], [0.0, 0.0, 50.0]]]
    """
    cosine, sine = np.cos(np.radians(angles)), np.sin(np.radians(angles[:, 2]))
    found = np.zeros((len(lengths), 3, 3))
    with np.errstate(all="ignore"):
        x, y = cosine[:, 1], (cosine[:, 0] - cosine[:, 1] * cosine[:, 2]) / sine
        found[:, 0, 0] = lengths[:, 0]
        found[:, 1, :2] = lengths[:, 1:2] * np.stack([cosine[:, 2], sine], axis=1)
        found[:, 2] = lengths[:, 2:] * np.stack([x, y, np.sqrt(1 - x**2 - y**2)], axis=1)
    found[np.abs(found) < _ROUNDING] = 0
    found[~np.isfinite(found).all((1, 2)) | (lengths <= 0).any(1)] = 0
    return found
