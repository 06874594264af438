"""Where an energy comes from: shares of residues and of force terms.

A term between atoms is shared equally among them, so that the shares of all residues add up to the energy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openmm

from ebabench.errors import InputError
from ebabench.physics import store
from ebabench.physics.accelerate import read_terms
from ebabench.physics.bonded import numbers
from ebabench.physics.evaluation import Evaluator
from ebabench.physics.kernel import (
    BornTerms,
    NeckTerms,
    PairTerms,
    born_integrals,
    born_radii,
    pair_row,
    self_energies,
)
from ebabench.physics.lanes import cached
from ebabench.physics.molecules import Molecule
from ebabench.physics.preparation import CannotPrepare
from ebabench.physics.protocols import get_protocol
from ebabench.structures import Atoms
from ebabench.structures.arrays import Positions

Array = npt.NDArray[np.float64]

TERMS = ("bond", "angle", "torsion", "cmap", "lennard_jones", "coulomb", "polar_solvation", "surface")
_BOND, _ANGLE, _TORSION, _CMAP, _LENNARD_JONES = range(5)


@dataclass(frozen=True)
class Decomposition:
    """Shares in the energies of frames.

    Attributes:
        values: [S, residues, TERMS] in kJ/mol; NaN where there is no energy.
        reasons: by frame, why there is none.
    """

    values: Array
    reasons: dict[int, str]


def decompose(
    molecule: Atoms | Molecule,
    positions: Positions,
    protocol: str,
    minimise: bool | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Decomposition:
    """Return the shares of residues and force terms in the energies of conformations.

    Their sum over residues and terms is `potential_energies`, whose arguments these are; ``on_frames`` is that of
    `ebabench.physics.energy.prepare_energies`.

    Raises:
        InputError: there is no such protocol, or it has a cutoff (code ``energy.cutoff``).
    """
    chosen, one = get_protocol(protocol), Molecule.of(molecule)
    if chosen.cutoff_nm is not None:
        raise InputError(f"{protocol}: energies with a cutoff cannot be decomposed", code="energy.cutoff")
    evaluator = Evaluator(one, chosen, chosen.minimised if minimise is None else minimise)
    values = np.full((len(positions), len(one.residue_names), len(TERMS)), np.nan)
    reasons, shares = {}, {}
    for k, found in enumerate(evaluator.evaluate(positions)):
        if on_frames:
            on_frames(1)
        if isinstance(found, CannotPrepare):
            reasons[k] = str(found)
            continue
        calculator, _, places = found
        if calculator not in shares:
            shares[calculator] = _Shares(calculator.system)
        residue = [atom.residue.index for atom in calculator.template.topology.atoms()]
        values[k] = 0
        np.add.at(values[k], residue, shares[calculator](places))
    return Decomposition(values, reasons)


def residue_energies(molecule: Atoms | Molecule, positions: Positions, protocol: str) -> Array:
    """Return the shares of residues in the energies of conformations, from the store where they are known.

    Their sums are `potential_energies`, whose arguments these are.

    Returns:
        [S, residues] in kJ/mol; NaN where a structure could not be prepared.
    """
    one = Molecule.of(molecule)
    values = known_residue_energies(one, positions, protocol)
    missing = np.flatnonzero(np.isnan(values[:, 0]))
    for portion in store.portions(missing, len(one.atoms)):
        values[portion] = decompose(one, positions[portion], protocol).values.sum(2)
        store.remember(_key(protocol), one.digest(), store.frame_keys(positions[portion]), values[portion])
    return values


def known_residue_energies(molecule: Atoms | Molecule, positions: Positions, protocol: str) -> Array:
    """Return what `residue_energies` finds in the store: [S, residues] in kJ/mol, NaN where it would compute."""
    one = Molecule.of(molecule)
    return store.recall(_key(protocol), one.digest(), store.frame_keys(positions), len(one.residue_names))


def _key(protocol: str) -> str:
    chosen = get_protocol(protocol)
    return f"{chosen.key(chosen.minimised)}|residues"


@cached
def _nonbonded(positions: Array, pairs: PairTerms, born: BornTerms, neck: NeckTerms | None) -> Array:
    """Shares [N, 4] in Lennard-Jones, Coulomb, polar solvation and surface; arguments as the kernel's."""
    n, padded = len(positions), len(pairs.charge)
    x, y, z = np.zeros(padded), np.zeros(padded), np.zeros(padded)
    for i in range(n):
        x[i], y[i], z[i] = positions[i, 0], positions[i, 1], positions[i, 2]
    radii, unused, polar, surface = np.empty(padded), np.empty(padded), np.empty(padded), np.empty(padded)
    born_radii(born, born_integrals(n, x, y, z, born, neck, np.empty((1, padded))), radii, unused)
    self_energies(pairs.charge, born, radii, polar, surface)
    energy, row = np.zeros((n, 4)), np.empty((4, padded))
    for i in range(n):
        energy[i, 2] += polar[i]
        energy[i, 3] += surface[i]
        pair_row(i, pairs, born.prefactor, row)
        for j in range(i):
            r2 = (x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2 + (z[i] - z[j]) ** 2
            r6, bb = r2 * r2 * r2, radii[i] * radii[j]
            shares = (
                0.5 * (row[1, j] / r6 - row[2, j]) / r6,
                0.5 * row[0, j] / np.sqrt(r2),
                0.5 * row[3, j] / np.sqrt(r2 + bb * np.exp(-0.25 * r2 / bb)),
            )
            for k in range(3):
                energy[i, k] += shares[k]
                energy[j, k] += shares[k]
    return energy


class _Shares:
    """Shares of the atoms of a System in every term."""

    def __init__(self, system: openmm.System) -> None:
        self._terms, _ = read_terms(system)
        self._lists = [found for force in system.getForces() for found in _interactions(force)]

    def __call__(self, positions: Array) -> Array:
        """Shares [N, TERMS] in kJ/mol at positions [N, 3] in nm."""
        shares = np.zeros((len(positions), len(TERMS)))
        shares[:, _LENNARD_JONES:] = _nonbonded(positions, self._terms.pairs, self._terms.born, self._terms.neck)
        for term, members, energy in self._lists:
            each = energy(positions[members]) / members.shape[1]
            np.add.at(shares[:, term], members, each[:, None])
        return shares


# A term's column, the atoms [M, K] of its interactions, and their energies [M] from the atoms' places [M, K, 3].
_List = tuple[int, npt.NDArray[np.int64], Callable[[Array], Array]]


def _interactions(force: Any) -> list[_List]:
    """The bonded interactions of a force. Raises ValueError for a custom force that is not known."""
    found: list[_List] = []
    match type(force):
        case openmm.HarmonicBondForce:
            members, (length, k) = _read(2, 2, force.getNumBonds(), force.getBondParameters)
            found.append((_BOND, members, lambda x: 0.5 * k * (_distance(x) - length) ** 2))
        case openmm.HarmonicAngleForce:
            members, (angle, k) = _read(3, 2, force.getNumAngles(), force.getAngleParameters)
            found.append((_ANGLE, members, lambda x: 0.5 * k * (_angle(x) - angle) ** 2))
        case openmm.PeriodicTorsionForce:
            members, (fold, phase, k) = _read(4, 3, force.getNumTorsions(), force.getTorsionParameters)
            found.append((_TORSION, members, lambda x: k * (1 + np.cos(fold * _torsion(x) - phase))))
        case openmm.CustomTorsionForce if force.getEnergyFunction() == "k*(theta-theta0)^2":
            members, columns = _read(4, 2, force.getNumTorsions(), force.getTorsionParameters)
            names = [force.getPerTorsionParameterName(i) for i in range(2)]
            k, phase = columns[names.index("k")], columns[names.index("theta0")]
            found.append((_TORSION, members, lambda x: k * (_torsion(x) - phase) ** 2))
        case openmm.CustomBondForce if force.getName() == "LennardJones14":
            members, (sigma, epsilon) = _read(2, 2, force.getNumBonds(), force.getBondParameters)
            found.append((_LENNARD_JONES, members, lambda x: _lennard_jones(x, sigma, epsilon)))
        case openmm.CMAPTorsionForce:
            found = _maps(force)
        case openmm.CustomTorsionForce | openmm.CustomBondForce:
            raise ValueError(f"cannot decompose {force.getName()}: {force.getEnergyFunction()}")
    return found


def _read(atoms: int, width: int, count: int, get: Callable[[int], Any]) -> tuple[npt.NDArray[np.int64], Array]:
    """Atoms [M, atoms] and columns [width, M] of the parameters of ``count`` interactions."""
    rows = [get(k) for k in range(count)]
    # A custom force gives its parameters as one tuple, another gives them one by one.
    parameters = [row[atoms] if len(row) == atoms + 1 else row[atoms:] for row in rows]
    members = np.array([row[:atoms] for row in rows], dtype=np.int64).reshape(count, atoms)
    return members, np.array([numbers(p) for p in parameters], dtype=float).reshape(count, width).T


def _maps(force: openmm.CMAPTorsionForce) -> list[_List]:
    """Correction maps: a cubic spline in both torsions; the padding makes its ends' conditions immaterial."""
    from scipy.interpolate import RectBivariateSpline

    splines = []
    for k in range(force.getNumMaps()):
        size, energies = force.getMapParameters(k)
        padded = np.tile(np.array(numbers(energies)).reshape(size, size).T, (3, 3))
        grid = (np.arange(3 * size) - size) * 2 * np.pi / size
        splines.append(RectBivariateSpline(grid, grid, padded, s=0))
    listed = [force.getTorsionParameters(k) for k in range(force.getNumTorsions())]
    rows = np.array(listed, dtype=np.int64).reshape(-1, 9)

    def energy(spline: Any) -> Callable[[Array], Array]:
        return lambda x: spline.ev(_torsion(x[:, :4]), _torsion(x[:, 4:]))

    return [(_CMAP, rows[rows[:, 0] == k, 1:], energy(splines[k])) for k in np.unique(rows[:, 0])]


def _lennard_jones(x: Array, sigma: Array, epsilon: Array) -> Array:
    s6 = (sigma / _distance(x)) ** 6
    return 4 * epsilon * s6 * (s6 - 1)


def _distance(x: Array) -> Array:
    return np.asarray(np.linalg.norm(x[:, 1] - x[:, 0], axis=-1))


def _angle(x: Array) -> Array:
    u, v = x[:, 0] - x[:, 1], x[:, 2] - x[:, 1]
    return np.asarray(np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), (u * v).sum(-1)))


def _torsion(x: Array) -> Array:
    first, axis, last = x[:, 1] - x[:, 0], x[:, 2] - x[:, 1], x[:, 3] - x[:, 2]
    m, n = np.cross(first, axis), np.cross(axis, last)
    sine = (first * n).sum(-1) * np.linalg.norm(axis, axis=-1)
    return np.asarray(np.arctan2(sine, (m * n).sum(-1)))
