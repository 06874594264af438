"""OpenFold3 in its own environment: its featuriser, trunk and sampler, with random weights."""

import pytest
from exercise import TARGET, Exercise, check_contract, exercise, heavy

pytestmark = pytest.mark.external


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Exercise:
    return exercise("openfold3", tmp_path_factory.mktemp("openfold3"))


def test_it_samples(done: Exercise) -> None:
    check_contract(done)
    assert done.versions["openfold3"] == "0.5.0"


def test_it_gives_every_heavy_atom(done: Exercise) -> None:
    assert [names - {"OXT"} for names in done.names] == heavy(TARGET)
