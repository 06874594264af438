"""How converged a reference is: the slowest torsion, its correlation time, and how often it was seen to turn anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ebabench.structures.torsions import torsion_angles, torsion_table

if TYPE_CHECKING:
    from ebabench.structures import Reference
    from ebabench.structures.arrays import FloatArray, IndexArray

# Two atoms at the end of these are equivalent: half a turn is the same state.
_SYMMETRIC = {("PHE", "chi2"), ("TYR", "chi2"), ("ASP", "chi2"), ("GLU", "chi3"), ("ARG", "chi5")}
_WINDOW = 5


@dataclass(frozen=True)
class SlowestTorsion:
    """The torsion of a reference with the longest correlation time.

    Attributes:
        torsion: Its residue and name: ``LYS1 chi2``.
        frames: Its integrated autocorrelation time in frames, mean over replicas.
        samples: Independent samples in the whole reference: its length over twice that time.
    """

    torsion: str
    frames: float
    samples: float


def slowest_torsion(reference: Reference) -> SlowestTorsion | None:
    """Return the torsion with the longest correlation time; None for a molecule without phi, psi and chi.

    What no replica ever visits has no correlation time: the number of samples is an upper bound.

    Args:
        reference: Molecular dynamics with evenly spaced frames.
    """
    atoms = reference.target.atoms
    table = torsion_table(atoms, np.arange(len(reference.target.sequence)))
    turning = np.setdiff1d(np.arange(len(table.kind)), table.of("omega"))
    if not len(turning):
        return None
    first = np.flatnonzero(np.diff(atoms.residue, prepend=-1))
    names = atoms.residue_name[first][table.residue]
    folds = np.array([2 if pair in _SYMMETRIC else 1 for pair in zip(names, table.kind, strict=True)])
    replicas = [torsion_angles(np.asarray(replica[:]), table.quartets) for replica in reference.replicas]
    times = np.mean([correlation_time(replica.astype(np.float64), folds) for replica in replicas], axis=0)
    worst = int(turning[times[turning].argmax()])
    total = sum(len(replica) for replica in replicas)
    torsion = f"{names[worst]}{table.residue[worst] + 1} {table.kind[worst]}"
    return SlowestTorsion(torsion, float(times[worst]), float(total / (2 * times[worst])))


def correlation_time(angles: FloatArray, folds: IndexArray) -> FloatArray:
    """Return the integrated autocorrelation times [T], in frames, of torsions [F, T] in radians of given symmetry [T].

    Of the unit vectors (cos, sin) of folds times the angle. The sum ends where it is five times shorter than the lag
    (Sokal's window). A torsion that moves in one state alone is fast: what a trajectory never visits, it cannot tell.

    Args:
        angles: [F, T].
        folds: [T], 2 for a torsion of which half a turn is the same state, else 1.
    """
    unit = np.exp(1j * folds * angles)
    away = unit - unit.mean(0)
    frames = len(away)
    spectrum = np.fft.fft(away, 2 * frames, axis=0)
    raw = np.fft.ifft(np.abs(spectrum) ** 2, axis=0)[:frames].real / np.arange(frames, 0, -1)[:, None]
    correlation = raw / np.maximum(raw[0], 1e-12)
    summed = 0.5 + np.cumsum(correlation[1:], axis=0)
    found = np.full(angles.shape[1], np.nan)
    for k in range(angles.shape[1]):
        ends = np.flatnonzero(np.arange(1, frames) >= _WINDOW * summed[:, k])
        found[k] = summed[ends[0] if len(ends) else -1, k]
    longest: FloatArray = np.maximum(found, 0.5)
    return longest
