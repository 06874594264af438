"""No number moves without a new version of its metric, and no new version comes without new goldens."""

import copy

import pytest
from goldens import Goldens, compute, faults, read


@pytest.fixture(scope="module")
def golden() -> Goldens:
    return read()


def test_the_numbers_of_today_are_the_golden_ones(golden: Goldens) -> None:
    assert faults(golden, compute()) == []


def test_most_numbers_are_defined(golden: Goldens) -> None:
    """A guard of undefined numbers would guard nothing."""
    of_target = [one["value"] for name, one in golden.items() if name.startswith("corrected/RLFMLRPWCKR/")]
    assert sum(value is not None for value in of_target) > 0.8 * len(of_target) > 20


def test_a_number_that_moves_is_a_fault(golden: Goldens) -> None:
    moved = copy.deepcopy(golden)
    moved["corrected/HIEY/md_pca_w2"]["value"] *= 1.001
    (fault,) = faults(golden, moved)
    assert "corrected/HIEY/md_pca_w2: moved from" in fault
    moved["corrected/HIEY/md_pca_w2"]["value"] = None
    assert len(faults(golden, moved)) == 1


def test_a_new_version_without_new_goldens_is_a_fault(golden: Goldens) -> None:
    raised = copy.deepcopy(golden)
    raised["corrected/HIEY/md_pca_w2"]["version"] += 1
    (fault,) = faults(golden, raised)
    assert "is of version 2, its golden of 1" in fault


def test_a_metric_that_comes_or_goes_is_a_fault(golden: Goldens) -> None:
    less = {name: one for name, one in golden.items() if name != "corrected/HIEY/md_pca_w2"}
    assert faults(golden, less) == ["corrected/HIEY/md_pca_w2: is no longer computed"]
    assert faults(less, golden) == ["corrected/HIEY/md_pca_w2: has no golden number"]
