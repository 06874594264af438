"""Import paths of version 0.1, for one minor version. Each name warns and says where it is now.

This folder is on the package's path: ``ebabench.contracts`` is ``ebabench/deprecated/contracts.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any


def moved(module: str, places: dict[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that finds each name at its new place and warns.

    Args:
        module: The old import path.
        places: Name -> the module that holds it now.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is {places[name]}.{name} now; the old path goes in 0.3", DeprecationWarning, stacklevel=2
        )
        return getattr(import_module(places[name]), name)

    return find
