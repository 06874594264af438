"""``ebabench list``: what there is, without loading any of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ebabench.cli.app import app, show
from ebabench.datasets.suites import SUITES
from ebabench.errors import InputError
from ebabench.generators.cards import CARDS
from ebabench.generators.status import readiness
from ebabench.scoring.metric import METRICS


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    METRICS = "metrics"
    SUITES = "suites"


@app.command("list")
def list_(kind: Annotated[Kind | None, typer.Argument(help="Which; all three if it is left out.")] = None) -> None:
    """Lists models, metrics and suites."""
    for one, command in ((Kind.MODELS, _models), (Kind.METRICS, _metrics), (Kind.SUITES, _suites)):
        if kind in (None, one):
            command()


def _models() -> None:
    rows = []
    for name in CARDS:
        try:
            card = CARDS.load(name)
        except InputError as error:
            rows.append((name, "broken", "", "", "", "", str(error)))
        else:
            state = readiness(card)
            rows.append((name, str(state), state.size, card.family, card.training.overlap, card.licence, card.title))
    show("models", ("name", "state", "size", "family", "overlap", "licence", "title"), rows)


def _metrics() -> None:
    rows = [
        (spec.key, spec.unit, spec.better, str(spec.version), spec.aggregate or "", spec.title, spec.paper)
        for name in METRICS
        for spec in METRICS.load(name).specs
    ]
    show("metrics", ("key", "unit", "better", "version", "aggregate", "title", "paper"), rows)


def _suites() -> None:
    suites = [SUITES.load(name) for name in SUITES]
    rows = [(s.id, s.split, str(len(s.targets)), str(s.samples), s.tier, s.title) for s in suites]
    show("suites", ("id", "split", "targets", "samples", "tier", "title"), rows)
