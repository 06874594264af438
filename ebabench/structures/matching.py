"""Which atom of a model is which atom of the reference: by sequence, then by residue and atom name.

Chain identifiers, residue numbers and the order of atoms are never looked at. What does not fit is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ebabench.errors import InputError
from ebabench.structures.arrays import IndexArray
from ebabench.structures.ensembles import ONE_TO_THREE, THREE_TO_ONE, Atoms
from ebabench.structures.nomenclature import UNKNOWN, canonical, parent_residue

_LEAST_RESIDUES = 0.5
_PRIVATE = 0xE000  # characters without a meaning: one per residue name


class Match(NamedTuple):
    """``model[k]`` and ``reference[k]`` index the same atom; k runs in the reference's order.

    ``coverage``: the share of the reference's atoms that the model has.
    """

    model: IndexArray
    reference: IndexArray
    coverage: float


def match(model: Atoms, reference: Atoms) -> Match:
    """Pair the atoms of a model with those of the reference.

    Args:
        model: heavy atoms of one conformation of the model, in any order of atoms within a residue, under any of the
            usual names; residues may be missing, and there may be more of them at either end.
        reference: heavy atoms of the reference.

    Raises:
        InputError: what ``align`` raises; ``match.no-ca``, there is no C-alpha in common.
    """
    model, reference = canonical(model), canonical(reference)
    places = align(_residues(model), _residues(reference))
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
        raise InputError("the model has no C-alpha in common with the reference", code="match.no-ca")
    return found


def align(model: Sequence[str], reference: Sequence[str]) -> IndexArray:
    """Return for every residue of the model its residue in the reference, or -1 for an extra one at an end.

    Args:
        model: residue names, or a one-letter sequence. A modified residue is another one than its parent.
        reference: the same of the reference.

    Raises:
        InputError: ``match.other-sequence``, ``match.shifted``; ``match.reference-lacks`` residues inside the chain;
            ``match.too-short``: less than half of the reference is there; ``match.ambiguous``, there is more than one
            place for the model.

    Example:
        >>> align("AKGH", "MAKGHE").tolist()
        [1, 2, 3, 4]
        >>> align(["ALA", "SEP", "GLY", "LYS"], "ASGK")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ebabench.errors.InputError: the model's sequence is another one: residue 2 is SEP, in the reference SER ...
    """
    model, reference = ([ONE_TO_THREE.get(name, name) for name in names] for names in (model, reference))
    if model == reference:
        return np.arange(len(model))
    from Bio.Align import PairwiseAligner

    aligner = PairwiseAligner(
        mode="global", match_score=2, mismatch_score=-3, open_gap_score=-5, extend_gap_score=-0.1, end_gap_score=0
    )
    letters = {name: chr(_PRIVATE + k) for k, name in enumerate(dict.fromkeys([*model, *reference]))}
    alignments = aligner.align(*("".join(letters[name] for name in names) for names in (reference, model)))
    best = alignments[0]
    places = np.full(len(model), -1)
    for (start, stop), (row, _) in zip(*best.aligned, strict=True):
        places[row : row + stop - start] = np.arange(start, stop)
    placed = np.flatnonzero(places >= 0)
    if len(placed) < _LEAST_RESIDUES * len(reference):
        raise InputError(
            f"the model's sequence does not fit: {len(placed)} of the reference's {len(reference)} residues are found "
            f"in its {len(model)} ({_short(model)} against {_short(reference)})",
            code="match.too-short",
        )
    wrong = [k for k in placed.tolist() if model[k] != reference[places[k]]]
    if wrong:
        k = wrong[0]
        one, other = model[k], reference[places[k]]
        raise InputError(
            f"the model's sequence is another one: residue {places[k] + 1} is {one}, in the reference {other} "
            f"({len(wrong)} of {len(placed)} residues differ){_remedy(one, other)}",
            code="match.other-sequence",
            residue=int(places[k]) + 1,
            model=one,
            reference=other,
        )
    extra = len(model) - len(placed)
    if extra and len(placed) < len(reference):
        raise InputError(
            f"the model's sequence is shifted against the reference's: {extra} extra residues and "
            f"{len(reference) - len(placed)} missing ones ({_short(model)} against {_short(reference)})",
            code="match.shifted",
        )
    if inside := [k for k in range(placed[0], placed[-1]) if places[k] < 0]:
        before = inside[0]  # so many residues of the model come before them
        raise InputError(
            f"the reference lacks {len(inside)} residue{'s' * (len(inside) > 1)} that the model has inside the chain: "
            f"{_short([model[k] for k in inside])}, the first behind residue {places[before - 1] + 1} of the "
            f"reference, which is residue {before} of the model; complete the reference, or take these residues out "
            "of the model's files (the figures then take the ends of the gap for neighbours, with a broken bond)",
            code="match.reference-lacks",
            residue=before + 1,
        )
    if _several(alignments):
        raise InputError(
            f"the model has {len(model)} residues, the reference {len(reference)}, and which ones is ambiguous: "
            f"{_short(model)} fits {_short(reference)} in more than one way",
            code="match.ambiguous",
        )
    return places


def _remedy(one: str, other: str) -> str:
    """What to do about a residue of the model that has another name in the reference; nothing for two amino acids."""
    if UNKNOWN in (one, other):
        where, name = ("model", other) if one == UNKNOWN else ("reference", one)
        return f"; {UNKNOWN} is an unknown amino acid: rename the residue in the {where}'s file if it is {name}"
    if (parent_residue(one) or one) == (parent_residue(other) or other):
        return "; --modified-as-parent takes a modified residue for its parent"
    return ""


def _residues(atoms: Atoms) -> list[str]:
    first = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
    return [str(name) for name in atoms.residue_name[first]]


def _several(alignments: object) -> bool:
    """Whether there is more than one best alignment."""
    try:
        return len(alignments) > 1  # type: ignore[arg-type]
    except OverflowError:
        return True


def _short(names: Sequence[str]) -> str:
    """The sequence as a message shows it: one letter per residue, the whole name of one that has no letter."""
    shown = "".join(THREE_TO_ONE.get(name, name if len(name) == 1 else f"({name})") for name in names[:24])
    return shown if len(names) <= 24 else f"{shown[:20]}..."
