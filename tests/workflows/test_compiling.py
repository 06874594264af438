"""Kernels are compiled while a model samples: once, in other processes, and without a trace in what is sampled."""

import multiprocessing
import os
from functools import partial
from pathlib import Path

import pytest

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.scoring.metric import METRICS
from ebabench.structures import Reference
from ebabench.workflows.compiling import compiled_meanwhile


@pytest.fixture(autouse=True)
def two_cores_and_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr("ebabench.workflows.compiling.cores", lambda: 2)


def missing() -> Reference:
    raise FileNotFoundError("no reference")


def test_what_was_compiled_is_not_compiled_again(tmp_path: Path) -> None:
    references, started = reference_reader(load_suite("peptides-v1"), None), []
    target, read = references.target("KLED"), partial(references, "KLED")
    for _ in range(2):
        with compiled_meanwhile(target, read, [METRICS.load("contacts")], "corrected", None):
            started.append(len(multiprocessing.active_children()))
            assert os.environ["OMP_NUM_THREADS"] == "3", "the model has its threads"
    assert started == [1, 0]
    assert not (tmp_path / "observables").exists(), "a few frames are no reference"


def test_a_failure_to_compile_is_none_of_the_run(tmp_path: Path) -> None:
    target = reference_reader(load_suite("peptides-v1"), None).target("KLED")
    with compiled_meanwhile(target, missing, [METRICS.load("contacts")], "corrected", None):
        pass
    assert not (tmp_path / "compiled").exists(), "it is tried again"


def test_energies_are_compiled_without_a_trajectory(tmp_path: Path) -> None:
    suite = load_suite("peptides-v1")
    target = reference_reader(suite, None).target("KLED")
    with compiled_meanwhile(target, missing, [METRICS.load("energy")], suite.protocol, suite.energy):
        pass
    assert len(list((tmp_path / "compiled").iterdir())) == 1
