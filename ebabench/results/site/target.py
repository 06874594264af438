"""One target of one run, ready for its page: charts, structures, and where the model differs from MD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebabench.results import charts, panels
from ebabench.results.charts import Axis, Chart, Series
from ebabench.results.panels import Fluctuation
from ebabench.results.site.structure import Conformations, conformations
from ebabench.scoring.pair import Pair
from ebabench.structures import ONE_TO_THREE

_MOST_RESIDUES = 15  # rows of the table "where it differs"


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
        fluctuation: RMSF per residue of model and MD [R], angstrom, for colours.
    """

    charts: dict[str, Chart | str]
    residues: tuple[Residue, ...]
    model: Conformations
    fluctuation: tuple[tuple[float, ...], tuple[float, ...]]


def target_view(pair: Pair, model: str) -> TargetView:
    """Return what the page of one target shows.

    Args:
        pair: The model's ensemble beside MD.
        model: The model's name.
    """
    moved = panels.fluctuation(pair)
    made = {
        "Fluctuation": charts.fluctuation_chart(moved, model),
        "Principal components": _plane(pair, model),
        "Ramachandran": _ramachandran(pair, model),
        "Contacts": _contacts(pair, moved, model),
        "Potential energy": _energies(pair, model),
    }
    return TargetView(
        made,
        _where(pair, moved),
        conformations(pair, pair.model),
        (tuple(map(float, moved.model.round(3))), tuple(map(float, moved.md.round(3)))),
    )


def _where(pair: Pair, moved: Fluctuation) -> tuple[Residue, ...]:
    floor = np.abs(moved.replicas - moved.md).max(0)
    sequence = pair.reference.target.sequence
    ordered = np.argsort(-np.abs(moved.model - moved.md))[:_MOST_RESIDUES]
    numbers = moved.residues
    return tuple(
        Residue(
            f"{ONE_TO_THREE.get(sequence[int(numbers[k]) - 1], 'UNK')}{int(numbers[k])}",
            float(moved.model[k]),
            float(moved.md[k]),
            float(floor[k]),
        )
        for k in ordered
    )


def _plane(pair: Pair, model: str) -> Chart | str:
    found = panels.plane(pair)
    if isinstance(found, str):
        return found
    return charts.points(
        "Principal components of MD",
        f"{model} over the density of MD in the plane of the two largest principal components of MD, which hold "
        f"{found.share:.0%} of its variance.",
        charts.axis("component 1 (Å)", found.md[:, 0], found.model[:, 0]),
        charts.axis("component 2 (Å)", found.md[:, 1], found.model[:, 1]),
        Series("MD", "md", *found.md.T),
        Series(model, "model", *found.model.T),
    )


def _ramachandran(pair: Pair, model: str) -> Chart | str:
    found = panels.ramachandran(pair)
    if isinstance(found, str):
        return found
    ticks = (-180.0, -90.0, 0.0, 90.0, 180.0)
    return charts.points(
        "Ramachandran",
        f"Backbone torsions of the residues that have both neighbours: {model} over the density of MD.",
        Axis("φ (°)", -180, 180, ticks),
        Axis("ψ (°)", -180, 180, ticks),
        Series("MD", "md", *found.md.T),
        Series(model, "model", *found.model.T),
        square=True,
    )


def _contacts(pair: Pair, moved: Fluctuation, model: str) -> Chart | str:
    found = panels.contacts(pair)
    if isinstance(found, str):
        return found
    return charts.matrix(
        "Contacts, model less MD",
        f"Share of conformations in which two C-alphas are within {panels.CONTACT:g} Å: {model} less MD. The darkest "
        "cells differ by more than 0.8, cells below 0.05 are empty.",
        found,
        (f"more in {model}", "more in MD"),
        int(moved.residues[0]),
    )


def _energies(pair: Pair, model: str) -> Chart | str:
    found = panels.energies(pair, stored=True)
    if isinstance(found, str):
        return found
    return charts.histogram(
        "Potential energy",
        f"Potential energies by {pair.energy_protocol}, of {len(found.model)} of {len(pair.model)} conformations of "
        f"{model}. {found.share:.0%} of them lie beyond the axis.",
        Axis("potential energy (kJ/mol)", float(min(found.md.min(), found.model.min())), found.end),
        found.md,
        found.model,
        model,
    )
