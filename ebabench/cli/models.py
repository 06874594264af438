"""``ebabench models``: a new one, whether it keeps its contract, and its installation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app, pairs, progress, show
from ebabench.errors import InputError, RunError

if TYPE_CHECKING:
    from ebabench.generators.cards import Kind

models = typer.Typer(help="Makes, checks and installs models.")
app.add_typer(models, name="models")

_Model = Annotated[str, typer.Argument(help="A model of `ebabench list models`, or the path of a card.")]


@models.command()
def new(
    name: Annotated[str, typer.Argument(help="The name of the model.")],
    in_process: Annotated[bool, typer.Option("--in-process", help="Its packages live beside ebabench's.")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="It needs an environment of its own.")] = False,
    ensembles: Annotated[bool, typer.Option("--ensembles", help="Its code is run by hand; ebabench converts.")] = False,
    out: Annotated[Path, typer.Option(help="The folder for its card, module and test.")] = Path(),
) -> None:
    """Write the card, the module and the test of a new model, which pass as they stand."""
    from ebabench.generators.scaffold import scaffold

    kinds: dict[Kind, bool] = {"in-process": in_process, "worker": worker, "ensembles": ensembles}
    if sum(kinds.values()) > 1:
        raise InputError("give one of --in-process, --worker and --ensembles")
    kind: Kind = next((kind for kind, chosen in kinds.items() if chosen), "in-process")
    card, *others = scaffold(name, kind, out)
    print(f"wrote {', '.join(map(str, (card, *others)))}; now `ebabench models check {card}`")


@models.command()
def check(
    model: _Model,
    device: Annotated[str, typer.Option(help="Where it samples: cpu, cuda, cuda:1.")] = "cpu",
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Without its checkpoints.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, in place of the card's setting.")
    ] = None,
) -> None:
    """Tell whether a model keeps its contract, and how to mend what does not."""
    from ebabench.generators.status import readiness
    from ebabench.workflows.conformance import conformance
    from ebabench.workflows.models import model_card, model_devices

    card = model_card(model, pairs("--set", settings))
    findings = conformance(card, model_devices(card, device)[0], random_weights)
    rows = [(finding.check, finding.outcome, finding.detail, finding.mend) for finding in findings]
    show(f"{card.name} ({card.environment.kind}): {readiness(card)}", ("check", "outcome", "seen", "what to do"), rows)
    failed = [finding for finding in findings if finding.outcome == "failed"]
    if failed:
        raise RunError(f"{card.name}: {len(failed)} of {len(findings)} checks failed; {failed[0].detail}")


@models.command()
def install(
    model: _Model,
    weights: Annotated[bool, typer.Option(help="Also fetch the checkpoints.")] = True,
) -> None:
    """Build the environment of a model and fetch its weights, or go on with it."""
    from ebabench.generators import environments
    from ebabench.generators.cards import load_card
    from ebabench.generators.status import readable, readiness

    card = load_card(model)
    if card.environment.kind == "ensembles":
        raise InputError(f"{card.name}: its code is run by you, as {card.path} says")
    if absent := environments.absent(card):
        raise InputError(
            f"{card.name} runs beside ebabench; install what it needs there: pip install {' '.join(absent)}"
        )
    if card.environment.interpreter is not None:
        environments.python(card)
    if environments.isolated(card):
        place = environments.install(card)
        print(f"environment: {place} ({readable(environments.size(card))}); versions: {place / 'lock.txt'}")
    for checkpoint in card.checkpoints if weights else ():
        with progress() as tell:
            path = card.files.fetch(checkpoint, partial(tell, f"{checkpoint.name} (bytes)"))
        print(f"checkpoint {checkpoint.name}: {path}")
    print(f"{card.name}: {readiness(card)}")
