"""Molecular dynamics over some of its atoms, every frame moved onto the native structure: read once, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock

import numpy as np

from ebabench.structures import Reference, validation
from ebabench.structures.arrays import FloatArray, IndexArray, Positions
from ebabench.structures.geometry import superpose
from ebabench.structures.nomenclature import canonical

_CHUNK = 256
_HELD = 32_000_000  # coordinates, 128 MB: more are read and moved anew when they are asked for


class SuperposedReference:
    """The frames of a reference that a model's pair and those of the floor, which lack a replica each, have in common.

    Frames are numbered from 0 over all replicas of the reference, one after the other. It may be asked from several
    threads.

    Args:
        reference: the replicas.
        atoms: [N], columns of the reference.
        native: [N, 3], centered: the structure that every frame is moved onto, on all N atoms.
        ca: [C], the C-alphas among ``atoms``.

    Attributes:
        atoms: as given.
        native_ca: [C, 3], centered: the structure that the C-alphas are then moved onto once more.
    """

    def __init__(self, reference: Reference, atoms: IndexArray, native: Positions, ca: IndexArray) -> None:
        self.native_ca: Positions = np.asarray(native[ca] - native[ca].mean(0), np.float32)
        self.atoms = atoms
        self._reference, self._native, self._ca = reference, native, ca
        self._starts = np.cumsum([0, *(len(replica) for replica in reference.replicas)])
        self._lock = Lock()
        self._moved_ca: Positions | None = None
        self._moved: Positions | None = None
        self._sums: list[list[tuple[FloatArray, FloatArray]]] = []

    def numbered(self, replicas: tuple[int, ...]) -> IndexArray:
        """Frames of some replicas, by the replicas' numbers."""
        which = [self._reference.numbers.index(number) for number in replicas]
        return np.concatenate([np.arange(self._starts[k], self._starts[k + 1]) for k in which])

    def ca(self, replicas: tuple[int, ...]) -> Positions:
        """C-alphas [F, C, 3] of all frames of some replicas, by their numbers."""
        moved = self._read()
        frames = self.numbered(replicas)
        in_a_row = len(frames) == frames[-1] - frames[0] + 1
        return moved[frames[0] : frames[-1] + 1] if in_a_row else moved[frames]

    def rmsf(self, replicas: tuple[int, ...]) -> FloatArray:
        """Root mean square fluctuation [N] over all frames of some replicas, by their numbers."""
        self._read()
        first, second = np.zeros((len(self.atoms), 3)), np.zeros(len(self.atoms))
        for number in replicas:
            for away, square in self._sums[self._reference.numbers.index(number)]:
                first += away
                second += square
        frames = len(self.numbered(replicas))
        return np.asarray(np.sqrt(np.maximum(second / frames - ((first / frames) ** 2).sum(1), 0)))

    def moved(self, frames: IndexArray) -> Positions:
        """Frames [len(frames), N, 3] by their numbers."""
        if self._moved is not None:
            return self._moved[frames]
        once, again = np.unique(frames, return_inverse=True)
        found = np.empty((len(once), len(self.atoms), 3), np.float32)
        for start in range(0, len(once), _CHUNK):
            block = self.as_read(once[start : start + _CHUNK])
            found[start : start + len(block)] = superpose(block[:, self.atoms], self._native)
        return found[again]

    def as_read(self, frames: IndexArray) -> Positions:
        """Frames [len(frames), M, 3] by their numbers, as they were read, with all atoms of the reference."""
        found = np.empty((len(frames), len(self._reference.target.atoms), 3), np.float32)
        for replica, start in zip(self._reference.replicas, self._starts, strict=False):
            here = (frames >= start) & (frames < start + len(replica))
            found[here] = replica[frames[here] - start]
        return found

    def _read(self) -> Positions:
        """The one pass: C-alphas of all frames; moments of each block of frames; all atoms, if they are not many."""
        with self._lock:
            if self._moved_ca is None:
                frames, atoms = int(self._starts[-1]), self.atoms
                moved_ca = np.empty((frames, len(self._ca), 3), np.float32)
                held = np.empty((frames, len(atoms), 3), np.float32) if 3 * frames * len(atoms) <= _HELD else None
                self._sums = [[] for _ in self._reference.replicas]
                for replica, start, block in self._blocks():
                    moved = superpose(block[:, atoms], self._native)
                    away = (moved - self._native).astype(np.float64)
                    self._sums[replica].append((away.sum(0), np.einsum("fnx,fnx->n", away, away)))
                    moved_ca[start : start + len(block)] = superpose(moved[:, self._ca], self.native_ca)
                    if held is not None:
                        held[start : start + len(block)] = moved
                self._moved_ca, self._moved = moved_ca, held
            return self._moved_ca

    def _blocks(self) -> Iterator[tuple[int, int, Positions]]:
        """The frames in blocks, checked, each with its replica's index and the number of its first frame."""
        reference = self._reference
        atoms, place = canonical(reference.target.atoms), np.arange(len(reference.target.sequence))
        for k, (number, replica) in enumerate(zip(reference.numbers, reference.replicas, strict=True)):
            who = f"{reference.target.name}: replica {number}"
            for first in range(0, len(replica), _CHUNK):
                block = np.asarray(replica[first : first + _CHUNK], np.float32)
                validation.validate(f"{who} from frame {first + 1}", atoms, place, block)
                yield k, int(self._starts[k]) + first, block
