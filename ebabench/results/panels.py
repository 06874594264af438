"""The numbers behind the pictures of one target: fluctuations, principal components, torsions, contacts, energies.

The site draws them as SVG, ``ebabench plot`` with matplotlib. What cannot be drawn is a text that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.scoring.pair import Pair
from ebabench.structures.geometry import torsions

Numbers = npt.NDArray[Any]

CONTACT = 8.0
"""Angstrom between C-alphas."""
_MOST_IN_MATRIX = 150  # residues: above it a matrix would be finer than a screen
_FEWEST_IN_MATRIX = 5
_FEWEST_FRAMES, _TORSIONS = 100, 20_000  # a density of more points looks the same


@dataclass(frozen=True)
class Fluctuation:
    """RMSF of the C-alphas in angstrom.

    Attributes:
        residues: [R], their numbers from 1.
        model: [R].
        md: [R], over all frames of MD.
        replicas: [K, R], of each replica about its own mean.
    """

    residues: Numbers
    model: Numbers
    md: Numbers
    replicas: Numbers


def fluctuation(pair: Pair) -> Fluctuation:
    """Return the RMSF of the C-alphas of model, MD and MD's replicas."""
    return Fluctuation(
        pair.residue_index[pair.atoms.residue[pair.ca]] + 1,
        np.asarray(np.sqrt(pair.model[:, pair.ca].astype(np.float64).var(0).sum(-1))),
        np.asarray(pair.md_rmsf[pair.ca]),
        np.array([pair.aligned.rmsf((number,))[pair.ca] for number in pair.reference.numbers]),
    )


@dataclass(frozen=True)
class Sides:
    """Points or numbers of MD and of the model.

    Attributes:
        md: [F, 2], or [F].
        model: [S, 2], or [S].
        share: Of components: the share of MD's variance that they hold. Of energies: the share of the model's beyond
            ``end``.
        end: Of energies: the upper end of the axis.
    """

    md: Numbers
    model: Numbers
    share: float = 0.0
    end: float = 0.0


def plane(pair: Pair) -> Sides | str:
    """Return model and MD in the plane of MD's first two principal components, in angstrom of RMSD of the C-alphas."""
    mean, components = pair.md_components
    if len(components) < 2:
        return "not available: fewer than two principal components"
    scale = np.sqrt(len(pair.ca))
    md, own = (
        np.asarray((side.reshape(len(side), -1) - mean) @ components[:2].T / scale)
        for side in (pair.md_ca, pair.model_ca)
    )
    return Sides(md, own, float(md.var(0).sum() / (pair.md_ca.var(0).sum() / len(pair.ca))))


def ramachandran(pair: Pair) -> Sides | str:
    """Return phi and psi in degrees of the residues that have both neighbours, all conformations together."""
    if lack := pair.unavailable_reason("backbone"):
        return f"not available: {lack.reason}"
    residues, own = torsions(pair.atoms, pair.residue_index, pair.model)
    if not len(residues):
        return "not available: no residue has both neighbours"
    frames = pair.md_draw_1000[: max(_FEWEST_FRAMES, _TORSIONS // len(residues))]
    md = torsions(pair.atoms, pair.residue_index, pair.md(frames))[1]
    return Sides(np.degrees(md).reshape(-1, 2), np.degrees(own).reshape(-1, 2))


def contacts(pair: Pair) -> Numbers | str:
    """Return the share of conformations in which two C-alphas are in contact, model less MD [R, R]."""
    if len(pair.ca) > _MOST_IN_MATRIX:
        return f"not available: more than {_MOST_IN_MATRIX} residues"
    if len(pair.ca) < _FEWEST_IN_MATRIX:
        return "not available: fewer than five residues"
    return _contact_shares(pair.model_ca) - _contact_shares(pair.md_ca[pair.md_draw])


def _contact_shares(ca: Numbers) -> Numbers:
    """[R, R]: the share of frames in which two C-alphas are in contact, frame by frame to spare memory."""
    total = np.zeros((ca.shape[1], ca.shape[1]))
    for frame in ca:
        total += ((frame[:, None] - frame) ** 2).sum(-1) < CONTACT**2
    return total / len(ca)


def energies(pair: Pair, stored: bool = False) -> Sides | str:
    """Return the potential energies in kJ/mol by the energy protocol of the pair.

    A clash may be 10^6 above the rest: the axis ends where most of both sides lies.

    Args:
        pair: The target.
        stored: Read the energies that are stored, and compute none.
    """
    if lack := pair.unavailable_reason("energy"):
        return f"not available: {lack.reason}"
    from ebabench.physics.energy import known_energies, potential_energies
    from ebabench.structures.nomenclature import canonical

    assert pair.energy_protocol is not None
    frames = np.unique(pair.md_draw)
    evaluate = known_energies if stored else potential_energies
    md = evaluate(canonical(pair.reference.target.atoms), pair.md_as_read(frames), pair.energy_protocol)
    own = evaluate(pair.atoms, pair.model_as_read, pair.energy_protocol)
    md, own = md[np.isfinite(md)], own[np.isfinite(own)]
    if not len(md) or not len(own):
        return f"not available: no energies {'are stored' if stored else 'could be computed'}"
    far = max(np.quantile(side, 0.9) + 1.5 * np.ptp(np.quantile(side, (0.1, 0.9))) for side in (md, own))
    end = float(min(far, md.max() + 4 * np.ptp(md)))
    return Sides(md, own, float(np.mean(own > end)), end)
