"""What workflows compute on a cluster is what they compute on this machine, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from command import Tiny

import ebabench
from ebabench import InputError
from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.workflows.cluster import _fault, _installation
from ebabench.workflows.energy import suite_energies
from ebabench.workflows.simulate import simulate

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

from ebabench.system.cluster import connect

pytestmark = pytest.mark.slow

MODULE = """
import os, signal
from pathlib import Path
import numpy as np
from ebabench.structures import Ensemble

class Killer:
    # Kills its process at one target, the first time.
    def sample(self, target, samples, seed):
        told = Path(__file__).parent / "killed"
        if target.name == "KDE" and not told.exists():
            told.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        noise = np.random.default_rng(seed).normal(scale=0.1, size=(samples, *target.native.shape))
        return Ensemble(target.name, target.atoms, (target.native + noise).astype(np.float32))

def build(card, resources):
    return Killer()
"""
CARD = """
name = "killer"
title = "Killer"
family = "test"
paper = "none"
licence = "MIT"
entry = "killer_module:build"
[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"
"""


@pytest.fixture(scope="module")
def address(tiny: Tiny) -> Iterator[str]:
    with connect("local:2", str) as executor:
        yield str(executor._client.scheduler.address)


@pytest.fixture
def killer(tmp_path: Path) -> str:
    (tmp_path / "killer.toml").write_text(CARD)
    (tmp_path / "killer_module.py").write_text(MODULE)
    return str(tmp_path / "killer.toml")


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run but the manifest, which tells the time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_run_whose_worker_was_killed_has_the_bytes_of_one_on_this_machine(
    tiny: Tiny, tmp_path: Path, killer: str, address: str
) -> None:
    options = {"data": tiny.data, "metrics": ["pairwise_rmsd"], "leaderboards": None}
    told: list[str] = []
    ebabench.run(
        killer,
        str(tiny.suite),
        cluster=address,
        out=tmp_path / "there",
        progress=lambda what, *_: told.append(what),
        **options,
    ).check()
    assert (tmp_path / "killed").exists()
    assert "workers" in told[0]
    assert "http://" in told[1]
    with ThreadPoolExecutor(1) as executor:
        ebabench.run(killer, str(tiny.suite), executor=executor, out=tmp_path / "here", **options).check()
    there = contents(tmp_path / "there")
    assert len([name for name in there if name.startswith("records")]) == 3
    assert there == contents(tmp_path / "here")


def test_simulations_are_those_of_this_machine(tiny: Tiny, tmp_path: Path, address: str) -> None:
    simulate(str(tiny.suite), targets=["KDE"], cluster=address, out=tmp_path / "data", work=tmp_path / "work")
    there, here = contents(tmp_path / "data" / "KDE"), contents(tiny.data / "KDE")
    assert "provenance.json" in there
    del there["provenance.json"], here["provenance.json"]  # which tell the speed
    assert there == here


def test_energies_are_those_of_this_machine(
    tiny: Tiny, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"minimise": False, "data": tiny.data, "targets": ["KDE"], "stride": 5}
    there = suite_energies(str(tiny.suite), cluster=address, **options)
    assert there.energy_kj_per_mol.notna().all()
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path))  # where the workers' energies are not stored
    pd.testing.assert_frame_equal(there, suite_energies(str(tiny.suite), jobs=1, **options), check_exact=True)


def test_a_worker_with_another_version_or_other_references_is_refused(tiny: Tiny) -> None:
    own = _installation()
    read = reference_reader(load_suite(str(tiny.suite)), tiny.data)
    assert _fault(own, read, {}) == ""
    assert "ebabench 0.1.0" in _fault(own | {"ebabench": "0.0.1"}, read, {})
    assert "numpy" in _fault({name: version for name, version in own.items() if name != "numpy"}, read, {})
    assert "KDE" in _fault(own, read, {"KDE": "of other frames"})


def test_processes_and_a_cluster_are_not_asked_for_together(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        ebabench.run("static", str(tiny.suite), data=tiny.data, cluster="local:2", jobs=2, out=tmp_path / "run")
    assert error.value.code == "cluster.jobs"
    assert not (tmp_path / "run").exists()
