"""One target of one run, ready for its page: charts, structures, and where the model differs from MD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebabench.results.site import charts
from ebabench.results.site.charts import Axis, Chart, Numbers, Series
from ebabench.results.site.structure import Conformations, conformations
from ebabench.scoring.pair import Pair
from ebabench.structures import ONE_TO_THREE
from ebabench.structures.geometry import torsions

_MOST_RESIDUES = 15  # rows of the table "where it differs"
_CONTACT = 8.0  # angstrom between C-alphas
_MATRIX = 150  # residues: above it a matrix would be finer than a screen


@dataclass(frozen=True)
class Residue:
    """A residue where model and MD differ.

    Attributes:
        name: As ``ALA12``.
        model: RMSF of the model's C-alpha, angstrom.
        md: The same of MD.
        floor: The largest difference of one replica of MD from all, angstrom.
    """

    name: str
    model: float
    md: float
    floor: float

    @property
    def difference(self) -> float:
        """Model less MD, angstrom."""
        return self.model - self.md


@dataclass(frozen=True)
class TargetView:
    """What a target page shows.

    Attributes:
        charts: Heading -> the chart, or why there is none.
        residues: Where it differs, the largest difference first.
        model: Conformations of the model.
        md: Conformations of MD.
        fluctuation: RMSF per residue of model and MD [R], angstrom, for colours.
    """

    charts: dict[str, Chart | str]
    residues: tuple[Residue, ...]
    model: Conformations
    md: Conformations
    fluctuation: tuple[tuple[float, ...], tuple[float, ...]]


def target_view(pair: Pair, model: str) -> TargetView:
    """Return what the page of one target shows.

    Args:
        pair: The model's ensemble beside MD.
        model: The model's name.
    """
    numbers = pair.residue_index[pair.atoms.residue[pair.ca]] + 1
    own = _rmsf(pair.model[:, pair.ca])
    replicas = np.array([pair.aligned.rmsf((number,))[pair.ca] for number in pair.reference.numbers])
    md = np.asarray(pair.md_rmsf[pair.ca])
    frames = np.asarray(pair.md(pair.md_draw))
    made = {
        "Fluctuation": _fluctuation(numbers, own, md, replicas, model),
        "Principal components": _plane(pair, model),
        "Ramachandran": _ramachandran(pair, model),
        "Contacts": _contacts(pair, numbers, model),
        "Potential energy": _energies(pair, model),
    }
    return TargetView(
        made,
        _where(pair, numbers, own, md, replicas),
        conformations(pair, pair.model),
        conformations(pair, frames),
        (tuple(map(float, own.round(3))), tuple(map(float, md.round(3)))),
    )


def _rmsf(positions: Numbers) -> Numbers:
    return np.asarray(np.sqrt(positions.astype(np.float64).var(0).sum(-1)))


def _where(pair: Pair, numbers: Numbers, own: Numbers, md: Numbers, replicas: Numbers) -> tuple[Residue, ...]:
    floor = np.abs(replicas - md).max(0)
    sequence = pair.reference.target.sequence
    ordered = np.argsort(-np.abs(own - md))[:_MOST_RESIDUES]
    return tuple(
        Residue(
            f"{ONE_TO_THREE.get(sequence[int(numbers[k]) - 1], 'UNK')}{int(numbers[k])}",
            float(own[k]),
            float(md[k]),
            float(floor[k]),
        )
        for k in ordered
    )


def _fluctuation(numbers: Numbers, own: Numbers, md: Numbers, replicas: Numbers, model: str) -> Chart | str:
    off, ends = float(np.mean(np.abs(own - md))), (float(numbers[0]), float(numbers[-1]))
    return charts.lines(
        "Fluctuation of each residue",
        f"RMSF of C-alphas. {model} differs from MD by {off:.2f} Å on average. The band is the range of the replicas "
        "of MD, each about its own mean; MD itself is about the mean of all.",
        Axis("residue", ends[0] - 0.5, ends[1] + 0.5, charts.whole_ticks(*ends)),
        charts.axis("RMSF of the C-alpha (Å)", own, md, replicas, zero=True),
        [
            Series("MD", "md", numbers, md, replicas.min(0), replicas.max(0), "each replica by itself"),
            Series(model, "model", numbers, own),
        ],
    )


def _plane(pair: Pair, model: str) -> Chart | str:
    mean, components = pair.md_components
    if len(components) < 2:
        return "not available: fewer than two principal components"
    scale = np.sqrt(len(pair.ca))
    md, own = (
        np.asarray((side.reshape(len(side), -1) - mean) @ components[:2].T / scale)
        for side in (pair.md_ca, pair.model_ca)
    )
    share = md.var(0).sum() / (pair.md_ca.var(0).sum() / len(pair.ca))
    return charts.points(
        "Principal components of MD",
        f"{model} over the density of MD in the plane of the two largest principal components of MD, which hold "
        f"{share:.0%} of its variance.",
        charts.axis("component 1 (Å)", md[:, 0], own[:, 0]),
        charts.axis("component 2 (Å)", md[:, 1], own[:, 1]),
        Series("MD", "md", md[:, 0], md[:, 1]),
        Series(model, "model", own[:, 0], own[:, 1]),
    )


def _ramachandran(pair: Pair, model: str) -> Chart | str:
    if lack := pair.unavailable_reason("backbone"):
        return f"not available: {lack.reason}"
    residues, own = torsions(pair.atoms, pair.residue_index, pair.model)
    if not len(residues):
        return "not available: no residue has both neighbours"
    md = torsions(pair.atoms, pair.residue_index, pair.md(pair.md_draw_1000))[1]
    ticks = (-180.0, -90.0, 0.0, 90.0, 180.0)
    sides = [np.degrees(angles).reshape(-1, 2).T for angles in (md, own)]
    return charts.points(
        "Ramachandran",
        f"Backbone torsions of the residues that have both neighbours: {model} over the density of MD.",
        Axis("φ (°)", -180, 180, ticks),
        Axis("ψ (°)", -180, 180, ticks),
        Series("MD", "md", sides[0][0], sides[0][1]),
        Series(model, "model", sides[1][0], sides[1][1]),
        square=True,
    )


def _contacts(pair: Pair, numbers: Numbers, model: str) -> Chart | str:
    if len(numbers) > _MATRIX:
        return f"not available: more than {_MATRIX} residues"
    if len(numbers) < 5:
        return "not available: fewer than five residues"
    shares = [_contact_shares(side) for side in (pair.model_ca, pair.md_ca[pair.md_draw])]
    return charts.matrix(
        "Contacts, model less MD",
        f"Share of conformations in which two C-alphas are within 8 Å: {model} less MD. The darkest cells differ by "
        "more than 0.8, cells below 0.05 are empty.",
        shares[0] - shares[1],
        (f"more in {model}", "more in MD"),
        int(numbers[0]),
    )


def _contact_shares(ca: Numbers) -> Numbers:
    """[R, R]: the share of frames in which two C-alphas are in contact, frame by frame to spare memory."""
    total = np.zeros((ca.shape[1], ca.shape[1]))
    for frame in ca:
        total += ((frame[:, None] - frame) ** 2).sum(-1) < _CONTACT**2
    return total / len(ca)


def _energies(pair: Pair, model: str) -> Chart | str:
    if lack := pair.unavailable_reason("energy"):
        return f"not available: {lack.reason}"
    from ebabench.physics.energy import potential_energies
    from ebabench.structures.nomenclature import canonical

    assert pair.energy_protocol is not None
    frames = np.unique(pair.md_draw)
    atoms = canonical(pair.reference.target.atoms)
    md = potential_energies(atoms, pair.md_as_read(frames), pair.energy_protocol)
    own = potential_energies(pair.atoms, pair.model_as_read, pair.energy_protocol)
    md, own = md[np.isfinite(md)], own[np.isfinite(own)]
    if not len(md) or not len(own):
        return "not available: no conformation could be prepared"
    # A clash may be 10^6 above the rest: the axis ends where most of both lies.
    far = max(np.quantile(side, 0.9) + 1.5 * np.ptp(np.quantile(side, (0.1, 0.9))) for side in (md, own))
    end = float(min(far, md.max() + 4 * np.ptp(md)))
    beyond = float(np.mean(own > end))
    return charts.histogram(
        "Potential energy",
        f"Potential energies by {pair.energy_protocol}. {beyond:.0%} of {model} lie beyond the axis.",
        Axis("potential energy (kJ/mol)", float(min(md.min(), own.min())), end),
        md,
        own,
        model,
    )
