"""Build the generator that a card describes."""

from __future__ import annotations

import hashlib
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
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
            f"`ebabench score --model {card.called} --ensembles FOLDER` converts and scores what it leaves",
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
    path = _beside(card, module)
    if path is None:
        return resolve(location)
    try:
        return getattr(_module_beside(path), attribute)
    except (Exception, SystemExit) as error:
        raise InputError(f"cannot load {location!r}: {cause(error)}", code="model.code", file=path) from error


def code_file(card: Card) -> Path | None:
    """Return the file with the module or the script that a card names; None where there is none to be found."""
    if card.script is not None:
        path: Path | None = card.path.parent / card.script
    else:
        module = (card.entry or card.converter or "").partition(":")[0]
        path = _beside(card, module) or _installed(module)
    return path if path is not None and path.is_file() else None


def code_digest(card: Card) -> str:
    """Return the SHA-256 of ``code_file``, in hex; empty where there is none. What the file imports is not in it."""
    path = code_file(card)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else ""


def _beside(card: Card, module: str) -> Path | None:
    """The file of a module that lies beside a card outside a package."""
    path = card.path.parent.resolve() / f"{module.replace('.', '/')}.py"
    return path if card.name not in CARDS and path.is_file() else None


def _installed(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (Exception, SystemExit):  # of a package that is not installed, or is broken
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _module_beside(path: Path) -> ModuleType:
    """Return the module in a file, under a name that belongs to this file with these contents only."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for what the module itself imports from beside it
    name = f"{path.stem}_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:12]}"
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
