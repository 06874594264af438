"""Isolated environments for workers, in the cache: one a set of requirements."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.cache import cache_dir
from ebabench.errors import InputError

if TYPE_CHECKING:
    from ebabench.cards import Card


def folder(card: Card) -> Path:
    """Where the environment of a card lies once it is installed; cards that ask for the same share one."""
    asked = card.environment
    recipe = json.dumps([asked.python, sorted(asked.requirements), asked.no_deps])
    return cache_dir() / "environments" / hashlib.sha256(recipe.encode()).hexdigest()[:16]


def installed(card: Card) -> bool:
    """Whether a worker's environment is whole. A worker without requirements runs on ebabench's own Python."""
    return not card.environment.requirements or (folder(card) / "installed.json").exists()


def python(card: Card) -> Path:
    """The interpreter that runs a worker's script. Raises InputError if its environment is not installed."""
    if not installed(card):
        raise InputError(f"{card.name} needs install: `ebabench models install {card.name}`")
    return Path(sys.executable) if not card.environment.requirements else folder(card) / "bin" / "python"
