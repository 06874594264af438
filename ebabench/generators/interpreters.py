"""The Python interpreter of an environment that a user has made: a path, or the name of a conda environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ebabench.errors import InputError

_CONDA = "conda:"


def find_interpreter(named: str, folder: Path) -> Path:
    """Return the interpreter that a card names.

    Args:
        named: A path, from ``folder`` if it is relative, or ``conda:NAME``.
        folder: The card's folder.

    Raises:
        InputError: There is no such interpreter, or two conda environments have the name
            (``environment.interpreter``).
    """
    if not named.startswith(_CONDA):
        path = folder / Path(named).expanduser()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise _none(named, f"there is no program {path}")
        return path
    name = named.removeprefix(_CONDA)
    found = {prefix.resolve(): prefix / "bin" / "python" for prefix in _prefixes(name)}
    found = {prefix: python for prefix, python in found.items() if python.is_file()}
    if not found:
        raise _none(named, f"there is no conda environment {name!r} (`conda create -n {name} python`)")
    if len(found) > 1:
        both = " and ".join(str(prefix) for prefix in found)
        raise _none(named, f"{both} have this name; give the path of the right bin/python")
    return next(iter(found.values()))


def _prefixes(name: str) -> Iterator[Path]:
    """Return where a conda environment of a name may be: conda's own list, and the folders beside its environments."""
    listed = Path("~/.conda/environments.txt").expanduser()
    if listed.is_file():
        yield from (Path(line) for line in listed.read_text(encoding="utf-8").split() if Path(line).name == name)
    roots = [Path(os.environ[key]) for key in ("CONDA_PREFIX", "MAMBA_ROOT_PREFIX") if os.environ.get(key)]
    if os.environ.get("CONDA_EXE"):
        roots.append(Path(os.environ["CONDA_EXE"]).parents[1])
    for root in roots:
        yield root / "envs" / name
        if root.name == name:
            yield root
        if root.parent.name == "envs":
            yield root.parent / name


def _none(named: str, why: str) -> InputError:
    return InputError(f"environment.interpreter: {named}: {why}", code="environment.interpreter", interpreter=named)
