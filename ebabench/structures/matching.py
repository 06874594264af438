"""Which atom of a model is which atom of the reference: by sequence, then by residue and atom name.

Chain identifiers, residue numbers and the order of atoms are never looked at. What does not fit is refused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ebabench.errors import InputError
from ebabench.structures.arrays import IndexArray
from ebabench.structures.ensembles import Atoms
from ebabench.structures.nomenclature import canonical

_LEAST_RESIDUES = 0.5


class Match(NamedTuple):
    """``model[k]`` and ``reference[k]`` index the same atom; k runs in the reference's order.

    ``coverage``: the share of the reference's atoms that the model has.
    """

    model: IndexArray
    reference: IndexArray
    coverage: float


def match(model: Atoms, reference: Atoms) -> Match:
    """Pairs the atoms of a model with those of the reference.

    Args:
        model: heavy atoms of one conformation of the model, in any order of atoms within a residue, under any of the
            usual names; residues may be missing, and there may be more of them at either end.
        reference: heavy atoms of the reference.

    Raises:
        InputError: the sequence is another one, less than half of it is there, or its place on the reference is not
            unique; or there is no C-alpha in common.
    """
    model, reference = canonical(model), canonical(reference)
    places = align(model.sequence, reference.sequence)
    rows = {(place, name): row for row, (place, name) in enumerate(zip(places[model.residue], model.name, strict=True))}
    pairs = np.array(
        [
            (rows[key], row)
            for row, key in enumerate(zip(reference.residue.tolist(), reference.name, strict=True))
            if key in rows
        ],
        dtype=np.int64,
    ).reshape(-1, 2)
    found = Match(pairs[:, 0], pairs[:, 1], len(pairs) / len(reference))
    if not (reference.name[found.reference] == "CA").any():
        raise InputError("the model has no C-alpha in common with the reference")
    return found


def align(model: str, reference: str) -> IndexArray:
    """For every residue of the model's sequence, its residue in the reference, or -1 for an extra one at an end.

    Raises:
        InputError: see ``match``.
    """
    if model == reference:
        return np.arange(len(model))
    from Bio.Align import PairwiseAligner

    aligner = PairwiseAligner(
        mode="global", match_score=2, mismatch_score=-3, open_gap_score=-5, extend_gap_score=-0.1, end_gap_score=0
    )
    alignments = aligner.align(reference, model)
    best = alignments[0]
    places = np.full(len(model), -1)
    for (start, stop), (row, _) in zip(*best.aligned, strict=True):
        places[row : row + stop - start] = np.arange(start, stop)
    placed = np.flatnonzero(places >= 0)
    if len(placed) < _LEAST_RESIDUES * len(reference):
        raise InputError(
            f"the model's sequence does not fit: {len(placed)} of the reference's {len(reference)} residues are found "
            f"in its {len(model)} ({_short(model)} against {_short(reference)})"
        )
    wrong = [k for k in placed if model[k] != reference[places[k]]]
    if wrong:
        k = wrong[0]
        raise InputError(
            f"the model's sequence is another one: residue {places[k] + 1} is {model[k]}, in the reference "
            f"{reference[places[k]]} ({len(wrong)} of {len(placed)} residues differ)"
        )
    extra = len(model) - len(placed)
    if extra and len(placed) < len(reference):
        raise InputError(
            f"the model's sequence is shifted against the reference's: {extra} extra residues and "
            f"{len(reference) - len(placed)} missing ones ({_short(model)} against {_short(reference)})"
        )
    if (places[placed[0] : placed[-1]] < 0).any():
        raise InputError(f"the model's sequence is another one: it has {extra} residues inside the chain too many")
    if _several(alignments):
        raise InputError(
            f"the model has {len(model)} residues, the reference {len(reference)}, and which ones is ambiguous: "
            f"{_short(model)} fits {_short(reference)} in more than one way"
        )
    return places


def _several(alignments: object) -> bool:
    """Whether there is more than one best alignment."""
    try:
        return len(alignments) > 1  # type: ignore[arg-type]
    except OverflowError:
        return True


def _short(sequence: str) -> str:
    return sequence if len(sequence) <= 24 else f"{sequence[:20]}..."
