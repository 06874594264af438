"""Trajectories in files of named arrays: AMBER's NetCDF, and the HDF5 of mdtraj."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ebabench.errors import InputError
from ebabench.io.frames import Rows, assemble
from ebabench.io.stored import FileFrames
from ebabench.io.topologies import Topology
from ebabench.structures.arrays import FloatArray, IndexArray, Positions, told_if_coarse
from ebabench.structures.periodic import box_vectors
from ebabench.system.schema import parse_json

_HDF5 = b"\x89HDF"
_ANGSTROM = {"angstrom": 1.0, "angstroms": 1.0, "a": 1.0, "nanometer": 10.0, "nanometers": 10.0, "nm": 10.0}


class ArrayFrames(FileFrames):
    """The chosen atoms of a NetCDF or HDF5 trajectory, read when they are asked for (``structures.StoredFrames``).

    The file has ``coordinates`` [F, N, 3] and perhaps ``cell_lengths`` and ``cell_angles`` [F, 3], each with its unit,
    and perhaps with a factor by which its numbers are multiplied.

    Args:
        path: a NetCDF file (AMBER's convention) or an HDF5 file (mdtraj's).
        n_atoms: atoms of its topology.
        atoms: [N], those that are wanted.

    Raises:
        InputError: ``trajectory.broken``; ``trajectory.atoms``, another number of atoms; ``structure.package-missing``,
            an HDF5 file without the package h5py.
    """

    def __init__(self, path: Path, n_atoms: int, atoms: IndexArray) -> None:
        self._path = path
        with self._open() as arrays:
            try:
                shape, self._scale = arrays["coordinates"].shape, _scale(arrays["coordinates"], path)
            except (KeyError, AttributeError, RuntimeError, OSError) as error:
                raise _broken(path, f"has no array coordinates that can be read ({error})") from error
            if len(shape) == 2:
                raise _broken(path, "one structure (a restart file), no trajectory")
            if len(shape) != 3 or shape[2] != 3 or not shape[0]:
                raise _broken(path, f"coordinates have shape {list(shape)}")
            if shape[1] != n_atoms:
                raise InputError(
                    f"{path}: frames of {shape[1]} atoms, the topology has {n_atoms}",
                    code="trajectory.atoms",
                    file=str(path),
                )
        super().__init__(path, atoms, int(shape[0]))

    def _open(self) -> AbstractContextManager[Any]:
        return open_arrays(self._path)

    def _read(self, handle: Any, start: int, count: int) -> tuple[Positions, FloatArray | None]:
        rows = slice(start, start + count)
        try:
            stored = np.array(handle["coordinates"][rows])[:, self._atoms]
            with np.errstate(over="ignore", invalid="ignore"):
                positions = (stored.astype(np.float64) * self._scale).astype(np.float32)
            box = None
            if "cell_lengths" in handle and "cell_angles" in handle:
                scale = _scale(handle["cell_lengths"], self._path)
                lengths, angles = (np.array(handle[name][rows], np.float64) for name in ("cell_lengths", "cell_angles"))
                box = box_vectors(lengths * scale, angles)
        except (OSError, RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
            raise _broken(self._path, f"broken from frame {start + 1} on ({error})") from error
        if told := told_if_coarse(stored, self._scale):
            raise _broken(self._path, told)
        return positions, box


@contextmanager
def open_arrays(path: Path) -> Iterator[Any]:
    """Open a NetCDF or HDF5 file as a mapping of named arrays that are read slice by slice.

    Raises:
        InputError: ``trajectory.broken``; ``structure.package-missing``, an HDF5 file without the package h5py.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise _broken(path, (error.strerror or str(error)).lower()) from error
    if head == _HDF5:
        h5py = _h5py(path)
        try:
            opened = h5py.File(path, "r")
        except OSError as error:
            raise _broken(path, f"cut or damaged ({error})") from error
        with opened as arrays:
            yield arrays
        return
    from scipy.io import netcdf_file

    try:
        netcdf = netcdf_file(path, mmap=True)
    except Exception as error:  # scipy raises what it likes on damaged files
        raise _broken(path, f"cut, damaged, or not of NetCDF 3 ({error or type(error).__name__})") from error
    # Closed, the file would leave its arrays without memory: they are let go first.
    arrays = dict(netcdf.variables)
    try:
        yield arrays
    finally:
        arrays.clear()
        netcdf.close()


def hdf5_topology(path: Path) -> Topology:
    """Return the atoms that an HDF5 trajectory of mdtraj names, in the order of its columns.

    Raises:
        InputError: the file is damaged, or has no topology.
    """
    with open_arrays(path) as arrays:
        try:
            text = arrays["topology"][0]
            chains = parse_json(text)["chains"]
            rows = sorted(
                (atom["index"], atom["name"], residue["name"], str(residue["resSeq"]), chain["index"], atom["element"])
                for chain in chains
                for residue in chain["residues"]
                for atom in residue["atoms"]
            )
            index, name, residue_name, number, chain, element = (np.array(column) for column in zip(*rows, strict=True))
            if not np.array_equal(index, np.arange(len(index))):
                raise ValueError("its atoms are not numbered from 0 without gaps")
        except (KeyError, ValueError, IndexError, TypeError, OSError, RuntimeError) as error:
            raise _broken(path, f"has no topology of mdtraj ({error})") from error
    size = len(name)
    blank, zero = np.full(size, ""), np.zeros(size, np.int64)
    labels = np.array([_letter(int(k)) for k in chain]) if len(np.unique(chain)) > 1 else blank
    atoms, _ = assemble(Rows(name, residue_name, labels, number, blank, np.char.upper(element), zero > 0, zero))
    return Topology(str(path), atoms, None)


def _letter(chain: int) -> str:
    return chr(ord("A") + chain) if chain < 26 else str(chain)


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{path}: HDF5 is read with the package h5py: pip install 'ebabench[formats]'",
            code="structure.package-missing",
            file=str(path),
        ) from error
    return h5py


def _scale(array: Any, path: Path) -> float:
    """What makes angstrom of the array's numbers: its unit, and its ``scale_factor`` (a convention of NetCDF)."""
    unit, factor = _attribute(array, "units"), _attribute(array, "scale_factor")
    text = unit.decode() if isinstance(unit, bytes) else str(unit or "angstrom")
    if text.lower() not in _ANGSTROM:
        raise _broken(path, f"lengths in {text}, neither angstrom nor nanometers")
    try:
        return _ANGSTROM[text.lower()] * (1.0 if factor is None else np.asarray(factor, np.float64).item())
    except ValueError as error:
        raise _broken(path, f"scale_factor of an array is {factor!r}, not one number") from error


def _attribute(array: Any, name: str) -> Any:
    """An attribute of an array in a NetCDF or HDF5 file; None if it has none of that name."""
    return array.attrs.get(name) if hasattr(array, "attrs") else getattr(array, name, None)


def _broken(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", code="trajectory.broken", file=str(path))
