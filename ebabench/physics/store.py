"""Energies already computed, by content: one file for a molecule under a protocol, frame hashes against energies.

A store is looked up in the package (energies of the embedded suites, shipped) and in the user's cache. Files are
replaced whole, so that a reader never sees half of one, and writers wait for each other.
"""

from __future__ import annotations

import hashlib
import os
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import Positions
from ebabench.system.cache import cache_dir
from ebabench.system.files import exclusive

_PORTION = 15_000


def _row(width: int | None) -> np.dtype[np.void]:
    """A frame and its energy, or the energies of ``width`` residues."""
    return np.dtype([("frame", "<u8"), ("energy", "<f8", () if width is None else (width,))])


def frame_keys(positions: Positions) -> npt.NDArray[np.uint64]:
    """The first eight bytes of the SHA-256 of every frame's float32 coordinates [S]."""
    frames = np.ascontiguousarray(positions, dtype="<f4")
    digests = b"".join(hashlib.sha256(frame.tobytes()).digest()[:8] for frame in frames)
    return np.frombuffer(digests, dtype="<u8")


def portions(missing: npt.NDArray[np.int64], atoms: int) -> list[npt.NDArray[np.int64]]:
    """The frames to compute between two writes, so that an interrupted run has kept most of its work."""
    size = max(1, _PORTION // atoms)
    return [missing[k : k + size] for k in range(0, len(missing), size)]


def shipped_folder() -> Path:
    """Where the package holds the energies of its own data."""
    return Path(str(resources.files("ebabench.datasets"))) / "peptides" / "energies"


def _name(protocol_key: str, molecule: str) -> str:
    return hashlib.sha256(f"{protocol_key}|{molecule}".encode()).hexdigest()[:32] + ".npy"


def _read(path: Path, width: int | None) -> npt.NDArray[np.void]:
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.empty(0, _row(width))
    return rows if rows.dtype == _row(width) and rows.ndim == 1 else np.empty(0, _row(width))


def _write(path: Path, rows: npt.NDArray[np.void]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with temporary.open("wb") as stream:
        np.save(stream, rows)
    temporary.replace(path)


def _merged(keys: npt.NDArray[np.uint64], energies: npt.NDArray[np.float64]) -> npt.NDArray[np.void]:
    known = np.isfinite(energies).reshape(len(keys), -1).all(1)
    unique, first = np.unique(keys[known], return_index=True)
    rows = np.empty(len(unique), _row(None if energies.ndim == 1 else energies.shape[1]))
    rows["frame"], rows["energy"] = unique, energies[known][first]
    return rows


def recall(
    protocol_key: str, molecule: str, keys: npt.NDArray[np.uint64], residues: int | None = None
) -> npt.NDArray[np.float64]:
    """Known energies of frames [S], kJ/mol, or of their residues [S, residues]; NaN where a frame is not known.

    ``molecule``: digest of the atom table. Residues' energies have a protocol key of their own.
    """
    energies = np.full((len(keys),) if residues is None else (len(keys), residues), np.nan)
    for folder in (shipped_folder(), cache_dir() / "energies"):
        rows = _read(folder / _name(protocol_key, molecule), residues)
        if len(rows):
            at = np.minimum(np.searchsorted(rows["frame"], keys), len(rows) - 1)
            known = rows["frame"][at] == keys
            energies[known] = rows["energy"][at[known]]
    return energies


def remember(
    protocol_key: str,
    molecule: str,
    keys: npt.NDArray[np.uint64],
    energies: npt.NDArray[np.float64],
    folder: Path | None = None,
) -> None:
    """Adds finite energies [S] or [S, residues] to the store in ``folder`` (the user's cache by default).

    Raises OSError where the folder cannot be written.
    """
    path = (folder or cache_dir() / "energies") / _name(protocol_key, molecule)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.parent):
        before = _read(path, None if energies.ndim == 1 else energies.shape[1])
        _write(path, _merged(np.concatenate([keys, before["frame"]]), np.concatenate([energies, before["energy"]])))
