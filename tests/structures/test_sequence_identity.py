"""Sequence identity over the shorter: closed cases, invariances, and the one pair of ATLAS that is known."""

import numpy as np
import pytest

from ebabench.datasets.suites import load_suite
from ebabench.structures.sequence_identity import Similarity, most_similar, similarity

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def random_sequence(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(LETTERS, length))


def test_a_sequence_is_identical_to_itself() -> None:
    one = random_sequence(80, 0)
    assert similarity(one, one, "x") == Similarity("x", 1.0, 1.0)


def test_a_piece_of_a_sequence_is_identical_over_the_shorter() -> None:
    whole = random_sequence(120, 1)
    assert similarity(whole, whole[30:90]).identity == 1
    assert similarity(whole[30:90], whole).identity == 1


@pytest.mark.parametrize("count", [1, 10, 20])
def test_identity_counts_substitutions(count: int) -> None:
    one = random_sequence(200, 2)
    places = np.random.default_rng(3).choice(np.arange(20, 180), count, replace=False)
    other = "".join("W" if k in places and one[k] != "W" else one[k] for k in range(200))
    changed = sum(a != b for a, b in zip(one, other, strict=True))
    assert similarity(one, other).identity == pytest.approx(1 - changed / 200)


def test_a_gap_costs_no_identity_but_the_missing_residues() -> None:
    one = random_sequence(100, 4)
    found = similarity(one, one[:40] + one[50:])
    assert (found.identity, found.coverage) == (1, 1)


def test_order_does_not_matter() -> None:
    one, other = random_sequence(60, 5), random_sequence(90, 6)
    assert similarity(one, other).identity == pytest.approx(similarity(other, one).identity, abs=0.05)


def test_unrelated_sequences_are_below_a_third() -> None:
    found = [similarity(random_sequence(150, 10 + k), random_sequence(150, 100 + k)).identity for k in range(10)]
    assert max(found) < 0.3


def test_nothing_in_common() -> None:
    assert similarity("WWWW", "GGGG").identity == 0
    assert most_similar("KLED", {}) == Similarity("", 0.0, 0.0)


def test_the_relative_is_found_among_many() -> None:
    one = random_sequence(100, 7)
    others = {str(k): random_sequence(300, 200 + k) for k in range(50)}
    relative = random_sequence(80, 8) + one[:60] + random_sequence(80, 9)
    assert most_similar(one, others | {"relative": relative}).name == "relative"


def test_a_test_chain_of_atlas_has_the_sequence_of_a_training_chain() -> None:
    """7e2s_A (test) and 1y6i_A (train) of AlphaFlow's split by date."""
    test, train = load_suite("atlas-test-v1").target("7e2s_A"), load_suite("atlas-train-v1")
    found = most_similar(test.sequence, {target.name: target.sequence for target in train.targets[::40]})
    assert found.identity < 1
    some = {target.name: target.sequence for target in train.targets if target.name < "2"}
    assert most_similar(test.sequence, some) == Similarity("1y6i_A", 1.0, 1.0)
