"""The claims of the page on the published scorer, on few frames of its molecule."""

import re

import numpy as np
import published_scorer as page
import pytest

from ebabench.structures import Ensemble, Reference


@pytest.fixture(scope="module")
def case():
    target = page.villin()
    reference = Reference(target, tuple(page.moved(target, 60, k, 0.8, 0.35) for k in range(3)), "synthetic")
    model = Ensemble("villin", target.atoms, page.moved(target, 60, 77, 1.0, 0.45))
    order = page.alphafold_order(target.atoms)
    return model, Ensemble("villin", target.atoms.take(order), model.positions[:, order]), reference


def rows(table):
    """The numbers of each row of a Markdown table."""
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 1 and re.fullmatch(r"-?[\d.]+", cells[-1]):
            found[cells[0].strip("`")] = [float(cell) for cell in cells[1:]]
    return found


def test_alphafolds_order_is_another_order_of_the_same_atoms(case):
    model, other, _ = case
    assert model.atoms.sequence == other.atoms.sequence == "LSDEDFKAVFGMTRSAFANLPLWKQQHLKKEKGLF"
    assert sorted(page.alphafold_order(model.atoms)) == list(range(len(model.atoms)))
    first = other.atoms.name[other.atoms.residue == 1].tolist()
    assert first[:5] == ["N", "CA", "C", "CB", "O"]


def test_pairing_by_place_compares_wrong_atoms(case):
    found = rows(page.by_position(*case))
    assert found["place in the file"][0] > 5 * found["name"][0]


@pytest.mark.slow
def test_only_the_published_areas_depend_on_the_order(case):
    found = rows(page.by_protocol(*case))
    for key, (same, turned, published, _) in found.items():
        assert same == turned == published, key
    moved = {key for key, (same, _, _, published_turned) in found.items() if published_turned != same}
    assert moved
    assert "rmwd" not in moved


def test_shuffling_each_residue_leaves_the_rank_correlations(case):
    model, _, reference = case
    found = rows(page.coupling(model, reference))
    whole, shuffled = found["as it is"], found["frames of every residue shuffled by themselves"]
    np.testing.assert_allclose(whole, shuffled, atol=0.1)
