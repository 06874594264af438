"""ConfRover's arrays: atom37 coordinates in angstrom, a mask of atoms, and ``aatype``, in OpenFold's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.frames import Frames, Rows, assemble
from ebabench.io.layouts.arrays import atom37, headers
from ebabench.io.npz import read_arrays
from ebabench.structures.arrays import told_if_coarse
from ebabench.structures.ensembles import ONE_TO_THREE

RESIDUES = "ARNDCQEGHILKMFPSTWYV"
"""OpenFold's order of amino acids (``residue_constants.restypes``); 20 is unknown."""
ATOMS = str.split(
    "N CA C CB O CG CG1 CG2 OG OG1 SG CD CD1 CD2 ND1 ND2 OD1 OD2 SD CE CE1 CE2 CE3 NE NE1 NE2 OE1 OE2 CH2 NH1 NH2 OH "
    "CZ CZ2 CZ3 NZ OXT"
)
"""OpenFold's order of atoms (``residue_constants.atom_types``)."""


def read_atom37(path: Path) -> Frames:
    """Return the conformations in an npz file of atom37 arrays.

    The file has coordinates [F, L, 37, 3] (or [L, 37, 3]) in angstrom, ``aatype`` [L], and an array with ``mask`` in
    its name, [L, 37] or [F, L, 37]. Without a mask, atoms at the origin are absent.

    Args:
        path: The file.

    Raises:
        InputError: ``atom37.shape``, also for half precision far from the origin; ``atom37.mask``, atoms differ from
            conformation to conformation; ``atom37.residue``, an amino acid is unknown.
    """
    arrays = read_arrays(path)
    coordinates = arrays[atom37(headers(path) or {})]
    coordinates = coordinates.reshape(-1, *coordinates.shape[-3:])
    frames, length = coordinates.shape[:2]
    aatype = arrays["aatype"].reshape(-1, arrays["aatype"].shape[-1])
    if aatype.shape[1] != length or (aatype != aatype[0]).any() or not np.issubdtype(coordinates.dtype, np.floating):
        raise InputError(
            f"{path}: coordinates have shape {list(coordinates.shape)}, aatype {list(arrays['aatype'].shape)}; "
            "expected one amino acid per residue, the same in all conformations",
            code="atom37.shape",
            file=path,
        )
    if told := told_if_coarse(coordinates):
        raise InputError(f"{path}: {told}", code="atom37.shape", file=path)
    present = _present(path, arrays, coordinates)
    residue, atom = np.nonzero(present)
    types = aatype[0][residue]
    if len(unknown := np.flatnonzero((types < 0) | (types >= len(RESIDUES)))):
        raise InputError(
            f"{path}: residue {residue[unknown[0]] + 1} is of the unknown type {types[unknown[0]]}, and has atoms",
            code="atom37.residue",
            file=path,
        )
    names = np.array([ONE_TO_THREE[letter] for letter in RESIDUES])[types]
    blank, zero = np.full(len(residue), ""), np.zeros(len(residue), np.int64)
    rows = Rows(np.array(ATOMS)[atom], names, blank, (residue + 1).astype(np.str_), blank, blank, zero > 0, zero)
    atoms, kept = assemble(rows)
    positions = coordinates.reshape(frames, length, 37, 3)[:, residue[kept], atom[kept]].astype(np.float32)
    return Frames(str(path), atoms, positions)


def _present(path: Path, arrays: dict[str, npt.NDArray[Any]], coordinates: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which atoms there are, [L, 37]."""
    shape = coordinates.shape[1:3]
    masks = [values for name, values in arrays.items() if "mask" in name.lower() and values.shape[-2:] == shape]
    present = masks[0].reshape(-1, *shape) > 0.5 if masks else (np.abs(coordinates) > 0).any(3)
    if (present != present[0]).any():
        raise InputError(f"{path}: atoms differ from conformation to conformation", code="atom37.mask", file=path)
    return np.asarray(present[0], np.bool_)
