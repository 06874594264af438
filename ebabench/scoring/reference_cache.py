"""The digest of a reference, under which everything that depends on the reference alone is cached."""

from __future__ import annotations

import hashlib

import numpy as np

from ebabench.structures import Reference, StoredFrames
from ebabench.system.array_cache import Arrays, cached_arrays

__all__ = ["Arrays", "cached_arrays", "reference_digest"]


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
