"""Compiled functions work where their machine code cannot be stored."""

import os
import subprocess
import sys

from numba.core import caching

from ebabench.system.compilation import cached_njit

# As on a read-only installation without a home; a test that runs as root could write anyway.
NOWHERE = "from numba.core import caching; caching.CacheImpl._locator_classes = []; "


def test_without_a_place_for_the_cache_functions_are_compiled_all_the_same(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    @cached_njit(error_model="numpy")
    def double(x: float) -> float:
        return 2 * x

    assert double(1.5) == 3.0


def test_every_module_with_compiled_functions_loads_without_one():
    modules = [f"metrics.kernels.{name}" for name in ("assignment", "contacts", "distances", "lddt", "surface")]
    code = NOWHERE + "; ".join(f"import ebabench.{name}" for name in modules)
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
