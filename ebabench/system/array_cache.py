"""Arrays in the cache, by all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.system.cache import cache_dir, keep
from ebabench.system.npz import read_npz

Arrays = Mapping[str, npt.NDArray[Any]]
_DIGEST = "sha256"


def cached_arrays(key: str, compute: Callable[[], Arrays]) -> Arrays:
    """Return the arrays in the cache under ``key``, or compute and keep them.

    Args:
        key: All that the arrays depend on.
        compute: Makes them.
    """
    path = cache_dir() / "observables" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    with suppress(OSError, ValueError, KeyError):
        arrays = read_npz(path)
        if str(arrays.pop(_DIGEST)) == _arrays_digest(arrays):
            return arrays
    arrays = dict(compute())
    whole: dict[str, Any] = arrays | {_DIGEST: np.array(_arrays_digest(arrays))}
    keep(path, lambda file: np.savez(file, **whole))
    return arrays


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex. A file that was not written to since is not read again."""
    told = path.resolve().stat()
    stamp = f"{path.resolve()}|{told.st_size}|{told.st_mtime_ns}|{told.st_ctime_ns}"

    def compute() -> Arrays:
        with path.open("rb") as file:
            return {"digest": np.array(hashlib.file_digest(file, "sha256").hexdigest())}

    return str(cached_arrays(f"sha256|{stamp}", compute)["digest"])


def _arrays_digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
