"""Convert the output of a model's own code with the converter that its card names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from ebabench.errors import InputError
from ebabench.generators.build import code
from ebabench.generators.cards import Card
from ebabench.generators.sampling import Outcome, check, matched, outcome
from ebabench.structures import Ensemble, Target

Converter = Callable[[Path, Target], Ensemble]
_AS_FETCHED = "ebabench.models.converters:files"


def converter(card: Card) -> Converter:
    """Return the function ``(folder, target) -> Ensemble`` that a card names.

    For a card without a converter that has published ensembles, the function reads the files of
    ``ebabench fetch ensembles``.

    Raises:
        InputError: The card has neither (``model.no_converter``), or the code cannot be loaded.
    """
    if card.converter is None and not card.ensembles:
        raise InputError(
            f"{card.name}: has no converter; ensembles of such models are scored with --name",
            code="model.no_converter",
            model=card.name,
        )
    found: Converter = code(card, card.converter or _AS_FETCHED)
    return found


def convert(
    card: Card,
    folder: Path,
    targets: Iterable[Target],
    load: Callable[[str], Ensemble | None],
    save: Callable[[Ensemble], None],
) -> Iterator[Outcome]:
    """Yield the outcome of each target, in order.

    An exception of the converter, coordinates that are not finite and wrong atoms fail this target only.

    Args:
        card: The model.
        folder: The output of the model's code.
        targets: The targets to read.
        load: Returns a stored ensemble or None, as for ``sampling.sample``.
        save: Stores an ensemble.
    """
    read = converter(card)

    def make(target: Target) -> Ensemble:
        ensemble = matched(read(folder, target), target)
        check(ensemble, target, None, card.provides)
        return ensemble

    for target in targets:
        yield outcome(target.name, partial(make, target), load, save)
