"""Folds: what a TM-score must be for the same fold, wherever it is, and for another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from proteins import HELIX, STRAND, build, bundle, rotations

from ebabench.structures import Target
from ebabench.structures.structure_similarity import most_similar_fold, tm_score

pytest.importorskip("biotite")
LETTERS = "ADEFGHIKLMNQRSTVWY"


def chain(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), length))


def moved(target: Target) -> Target:
    return replace(target, native=(target.native @ rotations(1, 3)[0] + np.array([5, -9, 30], np.float32)))


def test_a_fold_is_itself_wherever_it_is() -> None:
    fold = bundle(chain(60, 1), helices=3)
    assert tm_score(fold, fold) == pytest.approx(1, abs=1e-3)
    assert tm_score(fold, moved(fold)) == pytest.approx(1, abs=1e-3)


def test_the_sequence_does_not_matter() -> None:
    assert tm_score(bundle(chain(60, 1), helices=3), moved(bundle(chain(60, 2), helices=3))) > 0.7


def test_another_fold_is_told_from_the_same_one() -> None:
    fold = bundle(chain(60, 1), helices=3)
    rod, strand = build(chain(60, 4), HELIX), build(chain(60, 4), STRAND)
    assert tm_score(fold, rod) < 0.6
    assert tm_score(rod, strand) < 0.5
    found = most_similar_fold(moved(fold), {"rod": rod, "same": bundle(chain(60, 2), helices=3), "strand": strand})
    assert found.name == "same"


def test_peptides_have_no_fold() -> None:
    assert np.isnan(tm_score(build("AWTEKL"), build("AWTEKL")))
    found = most_similar_fold(build("AWTEKL"), {"other": build("AWTEKL")})
    assert (found.name, np.isnan(found.tm)) == ("", True)
