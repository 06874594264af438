"""The free energy of a frame with springs by molecular dynamics, in place of the harmonic approximation.

The stiffer the springs to a frame's heavy atoms, the better is the harmonic approximation. ``softened`` starts from
stiff springs, samples ever softer ones by Langevin dynamics (BAOAB; Leimkuhler and Matthews, Appl. Math. Res. Express
2013, 34), and adds up the free energies between neighbours, each from the samples of both (Bennett, J. Comput. Phys.
22, 245, 1976). What stiff springs leave free, the hydrogens, stays harmonic.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit

from ebabench.physics.accelerate import energy_and_forces
from ebabench.physics.free_energy import GAS_CONSTANT, Well

Array = npt.NDArray[np.float64]

_MASS = 12.0  # of every atom: masses do not change the distribution of positions
_TIMESTEP, _FRICTION = 0.002, 5.0  # ps, 1/ps
_EVERY = 25  # steps


def softened(well: Well, ladder: Sequence[float], temperature_k: float, picoseconds: float, seed: int) -> Array:
    """Return F(k) - F(k of the first) for every k of the ladder, in kJ/mol.

    Args:
        well: The well of the frame with the stiffest springs.
        ladder: Springs to heavy atoms in kJ/mol/nm^2, from stiff to soft.
        temperature_k: Temperature in kelvin.
        picoseconds: Length of the dynamics of each k. A quarter of it is left out before.
        seed: Seed of the noise.
    """
    kt = GAS_CONSTANT * temperature_k
    samples = round(picoseconds / _TIMESTEP) // _EVERY
    terms, place, held = well.force_field.single(), well.lowest.copy(), np.flatnonzero(well.springs)
    extents = []
    for rung, k in enumerate(ladder):
        found = np.empty(samples + samples // 4)
        _langevin(
            found, place, k, kt, seed + rung, np.ascontiguousarray(well.anchors), held,
            terms.pairs, terms.born, terms.neck, terms.bonded,
        )  # fmt: skip
        extents.append(found[-samples:])
    rungs = pairwise(zip(ladder, extents, strict=True))
    steps = [_bennett((softer - k) / kt * a, (softer - k) / kt * b) for (k, a), (softer, b) in rungs]
    return kt * np.cumsum([0.0, *steps])


@numba.njit(cache=True)
def _langevin(found, x, k, kt, seed, anchors, held, pairs, born, neck, bonded):  # type: ignore[no-untyped-def]
    """Move ``x`` [A, 3] by the dynamics with springs k; ``found``: half the square distances from the anchors."""
    np.random.seed(seed)
    v = np.random.standard_normal(x.shape) * np.sqrt(kt / _MASS)
    kept = np.exp(-_FRICTION * _TIMESTEP)
    noise = np.sqrt((1 - kept**2) * kt / _MASS)
    half = 0.5 * _TIMESTEP
    force = np.zeros_like(x)
    for step in range(len(found)):
        extent = 0.0
        for _ in range(_EVERY):
            v += half / _MASS * force
            x += half * v
            v = kept * v + noise * np.random.standard_normal(x.shape)
            x += half * v
            force = energy_and_forces(x, pairs, born, neck, bonded)[1]
            extent = 0.0
            for i in held:
                for c in range(3):
                    apart = x[i, c] - anchors[i, c]
                    extent += 0.5 * apart**2
                    force[i, c] -= k * apart
            v += half / _MASS * force
        found[step] = extent


def _bennett(ahead: Array, behind: Array) -> float:
    """Return F_b - F_a by U_b - U_a of samples of a (``ahead``) and of as many of b (``behind``), all in kT."""

    def unbalanced(shift: float) -> float:
        return float(expit(shift - ahead).sum() - expit(behind - shift).sum())

    ends = np.concatenate([ahead, behind])
    return float(brentq(unbalanced, ends.min() - 50, ends.max() + 50))
