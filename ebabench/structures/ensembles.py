"""The nouns of the project: Atoms, Target, Ensemble, Reference. Frozen, numpy only, lengths in angstrom."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ebabench.errors import InputError
from ebabench.structures.arrays import FloatArray, Positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mdtraj

THREE_TO_ONE = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G", "HIS": "H",
    "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V",
}  # fmt: skip
_SUM_TOLERANCE = 1e-12
ONE_TO_THREE = {one: three for three, one in THREE_TO_ONE.items()}


@dataclass(frozen=True)
class Atoms:
    """The heavy atoms of one chain, in file order: one row an atom, residues counted from 0 along the chain.

    name [N] and residue_name [N] are strings; residue [N] is an index, not the number in a file.
    """

    name: npt.NDArray[np.str_]
    residue_name: npt.NDArray[np.str_]
    residue: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.name) == len(self.residue_name) == len(self.residue):
            raise ValueError("name, residue_name and residue differ in length")
        if len(self.residue) and (self.residue[0] != 0 or not np.isin(np.diff(self.residue), (0, 1)).all()):
            raise ValueError("residue must count from 0 without gaps")

    def __len__(self) -> int:
        return len(self.name)

    def __repr__(self) -> str:
        return f"Atoms({len(self)} of {len(np.unique(self.residue))} residues)"

    @property
    def sequence(self) -> str:
        """One-letter sequence; X for a residue name that is not one of the twenty."""
        first = np.flatnonzero(np.diff(self.residue, prepend=-1))
        return "".join(THREE_TO_ONE.get(str(name), "X") for name in self.residue_name[first])

    def select(self, *names: str) -> npt.NDArray[np.int64]:
        """Return the indices of the atoms with one of these ``names``."""
        return np.flatnonzero(np.isin(self.name, names))

    def take(self, index: npt.NDArray[np.int64]) -> Atoms:
        """The atoms at ``index``; every residue must keep at least one atom."""
        return Atoms(self.name[index], self.residue_name[index], self.residue[index])

    def digest(self) -> str:
        """Return the SHA-256 of the table, in hex."""
        rows = "\n".join(f"{r}|{n}|{a}" for r, n, a in zip(self.residue, self.residue_name, self.name, strict=True))
        return hashlib.sha256(rows.encode()).hexdigest()


class StoredFrames(Protocol):
    """Frames that stay on disk until they are asked for: an array [F, N, 3] of angstrom to len, slices and lists.

    ``digest`` says which frames these are, by the bytes of their file. ``stamp`` does not read it, and changes whenever
    the digest may have changed.
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Positions: ...
    def digest(self) -> str: ...  # noqa: D102
    def stamp(self) -> str: ...  # noqa: D102


def _check_positions(what: str, shape: tuple[int, ...], atoms: Atoms) -> None:
    if len(shape) != 3 or shape[1:] != (len(atoms), 3):
        raise ValueError(f"{what}: positions have shape {shape}, expected [frames, {len(atoms)}, 3]")


@dataclass(frozen=True)
class Target:
    """What a generator is given: a name, a sequence, and the native structure (positions [N, 3], angstrom)."""

    name: str
    sequence: str
    atoms: Atoms
    native: Positions

    def __post_init__(self) -> None:
        _check_positions(self.name, (1, *self.native.shape), self.atoms)

    def __repr__(self) -> str:
        return f"Target({self.name!r}: {len(self.sequence)} residues, {len(self.atoms)} atoms)"


@dataclass(frozen=True)
class Ensemble:
    """The conformations of one target that a generator returns.

    Attributes:
        target: Name of the target.
        atoms: The N heavy atoms of every conformation.
        positions: [S, N, 3] in angstrom.
        held_out: Numbers (from 1) of the reference replicas that the ensemble was taken from. The ensemble is never
            scored against them. It is not scored at all if it has conformations that are no frames of them.
        random_weights: True for the output of an untrained network, made to test plumbing. It is never ranked.
        weights: [S], statistical weights of the conformations, or None for equal weights. The constructor accepts any
            non-negative numbers and divides them by their sum. Equal weights become None.
        notes: What a reader of its scores must know, one sentence each: a modified residue that is taken for its
            parent.
        batch_size: How many conformations the model computed at once, where its samples depend on that; else None.

    Raises:
        InputError: The weights are not one finite non-negative number per conformation, or all of them are zero
            (``ensemble.weights``).

    Example:
        >>> one = Atoms(np.array(["CA"]), np.array(["ALA"]), np.array([0]))
        >>> pair = Ensemble("a", one, np.zeros((2, 1, 3), np.float32), weights=np.array([3.0, 1.0]))
        >>> pair.weights.tolist(), round(pair.effective_samples, 3)
        ([0.75, 0.25], 1.6)
    """

    target: str
    atoms: Atoms
    positions: Positions
    held_out: tuple[int, ...] = ()
    random_weights: bool = False
    weights: FloatArray | None = None
    notes: tuple[str, ...] = ()
    batch_size: int | None = None

    def __post_init__(self) -> None:
        _check_positions(self.target, self.positions.shape, self.atoms)
        object.__setattr__(self, "weights", _normalised(self.target, self.weights, len(self.positions)))

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        weighted = "" if self.weights is None else f", weights worth {self.effective_samples:.3g}"
        return f"Ensemble({self.target!r}: {len(self)} conformations, {len(self.atoms)} atoms{weighted})"

    @property
    def effective_samples(self) -> float:
        """Return the effective number of samples, (sum w)^2 / sum w^2 (Kish, Survey Sampling, 1965).

        It equals the number of conformations where weights are equal.
        """
        return float(len(self)) if self.weights is None else 1 / float(self.weights @ self.weights)

    def digest(self) -> str:
        """Return the SHA-256 of all that the ensemble says, in hex."""
        head = f"{self.target}|{self.atoms.digest()}|{len(self)}|{self.held_out}|{self.random_weights}|"
        batch = "" if self.batch_size is None else f"{self.batch_size}|"
        digest = hashlib.sha256((head + batch).encode())
        digest.update(np.ascontiguousarray(self.positions, np.float32).data)
        if self.weights is not None:
            digest.update(self.weights.tobytes())
        return digest.hexdigest()

    @staticmethod
    def from_arrays(
        positions: npt.ArrayLike,
        names: Sequence[str],
        residue_names: Sequence[str],
        residues: Sequence[int],
        *,
        target: str = "protein",
        weights: FloatArray | None = None,
    ) -> Ensemble:
        """Return the protein of plain arrays: one chain, less hydrogens, waters, ions, ligands and caps.

        Args:
            positions: [S, M, 3] in angstrom, over all M atoms.
            names: [M], atom names as in PDB files.
            residue_names: [M], the three-letter residue name of every atom.
            residues: [M], the residue number of every atom.
            target: Name of the target.
            weights: [S], statistical weights of the conformations; None for equal weights.

        Raises:
            InputError: Shapes differ (``ensemble.shape``), there is no protein (``structure.no-protein``), there are
                several chains (``structure.several-chains``), a residue has an atom twice
                (``structure.duplicate-atom``), or the weights are no weights (``ensemble.weights``).

        Example:
            >>> frames = np.arange(18.0).reshape(2, 3, 3)
            >>> ensemble = Ensemble.from_arrays(frames, ["N", "H", "CA"], ["GLY"] * 3, [1, 1, 1])
            >>> ensemble.positions.shape, ensemble.atoms.name.tolist()
            ((2, 2, 3), ['N', 'CA'])
        """
        from ebabench.io.objects import from_arrays

        return from_arrays(positions, names, residue_names, residues, target, weights=weights)

    @staticmethod
    def from_mdtraj(
        trajectory: mdtraj.Trajectory,
        *,
        target: str = "protein",
        weights: FloatArray | None = None,
        chain: str | None = None,
    ) -> Ensemble:
        """Return the protein of an mdtraj trajectory: one chain, less hydrogens, waters, ions, ligands and caps.

        A molecule that the periodic box cuts is made whole.

        Args:
            trajectory: All frames count. mdtraj's nanometres become angstrom.
            target: Name of the target.
            weights: [S], statistical weights of the frames; None for equal weights.
            chain: Identifier of the chain that is meant, where there are several.

        Raises:
            InputError: There are no frames (``ensemble.empty``); or as ``from_arrays``.

        Example:
            >>> one = Ensemble.from_arrays(np.ones((2, 1, 3)), ["CA"], ["GLY"], [1])
            >>> Ensemble.from_mdtraj(one.to_mdtraj()).positions[0].tolist()
            [[1.0, 1.0, 1.0]]
        """
        from ebabench.io.objects import from_mdtraj

        return from_mdtraj(trajectory, target, weights=weights, chain=chain)

    @staticmethod
    def from_mdanalysis(
        group: Any, *, target: str = "protein", weights: FloatArray | None = None, chain: str | None = None
    ) -> Ensemble:
        """Return the protein of an MDAnalysis Universe or AtomGroup: as ``from_mdtraj``, in angstrom.

        Args:
            group: A Universe, or an AtomGroup of one. All frames count. The trajectory stands at the same frame
                afterwards.
            target: Name of the target.
            weights: [S], statistical weights of the frames; None for equal weights.
            chain: Identifier of the chain that is meant, where there are several.

        Raises:
            InputError: As ``from_mdtraj``.
        """
        from ebabench.io.objects import from_mdanalysis

        return from_mdanalysis(group, target, weights=weights, chain=chain)

    def to_mdtraj(self) -> mdtraj.Trajectory:
        """Return the conformations as an mdtraj trajectory (in nm) of one chain, with residues numbered from 1.

        Statistical weights have no place in a trajectory: read them from ``weights``.
        """
        from ebabench.io.objects import to_mdtraj

        return to_mdtraj(self)


def _normalised(target: str, weights: FloatArray | None, samples: int) -> FloatArray | None:
    """Return the weights divided by their sum; None for equal weights. Weights of sum 1 keep their bits."""
    if weights is None:
        return None
    given = np.asarray(weights)
    wrong = ""
    if given.dtype.kind not in "fiub":
        wrong = f"weights are {given.dtype}, no real numbers"
    elif given.shape != (samples,):
        wrong = f"weights have shape {list(given.shape)}, expected [{samples}]: one per conformation"
    elif not np.isfinite(given).all() or (given < 0).any():
        first = int(np.flatnonzero(~(np.isfinite(given) & (given >= 0)))[0])
        wrong = f"the weight of frame {first + 1} is {given[first]}; weights are finite and not negative"
    elif not given.any():
        wrong = "all weights are zero"
    if wrong:
        raise InputError(f"{target}: {wrong}", code="ensemble.weights", target=target)
    given = given.astype(np.float64)
    if (given == given[0]).all():
        return None
    if abs(float(given.sum()) - 1) > _SUM_TOLERANCE:
        given = given / given.max()  # sums of large weights must not overflow
        given = given / given.sum()
    return given


@dataclass(frozen=True)
class Reference:
    """Molecular dynamics of one target: ``replicas[k]`` [F_k, N, 3] in angstrom, over ``target.atoms``.

    ``numbers``: the replicas' numbers, from 1. ``tier`` names the source ("md-implicit", "atlas-protein", ...):
    references of different tiers are never mixed in a table. ``notes``: as those of an ensemble. ``files``: of each
    replica, what messages call its file; empty for frames in memory.
    """

    target: Target
    replicas: tuple[Positions | StoredFrames, ...]
    tier: str
    numbers: tuple[int, ...] = field(default=())
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(1, len(self.replicas) + 1)))
        for number, replica in zip(self.numbers, self.replicas, strict=True):
            _check_positions(f"{self.target.name} replica {number}", replica.shape, self.target.atoms)

    def __repr__(self) -> str:
        frames = ", ".join(str(len(replica)) for replica in self.replicas)
        return (
            f"Reference({self.target.name!r}: replicas of {frames} frames, {len(self.target.atoms)} atoms, {self.tier})"
        )

    def without(self, held_out: tuple[int, ...]) -> Reference:
        """Return the reference without the replicas of the numbers ``held_out``. Raises ValueError if none is left."""
        kept = [k for k, number in enumerate(self.numbers) if number not in held_out]
        if not kept:
            raise ValueError(f"{self.target.name}: no reference replica is left to score against")
        return replace(
            self,
            replicas=tuple(self.replicas[k] for k in kept),
            numbers=tuple(self.numbers[k] for k in kept),
            files=tuple(self.files[k] for k in kept) if self.files else (),
        )
