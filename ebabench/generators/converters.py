"""What a model's own code left, read by the converter that its card names."""

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
    """The function ``(folder, target) -> Ensemble`` that a card names.

    A card without one, but with published ensembles, has those read as ``ebabench fetch ensembles`` leaves them. Raises
    InputError if it has neither.
    """
    if card.converter is None and not card.ensembles:
        raise InputError(f"{card.name}: has no converter; ensembles of such models are scored with --name")
    found: Converter = code(card, card.converter or _AS_FETCHED)
    return found


def convert(
    card: Card,
    folder: Path,
    targets: Iterable[Target],
    load: Callable[[str], Ensemble | None],
    save: Callable[[Ensemble], None],
) -> Iterator[Outcome]:
    """Converts target after target; ``load`` and ``save`` are as for ``sampling.sample``.

    What the converter raises, or gives that is not finite or of other atoms, is the failure of that one target.
    """
    read = converter(card)

    def make(target: Target) -> Ensemble:
        ensemble = matched(read(folder, target), target)
        check(ensemble, target, None, card.provides)
        return ensemble

    for target in targets:
        yield outcome(target.name, partial(make, target), load, save)
