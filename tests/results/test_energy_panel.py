"""Energies behind the picture of a target: read where they are stored, computed only where a caller waits for it."""

from pathlib import Path

import numpy as np
import pytest

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.results import panels
from ebabench.scoring.pair import make_pair
from ebabench.structures import Ensemble


def test_a_page_computes_no_energies_and_shows_all_that_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path))
    suite = load_suite("peptides-v1")
    md = reference_reader(suite, None)("GAPF")
    shaken = md.replicas[0][:3] + np.random.default_rng(0).normal(scale=0.02, size=(3, len(md.target.atoms), 3))
    model = Ensemble("GAPF", md.target.atoms, shaken.astype(np.float32))
    pair = make_pair(model, md, energy_protocol=suite.energy)

    assert panels.energies(pair, stored=True) == "not available: no energies are stored"
    computed = panels.energies(pair)
    stored = panels.energies(pair, stored=True)

    assert isinstance(computed, panels.Sides)
    assert isinstance(stored, panels.Sides)
    assert stored.model.tolist() == computed.model.tolist()
    assert len(stored.model) == 3
