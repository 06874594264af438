"""OpenFold3 in its own environment: its featuriser, trunk and sampler, with random weights."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from exercise import TARGET, Exercise, call, check_contract, exercise, heavy, run

from ebabench.errors import RunError

pytestmark = pytest.mark.external

# What the network is given of an alignment: residue types, the target's own on top and then the alignment's rows.
FEATURES = """
import os, numpy
os.chdir(sys.argv[1])
request = {"target": {"name": "one", "sequence": sys.argv[2]}, "settings": {"msa": "a3m"}, "cache": sys.argv[1]}
numpy.save("msa.npy", worker.featurised(request)[1]["msa"].numpy())
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Exercise:
    return exercise("openfold3", tmp_path_factory.mktemp("openfold3"))


def test_it_samples(done: Exercise) -> None:
    check_contract(done)
    assert done.versions["openfold3"] == "0.5.0"


def test_it_gives_every_heavy_atom(done: Exercise) -> None:
    assert [names - {"OXT"} for names in done.names] == heavy(TARGET)


def test_an_alignment_is_read_or_missed(done: Exercise, tmp_path: Path) -> None:
    settings = dict(done.card.sampling) | {"msa": "a3m"}
    digest = hashlib.sha256(TARGET.sequence.encode()).hexdigest()
    with pytest.raises(RunError, match=f"no alignment of synthetic: put it at .*{digest}.a3m"):
        call(done.card, {"random_weights": True, "settings": settings, "cache": str(tmp_path)}, tmp_path / "without")
    (tmp_path / "msa").mkdir()
    rows = (TARGET.sequence, "GYDPaETGT-G", "-YNPETGTWG")
    (tmp_path / "msa" / f"{digest}.a3m").write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    run(done.card, FEATURES, tmp_path, TARGET.sequence)
    assert np.load(tmp_path / "msa.npy").shape[:3] == (1, 1 + len(rows), len(TARGET.sequence))
