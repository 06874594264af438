"""Convert backbone frames and torsions to atoms.

Frames place N, CA and C. Torsions place the oxygen and the side chains. Bond lengths, angles, rings and chirality are
those of the target's native structure.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.models.eba.zmatrix import PSI, ROWS, TORSIONS, Row
from ebabench.structures import THREE_TO_ONE, Atoms, Ensemble, Target
from ebabench.structures.arrays import FloatArray

_ORDER = ("omega", "phi", "psi", "chi1", "chi2", "chi3", "chi4")  # OpenFold's


def convert(folder: Path, target: Target) -> Ensemble:
    """Return the ensemble in ``TARGET.npz``, in the conventions of OpenFold, which MDGen and others share.

    Arrays: ``trans`` [S, L, 3], C-alphas in angstrom; ``rots`` [S, L, 3, 3], whose columns point along CA-C, towards N,
    and along their normal; optionally ``torsions`` [S, L, 7, 2], sine and cosine of omega, phi, psi (defined by O) and
    chi1 to chi4. Without torsions the ensemble has N, CA and C only.

    Args:
        folder: The output of the model.
        target: The target.

    Raises:
        InputError: The file cannot be read (``output.unreadable``), or its arrays are missing or wrong
            (``output.shape``).
    """
    path = folder / f"{target.name}.npz"
    length = len(target.sequence)
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name].astype(np.float64) for name in ("trans", "rots", "torsions") if name in data}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read as npz of frames ({error})", code="output.unreadable", file=path
        ) from error
    shapes = {"trans": (3,), "rots": (3, 3), "torsions": (7, 2)}
    for name in shapes.keys() - arrays.keys() - {"torsions"}:
        raise InputError(f"{path}: lacks {name}", code="output.shape", file=path)
    for name, values in arrays.items():
        if values.shape != (len(arrays["trans"]), length, *shapes[name]):
            raise InputError(
                f"{path}: {name} has shape {values.shape}, expected [samples, {length}, {shapes[name]}]",
                code="output.shape",
                file=path,
            )
    rotations = arrays["rots"]
    if not np.allclose(rotations.swapaxes(-1, -2) @ rotations, np.eye(3), atol=1e-2):
        raise InputError(f"{path}: rots are not rotations", code="output.shape", file=path)
    pieces = [_residue(target, k, {name: values[:, k] for name, values in arrays.items()}) for k in range(length)]
    names = [(name, k) for k, piece in enumerate(pieces) for name in piece]
    residue = np.array([k for _, k in names])
    first = np.searchsorted(target.atoms.residue, residue)
    atoms = Atoms(np.array([name for name, _ in names]), target.atoms.residue_name[first], residue)
    positions = np.stack([pieces[k][name] for name, k in names], 1)
    return Ensemble(target.name, atoms, positions.astype(np.float32))


def _residue(target: Target, k: int, given: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the atoms [S, 3] of residue ``k`` by name."""
    rows = np.flatnonzero(target.atoms.residue == k)
    native = {str(target.atoms.name[row]): target.native[row].astype(np.float64) for row in rows}
    letter = THREE_TO_ONE.get(str(target.atoms.residue_name[rows[0]]), "X")
    if not {"N", "CA", "C"} <= native.keys() or letter not in ROWS:
        raise InputError(
            f"{target.name}: residue {k + 1} of its native structure lacks N, CA or C, or is none of twenty",
            code="native.backbone",
            residue=k + 1,
        )
    axes = _axes(native)
    placed = {
        name: given["trans"] + given["rots"] @ (axes.T @ (native[name] - native["CA"])) for name in ("N", "CA", "C")
    }
    if "torsions" not in given:
        return placed
    drivers: dict[int, float] = {}
    for row in ROWS[letter]:
        if row.atom in native:
            placed[row.atom] = _placed(row, native, placed, given["torsions"], drivers)
    return placed


def _placed(
    row: Row,
    native: dict[str, FloatArray],
    placed: dict[str, FloatArray],
    torsions: FloatArray,
    drivers: dict[int, float],
) -> FloatArray:
    """Return one atom [S, 3] at its native length and angle. ``drivers`` holds the native dihedral of each torsion."""
    parent, grandparent, great = row.parents
    here = native[row.atom]
    length = float(np.linalg.norm(here - native[parent]))
    angle = _angle(native[grandparent], native[parent], here)
    turn: FloatArray = np.full(len(torsions), _dihedral(native[great], native[grandparent], native[parent], here))
    if row.torsion >= 0:
        sine, cosine = torsions[:, _ORDER.index(TORSIONS[row.torsion])].T
        # The first atom that a torsion moves defines it: O for psi, which is opposite to the next N.
        own = drivers.setdefault(row.torsion, float(turn[0]) + (np.pi if row.torsion == PSI else 0.0))
        turn = turn + np.arctan2(sine, cosine) - own
    a, b, c = placed[great], placed[grandparent], placed[parent]
    along = _unit(c - b)
    normal = _unit(np.cross(b - a, along))
    across = np.cross(normal, along)
    radial = length * np.sin(angle)
    return np.asarray(
        c - length * np.cos(angle) * along + radial * (np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * normal)
    )


def _axes(native: dict[str, FloatArray]) -> FloatArray:
    x = _unit(native["C"] - native["CA"])
    y = native["N"] - native["CA"]
    y = _unit(y - (y @ x) * x)
    return np.stack([x, y, np.cross(x, y)], -1)


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector, axis=-1, keepdims=True))


def _angle(a: FloatArray, b: FloatArray, c: FloatArray) -> float:
    return float(np.arccos(np.clip(_unit(a - b) @ _unit(c - b), -1, 1)))


def _dihedral(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> float:
    axis = _unit(c - b)
    first, second = a - b, d - c
    first, second = first - (first @ axis) * axis, second - (second @ axis) * axis
    return float(np.arctan2(np.cross(axis, first) @ second, first @ second))
