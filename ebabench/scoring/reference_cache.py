"""What a reference is, as a digest that all that is kept of it depends on."""

from __future__ import annotations

import hashlib

import numpy as np

from ebabench.structures import Reference, StoredFrames
from ebabench.system.cache import Arrays, cached_arrays

__all__ = ["Arrays", "cached_arrays", "reference_digest"]


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
