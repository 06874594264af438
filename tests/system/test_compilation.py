"""Where neither machine code nor results can be stored, everything is computed all the same."""

import csv
import importlib
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numba.core import caching
from proteins import STRAND, build

from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble
from ebabench.system.compilation import cached_njit

# As on a read-only installation without a home; a test that runs as root could write anyway.
HOMELESS = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
HOMELESS |= {"HOME": "/proc/nowhere", "EBABENCH_CACHE": "/proc/nowhere/cache", "XDG_CACHE_HOME": "/proc/nowhere/xdg"}
NOWHERE = "from numba.core import caching; caching.CacheImpl._locator_classes = []; "


def test_without_a_place_for_the_cache_functions_are_compiled_all_the_same(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    @cached_njit(error_model="numpy")
    def double(x: float) -> float:
        return 2 * x

    assert double(1.5) == 3.0


SEVERAL = """
import numpy
from ebabench.system.compilation import cached_njit

@cached_njit(error_model="numpy")
def total(values):
    sum = values[0]
    for value in values[1:]:
        sum += value
    return sum

def totals(ready, kind):
    ready.wait()
    total(numpy.ones(3, kind))
"""


def test_processes_that_compile_at_the_same_time_lose_nothing(tmp_path: Path, monkeypatch):
    (tmp_path / "several_kinds.py").write_text(SEVERAL)
    monkeypatch.syspath_prepend(tmp_path)
    several_kinds = importlib.import_module("several_kinds")
    read = caching.IndexDataCacheFile._load_index

    def read_and_wait(file):
        found = read(file)
        time.sleep(0.2)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(caching.IndexDataCacheFile, "_load_index", read_and_wait)
        kinds, fork = ("f8", "i8"), multiprocessing.get_context("fork")
        ready = fork.Barrier(len(kinds))
        processes = [fork.Process(target=several_kinds.totals, args=(ready, kind)) for kind in kinds]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    for kind in kinds:
        assert several_kinds.total(np.ones(3, kind)) == 3
    assert len(several_kinds.total.stats.cache_hits) == len(kinds)
    assert sum(several_kinds.total.stats.cache_misses.values()) == 0


def test_every_module_with_compiled_functions_loads_without_one():
    kernels = ("assignment", "contacts", "distances", "lddt", "radial", "surface")
    modules = [f"metrics.kernels.{name}" for name in kernels]
    modules += ["physics.kernel", "physics.decomposition", "physics.langevin"]
    code = NOWHERE + "; ".join(f"import ebabench.{name}" for name in modules)
    subprocess.run([sys.executable, "-c", code], check=True, env=HOMELESS)


def test_energies_need_no_home_and_no_cache(tmp_path: Path):
    heavy = build("GA", STRAND)
    write_pdb(Ensemble("GA", heavy.atoms, heavy.native[None]), tmp_path / "x.pdb")
    code = NOWHERE + "from ebabench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "energy", "x.pdb", "--forcefield", "amber99sbildn-obc", "--minimise"],
        cwd=tmp_path, env=HOMELESS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert float(row["energy_kj_per_mol"]) < 0
