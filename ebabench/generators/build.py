"""Build the generator that a card describes."""

from __future__ import annotations

import hashlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ebabench.errors import InputError
from ebabench.generators import workers
from ebabench.generators.cards import CARDS, Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.system.registry import cause, resolve


def build(card: Card, resources: Resources) -> Generator:
    """Return the generator that a card describes. Its packages are imported now.

    Args:
        card: The model.
        resources: What the generator may use.

    Raises:
        InputError: The code cannot be loaded, is not installed, or is run by the user (kind ``ensembles``).
    """
    if card.environment.kind == "ensembles":
        raise InputError(
            f"{card.name}: its code is run by you, as {card.path} says; "
            f"`ebabench score --model {card.name} --ensembles FOLDER` converts and scores what it leaves",
            code="model.run_by_user",
            model=card.name,
        )
    if card.entry is None:
        return workers.build(card, resources)
    generator: Generator = code(card, card.entry)(card, resources)
    return generator


def code(card: Card, location: str) -> Any:
    """Return the object at ``module:attribute`` of a card.

    The module of a card outside a package lies beside the card. Two such modules of one name do not mix.

    Args:
        card: The model.
        location: ``module:attribute``.

    Raises:
        InputError: The module or the attribute cannot be loaded.
    """
    module, _, attribute = location.partition(":")
    path = card.path.parent.resolve() / f"{module.replace('.', '/')}.py"
    if card.name in CARDS or not path.is_file():
        return resolve(location)
    try:
        return getattr(_module_beside(path), attribute)
    except (Exception, SystemExit) as error:
        raise InputError(f"cannot load {location!r}: {cause(error)}", code="model.code", file=path) from error


def _module_beside(path: Path) -> ModuleType:
    """Return the module in a file, under a name that belongs to this file only."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for what the module itself imports from beside it
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
