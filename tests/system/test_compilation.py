"""Where neither machine code nor results can be stored, everything is computed all the same."""

import csv
import os
import subprocess
import sys
from pathlib import Path

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
