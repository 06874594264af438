"""The manifest of a run folder: whose run it is, and where and when it was made. Several processes may change it."""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ebabench import __version__
from ebabench.errors import InputError
from ebabench.system.files import exclusive, replace_file
from ebabench.system.processor import processor
from ebabench.system.schema import first_fault, parse_json, read_text

FILE = "manifest.json"
_LIBRARIES = (
    "numpy", "scipy", "numba", "POT", "scikit-learn", "mdtraj", "MDAnalysis", "gemmi", "biotite", "h5py",
    "biopython", "openmm", "pdbfixer", "ProDy", "torch",
)  # fmt: skip
"""The libraries besides ebabench that read, sample and score: a test compares them with what these rooms import."""


class Manifest:
    """``manifest.json`` in a run folder.

    Attributes:
        data: identity, sessions, official, unofficial_because, code, cost and md_speed (by target).
    """

    def __init__(self, folder: Path, data: dict[str, Any]) -> None:
        self.data = data
        self._path = folder / FILE
        self._session: dict[str, Any] | None = None
        self._stamp: tuple[int, int] | None = None

    @staticmethod
    def read(folder: Path) -> Manifest:
        """Return the manifest in a folder.

        Raises:
            InputError: There is none (``run.missing``), or it cannot be read (``run.manifest``).
        """
        manifest = Manifest(folder, {})
        try:
            manifest._load()
        except OSError as error:
            raise InputError(
                f"{folder} is not a run folder: cannot read {FILE}: {error.strerror}", code="run.missing", run=folder
            ) from error
        except ValueError as error:
            raise _broken(manifest._path, error) from error
        return manifest

    @property
    def last_session(self) -> Mapping[str, Any]:
        """The session that began last."""
        last: Mapping[str, Any] = self.data["sessions"][-1]
        return last

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Write that a session begins. Raises OSError."""
        self._session = {"session": secrets.token_hex(4), "started": now(), "command": sys.argv, **machine()}
        self.update({"identity": identity})

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write that the session ends, and what it found. Raises OSError."""
        if self._session is not None:
            self._session["finished"] = now()
        self.update(facts)

    def add(self, name: str, items: Mapping[str, Any]) -> None:
        """Add items to a table of the manifest, beside those of other processes. Raises OSError."""
        self.update({}, {name: items})

    def update(self, facts: Mapping[str, Any], added: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Change the manifest, with what other processes wrote meanwhile. Raises OSError.

        Args:
            facts: What is replaced.
            added: What is added to tables of the manifest.
        """
        with exclusive(self._path.parent):
            if self._path.exists() and stamp(self._path) != self._stamp:
                self._load()
            self.data |= facts
            for name, items in (added or {}).items():
                self.data[name] = {**self.data.get(name, {}), **items}
            if self._session is not None:
                others = [one for one in self.data["sessions"] if not _same(one, self._session)]
                self.data["sessions"] = [*others, self._session]
            replace_file(self._path, json.dumps(self.data, indent=1, sort_keys=True) + "\n")
            self._stamp = stamp(self._path)

    def _load(self) -> None:
        self._stamp = stamp(self._path)
        data = parse_json(read_text(self._path))
        try:
            _Form.model_validate(data)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from error
        self.data = data


class _SessionForm(BaseModel):
    model_config = ConfigDict(extra="allow")

    started: str
    libraries: dict[str, str] = Field(default_factory=dict)


class _Form(BaseModel):
    """A manifest, as far as it is read."""

    model_config = ConfigDict(extra="allow")

    identity: dict[str, Any]
    sessions: list[_SessionForm] = Field(min_length=1)
    official: bool = False
    unofficial_because: list[str] = Field(default_factory=list)
    code: dict[str, str] = Field(default_factory=dict)
    cost: dict[str, dict[str, Any]] = Field(default_factory=dict)
    md_speed: dict[str, dict[str, Any]] = Field(default_factory=dict)


def stamp(path: Path) -> tuple[int, int]:
    """Return what changes when a file is replaced. Raises OSError."""
    told = path.stat()
    return told.st_mtime_ns, told.st_ino


def now() -> str:
    """Return the time: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """Return where a run is made: platform, processor, versions of Python and of the libraries behind the numbers."""
    return {
        "platform": platform.platform(),
        **processor(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": dict(_versions()),
    }


@cache
def _versions() -> Mapping[str, str]:
    """The versions of this code, and of the libraries behind the numbers as far as they are installed."""
    found = {"ebabench": __version__}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library)
    return found


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one.get("session") == other["session"])


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not the manifest of a run: {error}", code="run.manifest", file=path)
