"""Isolated environments for workers, in the cache: one a recipe, shared by the cards that ask for the same.

::

    environments/DIGEST/
        venv/           the environment
        install.log     what the installer said
        lock.txt        every package as it was resolved
        installed.json  written last: without it there is no environment

A file ``NAME.lock`` beside a card (the ``lock.txt`` of an environment that works) constrains what its requirements may
resolve to. A card with ``interpreter`` names an environment that its user has made; nothing is installed for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.errors import InputError, RunError
from ebabench.generators.interpreters import find_interpreter
from ebabench.system.cache import cache_dir
from ebabench.system.files import exclusive, replace_file
from ebabench.system.subprocesses import last_line, run

if TYPE_CHECKING:
    from ebabench.generators.cards import Card

_PATIENCE = 7200.0  # seconds for one step of an installation


def folder(card: Card) -> Path:
    """Where the environment of a card lies once it is installed."""
    asked = card.environment
    lock = lock_file(card)
    locked = lock.read_text(encoding="utf-8") if lock.exists() else ""
    recipe = json.dumps([asked.python, sorted(asked.requirements), sorted(asked.no_deps), locked])
    return cache_dir() / "environments" / hashlib.sha256(recipe.encode()).hexdigest()[:16]


def install_command(card: Card) -> str:
    """Return the command that installs a model, by its name or by the path of its card."""
    return f"ebabench models install {card.called}"


def lock_file(card: Card) -> Path:
    """The versions that the card's author pinned, if the file is there."""
    return card.path.with_suffix(".lock")


def size(card: Card) -> int | None:
    """Bytes of a model's environment; None while it is not installed, or lacks a requirement.

    One whose Python is gone since counts as not installed, and is made anew. A worker without requirements, as a model
    in-process, has none of its own.
    """
    if card.environment.interpreter is not None:
        try:
            python(card)
        except InputError:
            return None
        return 0
    if not isolated(card):
        return None if absent(card) else 0
    try:
        used = int(json.loads((folder(card) / "installed.json").read_text(encoding="utf-8"))["bytes"])
        return used if (folder(card) / "venv" / "bin" / "python").exists() else None
    except (OSError, ValueError, KeyError):
        return None


def isolated(card: Card) -> bool:
    """Whether the model runs in an environment of its own: it is a worker, and asks for packages."""
    asked = card.environment
    return asked.kind == "worker" and bool(asked.requirements or asked.no_deps)


def absent(card: Card) -> list[str]:
    """The requirements of a model in-process that are not installed beside ebabench; versions are not compared."""
    found = []
    for requirement in card.environment.requirements if card.environment.kind == "in-process" else ():
        if is_path(requirement):  # what it installs is not known
            continue
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found.append(requirement)
    return found


def is_path(requirement: str) -> bool:
    """Return whether a requirement is a file or folder of this machine.

    Example:
        >>> is_path("./mine"), is_path("mine @ file:///home/me/mine"), is_path("mine==1.0")
        (True, True, False)
    """
    return re.match(r"(\.{0,2}/|~|\.{1,2}$)|(.*@\s*)?file:", requirement) is not None


def python(card: Card) -> Path:
    """Return the interpreter that runs a worker's script: ebabench's own for a card without requirements.

    Raises:
        InputError: The environment is not installed (``environment.missing``), or there is no such interpreter
            (``environment.interpreter``).
    """
    if card.environment.interpreter is not None:
        return find_interpreter(card.environment.interpreter, card.path.parent)
    if not isolated(card):
        return Path(sys.executable)
    if size(card) is None:
        raise InputError(
            f"{card.name} needs install: `{install_command(card)}`",
            code="environment.missing",
            model=card.name,
        )
    return folder(card) / "venv" / "bin" / "python"


def install(card: Card) -> Path:
    """Builds the environment of a card, unless it is there; uv does it if present, else venv and pip.

    What was begun and not finished is begun anew; what pip or uv had downloaded they have kept.

    Returns:
        The folder of the environment.

    Raises:
        InputError: there is no Python of the version that the card names.
        RunError: the installer failed; the message says what it said last, and where all of it is.
    """
    place = folder(card)
    place.mkdir(parents=True, exist_ok=True)
    with exclusive(place):
        if size(card) is None:
            _build(card, place)
    return place


def _build(card: Card, place: Path) -> None:
    asked, venv = card.environment, place / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    inner, lock = str(venv / "bin" / "python"), lock_file(card)
    packages = [_located(card, asked.requirements)] * bool(asked.requirements)
    packages += [["--no-deps", *_located(card, asked.no_deps)]] * bool(asked.no_deps)
    options = ["--constraint", str(lock)] * lock.exists()
    if uv := shutil.which("uv"):
        _step(card, place, [uv, "venv", "--python", asked.python or sys.executable, str(venv)])
        for some in packages:
            _step(card, place, [uv, "pip", "install", "--python", inner, *options, *some])
        freeze = [uv, "pip", "freeze", "--python", inner]
    else:
        _step(card, place, [find_python(card), "-m", "venv", str(venv)])
        for some in packages:
            _step(card, place, [inner, "-I", "-m", "pip", "install", *options, *some])
        freeze = [inner, "-I", "-m", "pip", "freeze"]
    frozen = subprocess.run(freeze, capture_output=True, text=True, check=False)
    version = subprocess.run([inner, "-I", "-V"], capture_output=True, text=True, check=False).stdout.strip()
    if frozen.returncode or not version:
        raise RunError(f"{card.name}: cannot list what was installed: {frozen.stderr.strip()}")
    replace_file(place / "lock.txt", frozen.stdout)
    used = sum(path.lstat().st_size for path in venv.rglob("*") if not path.is_dir())
    facts = {"bytes": used, "python": version, "installer": "uv" if uv else "pip", "card": card.name}
    replace_file(place / "installed.json", json.dumps(facts, indent=1, sort_keys=True) + "\n")


def _step(card: Card, place: Path, command: Sequence[str]) -> None:
    log = place / "install.log"
    try:
        end = run(command, place, os.environ, _PATIENCE, log, threading.Event())
    except OSError as error:
        raise RunError(f"{card.name}: cannot install: {error}") from error
    if end.code:
        raise RunError(f"{card.name}: the installation {end}: {last_line(log)} (log: {log})")


def _located(card: Card, requirements: Sequence[str]) -> list[str]:
    """Return requirements with paths from the card's folder made absolute: the installer works in another folder."""
    return [
        str(card.path.parent / Path(one).expanduser()) if is_path(one) and "file:" not in one else one
        for one in requirements
    ]


def find_python(card: Card) -> str:
    """An interpreter of the version that the card names, ebabench's own by default. Raises InputError."""
    wanted = card.environment.python
    for candidate in (sys.executable, f"python{wanted}", "python3"):
        found = shutil.which(candidate)
        if found and (wanted is None or _version(found) == wanted):
            return found
    raise InputError(f"{card.name} needs Python {wanted}: there is no python{wanted} on the PATH, nor uv to fetch it")


def _version(python: str) -> str:
    """``3.11``, of an interpreter; empty if it does not run (a shim that has no such version behind it, say)."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=False)
    return done.stdout.strip()
