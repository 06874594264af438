"""The free energy of a conformation whose heavy atoms are held by springs, in the harmonic approximation.

The Boltzmann density smoothed by noise of standard deviation sigma on the heavy atoms x, p(x) = integral over y of
exp(-beta U(y)) N(y_heavy; x, sigma^2), is a partition function with springs k = kT / sigma^2 (Cartesian umbrellas).
About the minimum of U plus springs, -kT ln p = E_min + E_springs + kT/2 ln det(H + k) + a constant of the molecule. The
energy of a protocol is the first term alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ebabench.errors import InputError
from ebabench.physics.accelerate import Terms, read_terms
from ebabench.physics.evaluation import Calculator, Evaluator
from ebabench.physics.molecules import Molecule
from ebabench.physics.preparation import CannotPrepare
from ebabench.physics.protocols import Minimisation, get_protocol
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, Positions

GAS_CONSTANT = 8.314462618e-3  # kJ/mol/K
_TOLERANCE = 0.5  # kJ/mol/nm, root mean square
_STEP = 1e-4  # nm, of the differences of forces


@dataclass(frozen=True)
class FreeEnergies:
    """The terms of the free energy of frames, in kJ/mol; NaN where a frame has none.

    Attributes:
        minimised: [S], the potential energy at the minimum with springs.
        spring: [S], the energy of the springs there.
        vibration: [S], kT/2 ln det(H + k), with H + k in kJ/mol/nm^2. Differences between frames of one molecule have a
            meaning.
        softest: [S], the lowest eigenvalue of H + k in kJ/mol/nm^2. A negative one is why a frame has no vibration.
    """

    minimised: FloatArray
    spring: FloatArray
    vibration: FloatArray
    softest: FloatArray

    @property
    def total(self) -> FloatArray:
        """Return the sum [S] of the three terms."""
        return self.minimised + self.spring + self.vibration


@dataclass(frozen=True)
class Well:
    """The minimum of energy and springs near a frame, and the harmonic well around it.

    Attributes:
        force_field: The energy without springs.
        anchors: [A, 3], where the springs begin, in nanometre.
        springs: [A], in kJ/mol/nm^2; 0 for hydrogens.
        lowest: [A, 3], the minimum, in nanometre.
        minimised: The potential energy there, in kJ/mol.
        spring: The energy of the springs there, in kJ/mol.
        curvature: [3 A, 3 A], H + k in kJ/mol/nm^2.
        softest: Its lowest eigenvalue. If it is negative, there is no well, and the energies are NaN.
    """

    force_field: Terms
    anchors: FloatArray
    springs: FloatArray
    lowest: FloatArray
    minimised: float
    spring: float
    curvature: FloatArray
    softest: float

    def vibration(self, temperature_k: float) -> float:
        """Return kT/2 ln det(H + k) in kJ/mol; NaN without a well."""
        if self.softest <= 0:
            return np.nan
        return GAS_CONSTANT * temperature_k * float(np.log(np.diag(cho_factor(self.curvature)[0])).sum())


def free_energies(
    molecule: Atoms | Molecule,
    positions: Positions,
    protocol: str,
    temperature_k: float,
    restraint: float | None = None,
) -> FreeEnergies:
    """Return the harmonic free energies of conformations with springs to their heavy atoms (``wells``).

    Args:
        molecule: The molecule, as of ``potential_energies``.
        positions: [S, N, 3] in angstrom.
        protocol: Name of an energy protocol whose minimisation has springs, without constraints or a cutoff.
        temperature_k: Temperature in kelvin.
        restraint: Springs in kJ/mol/nm^2; None for those of the protocol.

    Raises:
        InputError: The protocol has no springs, or has constraints or a cutoff (``energy.protocol``).
    """
    rows = np.full((len(positions), 4), np.nan)
    for row, well in zip(rows, wells(molecule, positions, protocol, restraint), strict=True):
        if well is not None:
            row[:] = well.minimised, well.spring, well.vibration(temperature_k), well.softest
    return FreeEnergies(*rows.T.copy())


def wells(
    molecule: Atoms | Molecule, positions: Positions, protocol: str, restraint: float | None = None
) -> Iterator[Well | None]:
    """Yield the well of each conformation with springs to its heavy atoms; None if it cannot be prepared.

    H is made of central differences of forces. A last Newton step to the minimum is counted in energy and springs.

    Args:
        molecule: The molecule, as of ``potential_energies``.
        positions: [S, N, 3] in angstrom.
        protocol: Name of an energy protocol whose minimisation has springs, without constraints or a cutoff.
        restraint: Springs in kJ/mol/nm^2; None for those of the protocol.

    Raises:
        InputError: The protocol has no springs, or has constraints or a cutoff (``energy.protocol``).
    """
    chosen = get_protocol(protocol)
    springs = chosen.minimisation.restraint if restraint is None else restraint
    chosen = replace(chosen, minimisation=Minimisation(_TOLERANCE, 0, springs))
    if not springs or chosen.constrain_hydrogens or chosen.cutoff_nm is not None:
        raise InputError(
            f"{protocol}: a free energy needs a protocol with springs, without constraints and cutoff",
            code="energy.protocol",
            name=protocol,
        )
    evaluator = Evaluator(molecule, replace(chosen, name=f"{chosen.name}|springs {springs:g}"), True)
    terms: dict[int, Terms] = {}
    for frame, found in zip(positions, evaluator.evaluate(positions), strict=True):
        if isinstance(found, CannotPrepare):
            yield None
            continue
        calculator, _, where = found
        if id(calculator) not in terms:
            terms[id(calculator)] = read_terms(calculator.system)[0]
        yield _well(calculator, terms[id(calculator)], frame, where, springs)


def _well(calculator: Calculator, force_field: Terms, frame: Positions, where: FloatArray, restraint: float) -> Well:
    """Return the well of one frame, ``where`` being its minimum with springs, [A, 3] in nanometre."""
    held = np.zeros(len(where))
    held[calculator.template.heavy] = restraint
    start = calculator.template.complete(frame[None])[0]
    energy, forces = force_field(np.ascontiguousarray(where))
    gradient = (held[:, None] * (where - start) - forces).ravel()
    curvature = hessian(force_field, where) + np.diag(np.repeat(held, 3))
    softest = float(np.linalg.eigvalsh(curvature)[0])
    if softest <= 0:
        return Well(force_field, start, held, where, energy, np.nan, curvature, softest)
    step = -cho_solve(cho_factor(curvature), gradient).reshape(where.shape)
    spring = 0.5 * float((held[:, None] * (where + step - start) ** 2).sum())
    total = energy + 0.5 * float((held[:, None] * (where - start) ** 2).sum()) + 0.5 * float(gradient @ step.ravel())
    return Well(force_field, start, held, where + step, total - spring, spring, curvature, softest)


def hessian(force_field: Terms, where: FloatArray) -> FloatArray:
    """Return the second derivatives [3 A, 3 A] of the potential energy in kJ/mol/nm^2, symmetrised.

    Args:
        force_field: The terms of the energy.
        where: [A, 3] in nanometre.
    """
    flat = np.array(where, dtype=np.float64).ravel()
    rows = np.empty((len(flat), len(flat)))
    for k in range(len(flat)):
        ahead, behind = flat.copy(), flat.copy()
        ahead[k] += _STEP
        behind[k] -= _STEP
        forces = [force_field(one.reshape(-1, 3))[1].ravel() for one in (ahead, behind)]
        rows[k] = (forces[1] - forces[0]) / (2 * _STEP)
    symmetric: FloatArray = (rows + rows.T) / 2
    return symmetric
