"""How similar two protein sequences are: the identity over the shorter, by local alignment.

The alignment is that of Smith and Waterman (J. Mol. Biol. 147, 195 (1981)) with BLAST's scores for proteins (BLOSUM62,
11 for opening a gap, 1 for extending it), as Biopython computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

_ALIGNED = 10
"""So many sequences, those with the best scores, are aligned; the others are scored only."""


@dataclass(frozen=True)
class Similarity:
    """How similar a sequence is to another one.

    Attributes:
        name: Name of the other one; empty if there is none.
        identity: Identical residues over the length of the shorter sequence, 0 to 1.
        coverage: Aligned residues over the length of the shorter sequence, 0 to 1.
    """

    name: str
    identity: float
    coverage: float


def similarity(one: str, other: str, name: str = "") -> Similarity:
    """Return how similar two sequences are.

    Args:
        one: A sequence in one-letter code; X stands for any residue.
        other: Another one.
        name: The name of ``other``.

    Example:
        >>> similarity("KLEDAG", "AAKLWDAGAA")
        Similarity(name='', identity=0.8333333333333334, coverage=1.0)
    """
    if one == other:
        return Similarity(name, 1.0, 1.0)
    shorter = min(len(one), len(other))
    found = _aligner().align(one, other)
    if not len(found) or found.score <= 0:
        return Similarity(name, 0.0, 0.0)
    counts = found[0].counts()
    return Similarity(name, counts.identities / shorter, counts.aligned / shorter)


def most_similar(sequence: str, others: Mapping[str, str]) -> Similarity:
    """Return the most similar of many sequences, by identity over the shorter, then by coverage.

    All are scored. Those ten are aligned whose scores are the largest in proportion to what the shorter sequence scores
    against itself: two sequences of high identity over the shorter have a high one.

    Args:
        sequence: The sequence.
        others: Sequences by name.
    """
    aligner = _aligner()
    if not others:
        return Similarity("", 0.0, 0.0)
    own = aligner.score(sequence, sequence)
    shares = {
        name: aligner.score(sequence, other) / (own if len(sequence) <= len(other) else aligner.score(other, other))
        for name, other in others.items()
    }
    nearest = sorted(shares, key=lambda name: -shares[name])[:_ALIGNED]
    found = [similarity(sequence, others[name], name) for name in nearest]
    return max(found, key=lambda one: (one.identity, one.coverage))


@cache
def _aligner() -> Any:
    from Bio.Align import PairwiseAligner, substitution_matrices

    return PairwiseAligner(
        mode="local",
        substitution_matrix=substitution_matrices.load("BLOSUM62"),
        open_gap_score=-12,  # of the first residue of a gap: 11 and 1
        extend_gap_score=-1,
    )
