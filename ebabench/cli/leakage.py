"""``ebabench leakage``: how similar the targets of a suite are to what a model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress, show
from ebabench.datasets import DEFAULT_SUITE


@app.command()
def leakage(
    model: Annotated[str, typer.Option(help="A model of `ebabench list models`, or the path of a card.")],
    suite: Annotated[str, typer.Option(help="A suite of `ebabench list suites`.")] = DEFAULT_SUITE,
    below: Annotated[float, typer.Option(min=0, max=1, help="Targets of less identity count as unseen.")] = 0.3,
    run: Annotated[Path | None, typer.Option(help="A run folder: its figures at all and at unseen targets.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="With --run: this metric or family; the suite's primary ones by default.")
    ] = None,
    structures: Annotated[
        bool, typer.Option("--structures", help="Also the highest TM-score to the training structures that are here.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="With --structures: references that are not embedded.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
) -> None:
    """Print the highest sequence identity of every target to the training data that the model's card lists."""
    from ebabench.datasets.suites import load_suite
    from ebabench.results.runs import Run
    from ebabench.results.worth import short
    from ebabench.workflows.leakage import at_unseen, similarities, unseen
    from ebabench.workflows.leakage_structures import fold_similarities
    from ebabench.workflows.models import model_card

    chosen = load_suite(suite)
    with progress() as tell:
        found = similarities(model_card(model), chosen, jobs, tell)
    rows = [
        (name, f"{100 * one.identity:.0f} %", f"{100 * one.coverage:.0f} %", one.name or "–")
        for name, one in sorted(found.items(), key=lambda item: -item[1].identity)
    ]
    names = unseen(found, below)
    title = f"{model} on {suite}: {len(names)} of {len(found)} targets are below {100 * below:.0f} % identity"
    show(title, ("target", "identity over the shorter", "coverage", "nearest in training"), rows)
    if structures:
        with progress() as tell:
            folds, here, listed = fold_similarities(model_card(model), chosen, data, jobs, tell)
        told = [
            (name, short(one.tm), one.name or "–")
            for name, one in sorted(folds.items(), key=lambda item: -item[1].tm if item[1].name else 1)
        ]
        title = f"{len(folds)} of {len(chosen.targets)} structures against {here} of {listed} in training"
        show(title, ("target", "TM-score over the shorter", "nearest in training"), told)
    if run is not None:
        every, of_unseen = at_unseen(Run.read(run), names, metric or chosen.primary or None)
        figures = [
            (one.spec.key, short(one.estimate.value), short(other.estimate.value), str(other.estimate.n_targets))
            for one, other in zip(every, of_unseen, strict=True)
        ]
        show(f"{run}", ("metric", "all targets", "unseen targets", "unseen"), figures)
