"""The targets of a suite with and without MD: atoms follow from the sequence."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from command import SUITE, Tiny

from ebabench.datasets.suites import Suite, load_suite, reference_reader, suite_ids
from ebabench.datasets.targets import built_target, target_of
from ebabench.errors import InputError
from ebabench.physics.molecules import Molecule
from ebabench.system.registry import folder

PEPTIDES = folder("ebabench.datasets") / "peptides"
WITH_MD = [name for name in suite_ids() if load_suite(name).simulation and (PEPTIDES / name).is_dir()]


def some(tiny: Tiny, place: Path, *absent: str) -> tuple[Suite, Path]:
    """The tiny suite with the MD of some of its targets only."""
    shutil.copytree(tiny.data, place)
    for name in absent:
        shutil.rmtree(place / name)
    return load_suite(str(tiny.suite)), place


@pytest.mark.parametrize("name", WITH_MD)
def test_atoms_from_a_sequence_are_those_of_its_md_in_the_same_order(name: str) -> None:
    suite = load_suite(name)
    read = reference_reader(suite)
    here = read.here()
    assert here
    for one in here[:: max(1, len(here) // 50)]:
        built, simulated = built_target(suite, one), read.target(one)
        assert built.atoms.digest() == simulated.atoms.digest(), one
        assert built.sequence == simulated.sequence


def test_a_built_chain_is_whole() -> None:
    """Every residue is bound to the next, so that energies can be computed of it."""
    suite = load_suite("peptides-v2")
    for one in suite.targets[::6]:
        built = built_target(suite, one.name)
        assert np.isfinite(built.native).all()
        assert Molecule.of(built.atoms).gaps(built.native[None]) == [""]


def test_a_target_with_md_has_the_native_structure_of_its_md(tiny: Tiny, tmp_path: Path) -> None:
    suite, data = some(tiny, tmp_path / "some", "FAV")
    read = reference_reader(suite, data)
    np.testing.assert_array_equal(target_of(suite, read, "KDE").native, read("KDE").target.native)
    whole = reference_reader(suite, tiny.data)("FAV").target
    assert target_of(suite, read, "FAV").atoms.digest() == whole.atoms.digest()


def test_md_of_another_sequence_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "tiny-v1.toml").write_text(SUITE.replace('sequence = "KDE"', 'sequence = "KDD"'))
    suite = load_suite(str(tmp_path / "tiny-v1.toml"))
    with pytest.raises(InputError) as refused:
        target_of(suite, reference_reader(suite, tiny.data), "KDE")
    assert (refused.value.code, refused.value.named["target"]) == ("reference.sequence", "KDE")


def test_atoms_of_a_protein_do_not_follow_from_its_sequence(tmp_path: Path) -> None:
    """Its native structure is an experiment's."""
    suite = load_suite("atlas-val-v1")
    name = suite.targets[0].name
    with pytest.raises(InputError) as refused:
        target_of(suite, reference_reader(suite, tmp_path), name)
    assert (refused.value.code, refused.value.named["target"]) == ("reference.missing", name)
    assert "ebabench fetch atlas" in str(refused.value)


def test_a_sequence_that_cannot_be_simulated_cannot_be_built(tmp_path: Path) -> None:
    (tmp_path / "tiny-v1.toml").write_text(SUITE.replace('sequence = "AGS"', 'sequence = "AXS"'))
    with pytest.raises(InputError) as refused:
        built_target(load_suite(str(tmp_path / "tiny-v1.toml")), "AGS")
    assert (refused.value.code, refused.value.named["target"]) == ("suite.sequence", "AGS")


def test_md_that_is_not_there_is_refused_where_it_is_read() -> None:
    suite = load_suite("peptides-sequences-v2")
    name = suite.targets[0].name
    with pytest.raises(InputError) as refused:
        reference_reader(suite, required=False)(name)
    assert (refused.value.code, refused.value.named["target"]) == ("references.missing", name)
    assert "ebabench simulate --suite peptides-sequences-v2" in str(refused.value)
