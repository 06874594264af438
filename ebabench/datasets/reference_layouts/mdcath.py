"""mdCATH's HDF5 files (Mirarchi, Giorgino and De Fabritiis, Scientific Data 11, 1299, 2024), one per domain.

``DOMAIN/pdbProteinAtoms`` is the structure as PDB text, under CHARMM's names. ``DOMAIN/TEMPERATURE/REPLICA/coords``
[F, N, 3] are in angstrom. Replicas differ in length, and some are missing. Some readers name a temperature
``sims320K`` in place of ``320``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ebabench.datasets.reference_layouts.replicas import Replicas
from ebabench.errors import InputError
from ebabench.io.array_files import open_arrays
from ebabench.io.columns import check_columns
from ebabench.io.frames import Frames
from ebabench.io.pdb import parse_pdb
from ebabench.io.stored import FileFrames
from ebabench.structures.arrays import FloatArray, IndexArray, Positions

_FILE = re.compile(r"mdcath_dataset_(?P<domain>\w+)\.h5")
_TEMPERATURE = re.compile(r"(?:sims)?(\d+)K?")
_SCALE = {"angstrom": 1.0, "angstroms": 1.0, "a": 1.0, "å": 1.0, "nanometer": 10.0, "nanometers": 10.0, "nm": 10.0}


def find(path: Path) -> dict[str, Path]:
    """Return mdCATH's files by domain; nothing where there are none."""
    files = sorted(path.rglob("*.h5")) if path.is_dir() else [path]
    return {match["domain"]: one for one in files if (match := _FILE.fullmatch(one.name))}


def at(files: Mapping[str, Path], temperature: int | None) -> tuple[str, dict[str, Replicas]]:
    """Return the tier, and what reads the replicas of each domain at one temperature.

    Args:
        files: The files by domain.
        temperature: In kelvin; None where the files have only one.

    Raises:
        InputError: ``reference.temperature``, the message lists those that are there; or a file cannot be read.
    """
    there = {domain: _temperatures(path, domain) for domain, path in files.items()}
    all_there = sorted({kelvin for one in there.values() for kelvin in one})
    if temperature is None and len(all_there) == 1:
        temperature = all_there[0]
    with_it = [domain for domain, one in there.items() if temperature in one]
    if temperature is None or not with_it:
        listed = ", ".join(map(str, all_there)) or "none"
        raise InputError(
            f"{next(iter(files.values()))}: choose a temperature (--temperature): {listed} K are there",
            code="reference.temperature",
            temperatures=all_there,
        )
    replicas = {
        domain: Replicas(partial(_replicas, files[domain], domain, there[domain][temperature]), (files[domain],))
        for domain in with_it
    }
    return f"mdcath-{temperature}K", replicas


def _temperatures(path: Path, domain: str) -> dict[int, str]:
    """Return the names of groups by temperature in kelvin."""
    with open_arrays(path) as arrays:
        if domain not in arrays:
            raise InputError(
                f"{path}: has no group {domain} (it has {', '.join(list(arrays)[:5])})",
                code="reference.layout",
                file=path,
            )
        names = [name for name in arrays[domain] if _TEMPERATURE.fullmatch(name)]
    return {int(match[1]): name for name in names if (match := _TEMPERATURE.fullmatch(name))}


def _replicas(path: Path, domain: str, group: str) -> dict[int, Frames]:
    """Return the frames of each replica by its number from 1."""
    with open_arrays(path) as arrays:
        try:
            text = arrays[domain]["pdbProteinAtoms"][()]
            keys = sorted((int(key), key) for key, one in arrays[domain][group].items() if "coords" in one)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: {domain}: {error}", code="reference.layout", file=path) from error
    if not keys:
        raise InputError(f"{path}: {domain}/{group} has no replica", code="reference.layout", file=path)
    data = text if isinstance(text, bytes) else str(text).encode()
    named = f"{path}: {domain}/pdbProteinAtoms"
    structure = parse_pdb(data, named)[0]
    frames = {}
    for number, key in keys:
        inner = (domain, group, key)
        stored = MdcathFrames(path, inner, len(structure.atoms), np.arange(len(structure.atoms)))
        native = structure.positions[0]
        one = Frames(f"{path}: {'/'.join(inner)}", structure.atoms, stored, native=native, topology=named)
        check_columns(one)
        frames[number + 1] = one
    return frames


class MdcathFrames(FileFrames):
    """The chosen atoms of one replica, read when they are asked for (``structures.StoredFrames``).

    Args:
        path: The HDF5 file.
        inner: The names of the groups that lead to the replica.
        n_atoms: How many atoms the structure has.
        atoms: [N], the columns that are wanted.

    Raises:
        InputError: ``trajectory.atoms``, coordinates are of another number of atoms; ``trajectory.unit``.
    """

    def __init__(self, path: Path, inner: Sequence[str], n_atoms: int, atoms: IndexArray) -> None:
        self._path, self._inner = path, tuple(inner)
        with self._open() as coordinates:
            shape = coordinates.shape
            unit = str(_text(coordinates.attrs.get("unit", "angstrom"))).lower()
        where = f"{path}: {'/'.join(inner)}"
        if len(shape) != 3 or shape[1:] != (n_atoms, 3):
            raise InputError(
                f"{where}: coords have shape {list(shape)}, the structure has {n_atoms} atoms",
                code="trajectory.atoms",
                file=path,
            )
        if unit not in _SCALE:
            raise InputError(f"{where}: coords are in {unit!r}, not in angstrom", code="trajectory.unit", file=path)
        self._scale = _SCALE[unit]
        super().__init__(path, atoms, int(shape[0]))

    def digest(self) -> str:
        """Return the SHA-256 of the file and the atoms, and the replica."""
        return f"{super().digest()}|{'/'.join(self._inner)}"

    def stamp(self) -> str:
        """Return what tells whether the file was written to since, and the replica."""
        return f"{super().stamp()}|{'/'.join(self._inner)}"

    def _open(self) -> AbstractContextManager[Any]:
        return self._coordinates()

    @contextmanager
    def _coordinates(self) -> Iterator[Any]:
        with open_arrays(self._path) as arrays:
            yield arrays["/".join(self._inner)]["coords"]

    def _read(self, handle: Any, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        try:
            values = np.asarray(handle[start : start + count], np.float32)[:, self._atoms]
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{self._path}: {'/'.join(self._inner)}: broken from frame {start + 1} on ({error})",
                code="trajectory.broken",
                file=self._path,
            ) from error
        return values * np.float32(self._scale), None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
