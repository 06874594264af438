"""Arrays that depend on the reference alone, in the cache, and the digest of a reference that they are found by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.structures import Reference, StoredFrames
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


def reference_digest(reference: Reference) -> str:
    """Return the SHA-256 of sequence, atoms, native structure, and number and positions of every replica.

    For a replica that stays on disk, the bytes of its file stand for the positions. The file is not decoded, and it is
    not read again as long as it is not written to.

    Args:
        reference: The reference, with all its replicas.
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


def _arrays_digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
