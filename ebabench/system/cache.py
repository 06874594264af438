"""The cache holds what can be made again.

Its files carry a digest of themselves: what was damaged or edited is made anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ebabench.system.files import replace_file


def cache_dir() -> Path:
    """Return ``$EBABENCH_CACHE``, else the platform's user cache folder. It is not created here."""
    chosen = os.environ.get("EBABENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("ebabench", appauthor=False))


def keep(path: Path, data: bytes | str | Callable[[Any], object]) -> None:
    """Write a file of the cache. A cache that cannot be written costs time, never a result: nothing is raised then."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)


def sealed(payload: bytes) -> bytes:
    """Return ``payload`` with its SHA-256 after it, as ``unsealed`` takes it."""
    return payload + hashlib.sha256(payload).digest()


def unsealed(data: bytes) -> bytes:
    """Return the payload of ``sealed``. Raises ValueError if data was cut, changed or never sealed."""
    payload, digest = data[:-32], data[-32:]
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("its SHA-256 is another: the file was cut or changed")
    return payload
