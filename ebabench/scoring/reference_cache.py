"""What is computed once from a reference and kept on disk: it depends on the reference, not on any model."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures import Reference, StoredFrames
from ebabench.system.cache import cache_dir

Arrays = Mapping[str, npt.NDArray[Any]]


def reference_digest(reference: Reference) -> str:
    """SHA-256 of the sequence, the atoms, the native structure and every replica's number and positions.

    Of a replica that stays on disk, the file's bytes stand for the positions: it need not be decoded, nor read again
    as long as the file is not written to.
    """
    digest = hashlib.sha256(f"{reference.tier}|{reference.target.sequence}|{reference.target.atoms.digest()}".encode())
    digest.update(np.ascontiguousarray(reference.target.native).data)
    for number, replica in zip(reference.numbers, reference.replicas, strict=True):
        digest.update(f"|{number}|{len(replica)}|".encode())
        if isinstance(replica, np.ndarray):
            digest.update(np.ascontiguousarray(replica).data)
        else:
            digest.update(_kept_digest(replica).encode())
    return digest.hexdigest()


def _kept_digest(frames: StoredFrames) -> str:
    return str(cached_arrays(f"digest|{frames.stamp()}", lambda: {"digest": np.array(frames.digest())})["digest"])


def cached_arrays(key: str, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays kept under ``key``, or computed now and kept.

    ``key`` must say all that they depend on. What was damaged is computed anew; a cache that cannot be written costs
    time, not the run.
    """
    path = cache_dir() / "observables" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    with suppress(OSError, ValueError, EOFError, zipfile.BadZipFile), np.load(path, allow_pickle=False) as kept:
        return dict(kept)
    arrays = compute()
    temporary = Path(f"{path}.{os.getpid()}.{get_ident()}.tmp")  # two threads may keep the same
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return arrays
