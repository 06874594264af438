"""How similar two protein folds are: the TM-score (Zhang and Skolnick, Proteins 57, 702 (2004)) over the shorter chain.

Residues are assigned by structure, after TM-align (Nucleic Acids Res. 33, 2302 (2005)), as the package biotite does:
an alignment of 3Di letters, refined by distances. The result is not that of the program TM-align, but near to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ebabench.errors import InputError
from ebabench.structures.ensembles import Target

if TYPE_CHECKING:
    import biotite.structure

LEAST_RESIDUES = 20
"""A TM-score says nothing of shorter chains: its scale is made for folds."""
_ROUNDS = 10


@dataclass(frozen=True)
class FoldSimilarity:
    """How similar a structure is to another one.

    Attributes:
        name: Name of the other one; empty if there is none to compare with.
        tm: TM-score over the shorter chain, 0 to 1; above 0.5 the folds are usually the same. NaN if there is none.
    """

    name: str
    tm: float


def most_similar_fold(target: Target, others: Mapping[str, Target]) -> FoldSimilarity:
    """Return the structure with the highest TM-score to a target.

    Args:
        target: The target.
        others: Structures by name. Those of fewer than 20 residues are left out.

    Raises:
        InputError: The package biotite is not installed (``structure.package-missing``).
    """
    found = [FoldSimilarity(name, tm_score(target, other)) for name, other in others.items()]
    known = [one for one in found if not np.isnan(one.tm)]
    return max(known, key=lambda one: one.tm, default=FoldSimilarity("", float("nan")))


def tm_score(one: Target, other: Target) -> float:
    """Return the TM-score of two native structures over the shorter one; NaN below 20 residues.

    Args:
        one: A target with its backbone atoms.
        other: Another one.

    Raises:
        InputError: The package biotite is not installed (``structure.package-missing``).
    """
    if min(len(one.sequence), len(other.sequence)) < LEAST_RESIDUES:
        return float("nan")
    try:
        from biotite.structure import superimpose_structural_homologs
        from biotite.structure import tm_score as score
    except ImportError as error:
        raise InputError(
            "folds are compared with a recent version of the package biotite: pip install -U 'ebabench[formats]'",
            code="structure.package-missing",
            package="biotite",
        ) from error
    fixed, mobile = _atoms(one), _atoms(other)
    try:
        fitted, _, first, second = superimpose_structural_homologs(fixed, mobile, max_iterations=_ROUNDS)
    except ValueError:  # too few residues correspond to place one on the other
        return 0.0
    return float(score(fixed, fitted, first, second))


def _atoms(target: Target) -> biotite.structure.AtomArray:
    from biotite.structure import AtomArray

    atoms = target.atoms
    array = AtomArray(len(atoms))
    array.coord = np.asarray(target.native, np.float32)
    array.atom_name, array.res_name = atoms.name.astype("U6"), atoms.residue_name.astype("U5")
    array.res_id, array.element = atoms.residue + 1, np.array([name[:1] for name in atoms.name], "U2")
    array.chain_id[:] = "A"
    return array
