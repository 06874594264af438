"""Molecular dynamics over some of its atoms, superposed on the native structure, read once for all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.scoring.shared_frames import SharedFrames
from ebabench.structures import Reference
from ebabench.structures.arrays import FloatArray, IndexArray, Positions, read_only
from ebabench.structures.geometry import superpose
from ebabench.structures.torsions import torsion_angles
from ebabench.structures.validation import validated_blocks

_CHUNK = 256
_HELD = 32_000_000  # coordinates, or torsions, 128 MB; where there are more, frames are read again when asked for
_AT_ONCE = 1_000_000  # torsions

Counts = Mapping[str, npt.NDArray[np.int64]]


class SuperposedReference:
    """The frames of a reference that the model's pair and the pairs of the floor share.

    The pairs of the floor lack a replica each. Frames are numbered from 0 over all replicas of the reference, one after
    the other. Several threads may ask at once.

    Args:
        reference: The replicas.
        atoms: [N], columns of the reference.
        native: [N, 3], centered. Every frame is superposed on it, with all N atoms.
        ca: [C], the C-alphas among ``atoms``.
        quartets: [T, 4], the torsions among ``atoms``.

    Attributes:
        atoms: As given.
        native_ca: [C, 3], centered. The C-alphas of every frame are superposed on it once more.
        shared: What metrics compute frame by frame.
    """

    def __init__(
        self, reference: Reference, atoms: IndexArray, native: Positions, ca: IndexArray, quartets: IndexArray
    ) -> None:
        self.native_ca: Positions = read_only(np.asarray(native[ca] - native[ca].mean(0), np.float32))
        self.atoms = atoms
        self.shared = SharedFrames()
        self._reference, self._native, self._ca, self._quartets = reference, native, ca, quartets
        self._starts = np.cumsum([0, *(len(replica) for replica in reference.replicas)])
        self._lock = Lock()
        self._moved_ca: Positions | None = None
        self._moved: Positions | None = None
        self._torsions: Positions | None = None
        self._counting = Lock()
        self._counts: dict[str, list[dict[str, Any]]] = {}
        self._sums: list[list[tuple[FloatArray, FloatArray]]] = []

    def numbered(self, replicas: tuple[int, ...]) -> IndexArray:
        """Return the frames of some replicas, given the replicas' numbers."""
        which = [self._reference.numbers.index(number) for number in replicas]
        return np.concatenate([np.arange(self._starts[k], self._starts[k + 1]) for k in which])

    def ca(self, replicas: tuple[int, ...]) -> Positions:
        """Return the C-alphas [F, C, 3] of all frames of some replicas, given the replicas' numbers."""
        values, frames = self._read(), self.numbered(replicas)
        in_a_row = len(frames) == frames[-1] - frames[0] + 1
        return values[frames[0] : frames[-1] + 1] if in_a_row else values[frames]

    def torsions(self, frames: IndexArray) -> Positions:
        """Return the torsions [len(frames), T] in radians of frames, given their numbers."""
        self._read()
        if self._torsions is not None:
            return self._torsions[frames]
        return self._anew(frames, (len(self._quartets),), lambda block: torsion_angles(block, self._quartets))

    def counted(self, name: str, replicas: tuple[int, ...], count: Callable[[Positions], Counts]) -> Counts:
        """Return what is counted in the torsions of all frames of some replicas, given the replicas' numbers.

        Each replica is counted once, for all who ask under one name.

        Args:
            name: Name of the counts.
            replicas: The replicas' numbers.
            count: Returns the counts of a block of torsions [K, T]. Those of two blocks add up to those of both.
        """
        self._read()
        with self._counting:
            if name not in self._counts:
                self._counts[name] = [self._count(k, count) for k in range(len(self._reference.replicas))]
        found = [self._counts[name][self._reference.numbers.index(number)] for number in replicas]
        return {key: np.sum([one[key] for one in found], axis=0) for key in found[0]}

    def _count(self, replica: int, count: Callable[[Positions], Counts]) -> dict[str, Any]:
        first, last = (int(at) for at in self._starts[replica : replica + 2])
        at_once = _CHUNK if self._torsions is None else max(_AT_ONCE // max(len(self._quartets), 1), 1)
        total: dict[str, Any] = {}
        for start in range(first, last, at_once):
            found = count(self.torsions(np.arange(start, min(start + at_once, last))))
            total = {key: total.get(key, 0) + counts for key, counts in found.items()}
        return total

    def rmsf(self, replicas: tuple[int, ...]) -> FloatArray:
        """Return the root mean square fluctuation [N] over all frames of some replicas, given the replicas' numbers."""
        self._read()
        first, second = np.zeros((len(self.atoms), 3)), np.zeros(len(self.atoms))
        for number in replicas:
            for away, square in self._sums[self._reference.numbers.index(number)]:
                first += away
                second += square
        frames = len(self.numbered(replicas))
        return np.asarray(np.sqrt(np.maximum(second / frames - ((first / frames) ** 2).sum(1), 0)))

    def moved(self, frames: IndexArray) -> Positions:
        """Return frames [len(frames), N, 3], given their numbers, superposed."""
        if self._moved is not None:
            return self._moved[frames]
        return self._anew(
            frames, (len(self.atoms), 3), lambda block: np.asarray(superpose(block, self._native), np.float32)
        )

    def _anew(self, frames: IndexArray, shape: tuple[int, ...], compute: Callable[[Positions], Positions]) -> Positions:
        """Return what is computed of each frame, of the given shape. Each distinct frame is read once."""
        once, again = np.unique(frames, return_inverse=True)
        found = np.empty((len(frames), *shape), np.float32)
        for start in range(0, len(once), _CHUNK):
            values = compute(self.as_read(once[start : start + _CHUNK])[:, self.atoms])
            here = np.flatnonzero((again >= start) & (again < start + len(values)))
            found[here] = values[again[here] - start]
        return found

    def as_read(self, frames: IndexArray) -> Positions:
        """Return frames [len(frames), M, 3], given their numbers, as read, with all atoms of the reference."""
        found = np.empty((len(frames), len(self._reference.target.atoms), 3), np.float32)
        for replica, start in zip(self._reference.replicas, self._starts, strict=False):
            here = (frames >= start) & (frames < start + len(replica))
            found[here] = replica[frames[here] - start]
        return found

    def _read(self) -> Positions:
        """Read all frames once. Keep C-alphas and moments per block, and torsions and all atoms if memory allows."""
        with self._lock:
            if self._moved_ca is None:
                frames, atoms = int(self._starts[-1]), self.atoms
                moved_ca = np.empty((frames, len(self._ca), 3), np.float32)
                held = np.empty((frames, len(atoms), 3), np.float32) if 3 * frames * len(atoms) <= _HELD else None
                many = frames * len(self._quartets) > _HELD
                torsions = None if many else np.empty((frames, len(self._quartets)), np.float32)
                self._sums = [[] for _ in self._reference.replicas]
                for replica, start, block in self._blocks():
                    common = np.take(block, atoms, axis=1)
                    moved = superpose(common, self._native)
                    if torsions is not None:
                        torsions[start : start + len(block)] = torsion_angles(common, self._quartets)
                    away = (moved - self._native).astype(np.float64)
                    self._sums[replica].append((away.sum(0), np.einsum("fnx,fnx->n", away, away)))
                    moved_ca[start : start + len(block)] = superpose(np.take(moved, self._ca, axis=1), self.native_ca)
                    if held is not None:
                        held[start : start + len(block)] = moved
                self._moved_ca, self._moved, self._torsions = moved_ca, held, torsions
            return self._moved_ca

    def _blocks(self) -> Iterator[tuple[int, int, Positions]]:
        """Yield the frames in blocks, validated, with the index of the replica and the number of the first frame."""
        for replica, first, block in validated_blocks(self._reference):
            yield replica, int(self._starts[replica]) + first, block
