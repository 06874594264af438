"""Energies already computed: one file per molecule and protocol, with the energy of every known frame.

Energies are looked up in the package (those of the embedded suites) and in the user's cache. Files are replaced whole,
so that a reader never sees half of one; writers wait for each other. A file ends with the SHA-256 of what precedes it:
a file that was damaged or edited counts as empty.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebabench.structures.arrays import FloatArray, Positions
from ebabench.system.cache import cache_dir, sealed, unsealed
from ebabench.system.files import exclusive, replace_file

_PORTION, _PAIRS = 15_000, 15_000_000  # atoms and pairs of atoms of the frames between two writes


def _row(width: int | None) -> np.dtype[np.void]:
    """A frame and its energy, or the energies of ``width`` residues."""
    return np.dtype([("frame", "<u8"), ("energy", "<f8", () if width is None else (width,))])


def frame_keys(positions: Positions) -> npt.NDArray[np.uint64]:
    """Return the first eight bytes of the SHA-256 of every frame's float32 coordinates.

    Args:
        positions: [S, N, 3] in angstrom.

    Returns:
        [S].
    """
    frames = np.ascontiguousarray(positions, dtype="<f4")
    digests = b"".join(hashlib.sha256(frame.tobytes()).digest()[:8] for frame in frames)
    return np.frombuffer(digests, dtype="<u8")


def portions(missing: npt.NDArray[np.int64], atoms: int) -> list[npt.NDArray[np.int64]]:
    """Return the frames to compute between two writes, so that most of an interrupted run's work is stored.

    An energy takes a time that grows with the square of the atoms: every frame of a long chain is stored by itself.

    Args:
        missing: [M], indices of the frames to compute.
        atoms: number of atoms per frame.
    """
    size = max(1, min(_PORTION // atoms, _PAIRS // atoms**2))
    return [missing[k : k + size] for k in range(0, len(missing), size)]


def shipped_folder() -> Path:
    """Return the folder of the package that holds the energies of its own data."""
    return Path(str(resources.files("ebabench.datasets"))) / "peptides" / "energies"


def _name(protocol_key: str, molecule: str) -> str:
    return hashlib.sha256(f"{protocol_key}|{molecule}".encode()).hexdigest()[:32] + ".npy"


def _read(path: Path, width: int | None) -> npt.NDArray[np.void]:
    try:
        rows = np.load(io.BytesIO(unsealed(path.read_bytes())), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.empty(0, _row(width))
    return rows if rows.dtype == _row(width) and rows.ndim == 1 else np.empty(0, _row(width))


def _write(path: Path, rows: npt.NDArray[np.void]) -> None:
    stream = io.BytesIO()
    np.save(stream, rows)
    replace_file(path, sealed(stream.getvalue()))


def _merged(keys: npt.NDArray[np.uint64], energies: FloatArray) -> npt.NDArray[np.void]:
    known = np.isfinite(energies).reshape(len(keys), -1).all(1)
    unique, first = np.unique(keys[known], return_index=True)
    rows = np.empty(len(unique), _row(None if energies.ndim == 1 else energies.shape[1]))
    rows["frame"], rows["energy"] = unique, energies[known][first]
    return rows


def recall(protocol_key: str, molecule: str, keys: npt.NDArray[np.uint64], residues: int | None = None) -> FloatArray:
    """Return the known energies of frames.

    Args:
        protocol_key: `Protocol.key`; energies of residues have a key of their own.
        molecule: `Molecule.digest`.
        keys: [S], `frame_keys`.
        residues: the number of residues, for the energies of residues; None for those of frames.

    Returns:
        [S] or [S, residues] in kJ/mol; NaN where a frame is not known.
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
    energies: FloatArray,
    folder: Path | None = None,
) -> None:
    """Store the finite energies.

    Args:
        protocol_key: as of `recall`.
        molecule: as of `recall`.
        keys: [S], `frame_keys`.
        energies: [S] or [S, residues] in kJ/mol.
        folder: the store; the user's cache by default. A cache that cannot be written costs time in later runs, but
            does not fail this one.

    Raises:
        OSError: ``folder`` cannot be written.
    """
    name = _name(protocol_key, molecule)
    if folder is not None:
        _add(folder / name, keys, energies)
        return
    with suppress(OSError):
        _add(cache_dir() / "energies" / name, keys, energies)


def _add(path: Path, keys: npt.NDArray[np.uint64], energies: FloatArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.parent):
        before = _read(path, None if energies.ndim == 1 else energies.shape[1])
        _write(path, _merged(np.concatenate([keys, before["frame"]]), np.concatenate([energies, before["energy"]])))
