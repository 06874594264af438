"""Conformations that other libraries (mdtraj, MDAnalysis) or a caller hold in memory, as ensembles; and back.

No library is imported before an object of it is given: objects are recognised by the name of their module. What is read
of an object is what would be read of its file: the heavy atoms of one protein chain, made whole where a box cuts it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.io.chains import to_ensemble
from ebabench.io.columns import check_columns
from ebabench.io.frames import FileAtoms, Frames, Rows, assemble
from ebabench.structures import Ensemble
from ebabench.structures.arrays import FloatArray, IndexArray, Positions, told_if_coarse
from ebabench.structures.periodic import Bonds, make_whole

if TYPE_CHECKING:
    import mdtraj

_ANGSTROM_PER_NM = np.float32(10)
_Read = Callable[[IndexArray, IndexArray], tuple[Positions, FloatArray | None]]


class ObjectFrames:
    """The chosen atoms of frames that an object holds (``structures.StoredFrames``).

    Args:
        count: The number of frames.
        atoms: [N], the columns that are wanted.
        read: Returns positions [F, N, 3] and boxes [F, 3, 3] (or None) in angstrom, of frames [F] and columns [N].
        bonds: A spanning tree of the atoms, along which molecules are made whole; None leaves them as they are.
    """

    def __init__(self, count: int, atoms: IndexArray, read: _Read, bonds: Bonds | None = None) -> None:
        self._count, self._atoms, self._get, self._bonds = count, atoms, read, bonds

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, atoms, 3."""
        return self._count, len(self._atoms), 3

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, key: Any, /) -> Positions:
        rows = np.arange(self._count)[key]
        positions, box = self._get(rows.reshape(-1), self._atoms)
        if self._bonds is not None and box is not None:
            positions = make_whole(positions, box, self._bonds)
        return positions.reshape(*rows.shape, len(self._atoms), 3)

    def take(self, index: IndexArray) -> ObjectFrames:
        """Return the frames of the atoms at ``index`` only."""
        return ObjectFrames(self._count, self._atoms[index], self._get)

    def whole(self, bonds: Bonds) -> ObjectFrames:
        """Return the same frames; molecules that a periodic boundary cuts are put together on reading."""
        return ObjectFrames(self._count, self._atoms, self._get, bonds)

    def digest(self) -> str:
        """SHA-256 of the positions."""
        return hashlib.sha256(np.ascontiguousarray(self[:]).data).hexdigest()

    def stamp(self) -> str:
        """The digest: objects have no other."""
        return self.digest()


def is_mdtraj(thing: object) -> bool:
    """Return whether an object is an ``mdtraj.Trajectory``."""
    return _of_package(thing, "mdtraj") and hasattr(thing, "xyz") and hasattr(thing, "topology")


def is_mdanalysis(thing: object) -> bool:
    """Return whether an object is a Universe or an AtomGroup of MDAnalysis."""
    return _of_package(thing, "MDAnalysis") and hasattr(thing, "atoms") and hasattr(thing, "universe")


def from_mdtraj(
    trajectory: mdtraj.Trajectory,
    target: str,
    *,
    weights: FloatArray | None = None,
    chain: str | None = None,
    modified_as_parent: bool = False,
) -> Ensemble:
    """Return the protein of an mdtraj trajectory; see ``Ensemble.from_mdtraj``."""
    every = list(trajectory.topology.atoms)
    residues = [atom.residue for atom in every]
    chains = np.array([residue.chain.index for residue in residues], np.int64)
    atoms = FileAtoms(
        name=_text(atom.name for atom in every),
        residue_name=_text(residue.name for residue in residues),
        residue=np.array([residue.index for residue in residues], np.int64),
        chain=_text(getattr(residue.chain, "chain_id", None) or "" for residue in residues),
        number=_text(residue.resSeq for residue in residues),
        element=_text((atom.element.symbol if atom.element else "").upper() for atom in every),
        hetero=np.zeros(len(every), bool),
        segment=chains,
    )

    def read(rows: IndexArray, columns: IndexArray) -> tuple[Positions, FloatArray | None]:
        box = trajectory.unitcell_vectors
        return trajectory.xyz[rows][:, columns] * _ANGSTROM_PER_NM, None if box is None else box[rows] * 10.0

    frames = _frames(target, "an mdtraj.Trajectory", atoms, trajectory.n_frames, read, weights)
    return to_ensemble(frames, target, chain=chain, modified_as_parent=modified_as_parent)


def from_mdanalysis(
    group: Any,
    target: str,
    *,
    weights: FloatArray | None = None,
    chain: str | None = None,
    modified_as_parent: bool = False,
) -> Ensemble:
    """Return the protein of a Universe or an AtomGroup; see ``Ensemble.from_mdanalysis``."""
    from MDAnalysis.lib.mdamath import triclinic_vectors

    every, trajectory = group.atoms, group.universe.trajectory
    size = len(every)
    blank = np.full(size, "")
    rows = Rows(
        name=_text(every.names),
        residue_name=_text(every.resnames),
        chain=_text(_column(every, "chainIDs", _column(every, "segids", blank))),
        number=_text(
            f"{number}{code}" for number, code in zip(every.resids, _column(every, "icodes", blank), strict=True)
        ),
        altloc=_text(str(code).strip() for code in _column(every, "altLocs", blank)),
        element=_text(str(symbol).upper() for symbol in _column(every, "elements", blank)),
        hetero=_text(_column(every, "record_types", blank)) == "HETATM",
        segment=np.zeros(size, np.int64),
    )
    atoms, kept = assemble(rows)
    every = every[kept]

    def read(frames: IndexArray, columns: IndexArray) -> tuple[Positions, FloatArray | None]:
        chosen = every[columns]
        positions = np.empty((len(frames), len(columns), 3), np.float32)
        boxes = np.zeros((len(frames), 3, 3))
        with _standing_still(trajectory):
            for row, frame in enumerate(frames.tolist()):
                step = trajectory[frame]
                positions[row] = chosen.positions
                if step.dimensions is not None:
                    boxes[row] = triclinic_vectors(step.dimensions)
        return positions, boxes

    frames = _frames(target, f"an MDAnalysis {type(group).__name__}", atoms, len(trajectory), read, weights)
    return to_ensemble(frames, target, chain=chain, modified_as_parent=modified_as_parent)


def from_arrays(
    positions: npt.ArrayLike,
    names: Sequence[str],
    residue_names: Sequence[str],
    residues: Sequence[int],
    target: str,
    *,
    weights: FloatArray | None = None,
) -> Ensemble:
    """Return the protein of plain arrays; see ``Ensemble.from_arrays``."""
    array, size = _numbers(positions, target, "positions", "ensemble.shape"), len(names)
    given = array.astype(np.float32, copy=False)
    if len(residue_names) != size or len(residues) != size or given.ndim != 3 or given.shape[1:] != (size, 3):
        raise InputError(
            f"{target}: {size} names, {len(residue_names)} residue names, {len(residues)} residues, and positions of "
            f"shape {list(given.shape)}; expected as many of each, and [samples, atoms, 3]",
            code="ensemble.shape",
            target=target,
        )
    if told := told_if_coarse(array):
        raise InputError(f"{target}: {told}", code="ensemble.shape", target=target)
    blank, zero = np.full(size, ""), np.zeros(size, np.int64)
    rows = Rows(np.char.upper(_text(names)), _text(residue_names), blank, _text(residues), blank, blank, zero > 0, zero)
    atoms, kept = assemble(rows)

    def read(frames: IndexArray, columns: IndexArray) -> tuple[Positions, FloatArray | None]:
        return given[frames][:, kept[columns]], None

    return to_ensemble(_frames(target, "arrays", atoms, len(given), read, weights), target)


def to_mdtraj(ensemble: Ensemble) -> mdtraj.Trajectory:
    """Return an ensemble as an mdtraj trajectory; see ``Ensemble.to_mdtraj``."""
    import mdtraj

    atoms, topology = ensemble.atoms, mdtraj.Topology()
    chain = topology.add_chain()
    residues: dict[int, Any] = {}
    for name, residue_name, residue in zip(atoms.name, atoms.residue_name, atoms.residue.tolist(), strict=True):
        if residue not in residues:
            residues[residue] = topology.add_residue(str(residue_name), chain, resSeq=residue + 1)
        topology.add_atom(str(name), mdtraj.element.get_by_symbol(str(name)[0]), residues[residue])
    return mdtraj.Trajectory(np.asarray(ensemble.positions, np.float32) / _ANGSTROM_PER_NM, topology)


def _frames(target: str, what: str, atoms: FileAtoms, count: int, read: _Read, weights: FloatArray | None) -> Frames:
    source = f"{target} ({what})"
    if not count or not len(atoms):
        raise InputError(f"{source}: no {'frames' if not count else 'atoms'}", code="ensemble.empty", target=target)
    given = None if weights is None else _numbers(weights, target, "weights", "ensemble.weights")
    frames = Frames(source, atoms, ObjectFrames(count, np.arange(len(atoms)), read), given)
    if not _may_be_cut(atoms, read):
        check_columns(frames)
    return frames


def _may_be_cut(atoms: FileAtoms, read: _Read) -> bool:
    """Whether C-alphas of the first frame reach over half the box: bonds may then lead through its boundary."""
    positions, box = read(np.zeros(1, np.int64), np.flatnonzero(atoms.name == "CA"))
    if box is None or not positions.size or not box.any():
        return False
    return bool(np.ptp(positions[0], axis=0).max() > np.linalg.norm(box[0], axis=1).min() / 2)


def _of_package(thing: object, package: str) -> bool:
    return any(base.__module__.split(".")[0] == package for base in type(thing).__mro__)


def _text(values: Any) -> npt.NDArray[np.str_]:
    """Text as files have it: bytes are decoded, and padding is cut off."""
    return np.array([(value.decode() if isinstance(value, bytes) else str(value)).strip() for value in values], np.str_)


def _numbers(given: Any, target: str, what: str, code: str) -> npt.NDArray[Any]:
    """Return what a caller holds as numbers; a tensor of torch may be on a device, or have a gradient."""
    try:
        array = np.asarray(given.detach().cpu() if _of_package(given, "torch") else given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{target}: {what} are no array of numbers ({error}); give them as an array of float32",
            code=code,
            target=target,
        ) from error
    if np.ma.is_masked(given):
        raise InputError(
            f"{target}: {what} have a mask, which would be dropped; leave masked conformations and atoms out",
            code=code,
            target=target,
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"{target}: {what} are {array.dtype}, no real numbers", code=code, target=target)
    return array


def _column(atoms: Any, name: str, default: npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    """A column that a topology may lack."""
    found = getattr(atoms, name, None)
    return default if found is None else np.asarray(found)


@contextmanager
def _standing_still(trajectory: Any) -> Iterator[None]:
    """Leave a trajectory of MDAnalysis at the frame where it stood."""
    before = trajectory.frame
    try:
        yield
    finally:
        trajectory[before]
