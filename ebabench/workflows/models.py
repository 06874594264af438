"""Load a model to sample with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ebabench.errors import InputError
from ebabench.generators.build import build
from ebabench.generators.cards import Card, load_card
from ebabench.generators.protocol import Footprint, Generator, Measured, Resources
from ebabench.generators.sampling import check_asked
from ebabench.structures import Ensemble, Reference, Target
from ebabench.system.devices import check_device, parse_devices
from ebabench.system.names import shortened


def load_model(
    model: str | os.PathLike[str] | Card,
    *,
    device: str = "cpu",
    settings: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    random_weights: bool = False,
    reference: Callable[[str], Reference] | None = None,
) -> Generator:
    """Return a generator, whose ``sample(target, samples, seed)`` returns an Ensemble.

    ``sample`` raises InputError for what is no target, less than one sample, and what is no whole number.

    Args:
        model: A name of ``ebabench.list_models()``, the path of a card, or a card.
        device: "cpu", "cuda", "cuda:1" or "mps".
        settings: Replacements for sampling settings of the card.
        batch_size: The number of conformations computed at once; the card's by default.
        random_weights: Do without the checkpoints, to test the plumbing (workers only).
        reference: Reads the molecular dynamics of a target, by its name, for the baselines that are MD themselves.

    Raises:
        InputError: There is no such model, setting or device, or the model is not installed.

    Example:
        >>> import ebabench
        >>> target = ebabench.load_suite("peptides-v1").reference("KLED").target
        >>> len(ebabench.load_model("static").sample(target, samples=5, seed=1))
        5
    """
    card = model_card(model, settings)
    check_random_weights(card, random_weights)
    resources = Resources(
        model_devices(card, device)[0], reference or _no_reference, batch_size, random_weights=random_weights
    )
    return _Checked(build(card, resources), card.name, device)


@dataclass(frozen=True)
class _Checked:
    """A generator that refuses what no model can be asked for, whichever it is."""

    generator: Generator
    name: str
    device: str

    def __repr__(self) -> str:
        return f"Model({self.name!r} on {self.device})"

    def sample(self, target: Target, samples: int, seed: int) -> Ensemble:
        """See ``Generator``."""
        if not isinstance(target, Target):
            raise InputError(
                f"{shortened(repr(target), 40)}: not a Target; load_suite(SUITE).reference(NAME).target is one",
                code="sample.target",
            )
        return self.generator.sample(target, *check_asked(samples, seed))

    def footprint(self) -> Footprint:
        """See ``Measured``."""
        return self.generator.footprint() if isinstance(self.generator, Measured) else Footprint()


def model_card(model: str | os.PathLike[str] | Card, settings: Mapping[str, Any] | None = None) -> Card:
    """Return the card of a model, with settings replaced. Raises InputError."""
    if not isinstance(model, Card | str | os.PathLike):
        raise InputError(
            f"{type(model).__name__}: no model; give a name, the path of a card, or a Card", code="model.kind"
        )
    card = model if isinstance(model, Card) else load_card(os.fspath(model))
    return card.with_settings({name: _text(value) for name, value in settings.items()}) if settings else card


def model_devices(card: Card, text: str) -> list[str]:
    """Return the devices in a text like ``cuda:0,cuda:1``. Raises InputError for what is none, or is not there."""
    found = parse_devices(text)
    for one in found:
        check_device(one, torch_here=card.environment.kind != "worker")
    return found


def check_random_weights(card: Card, random_weights: bool) -> None:
    """Raise InputError where random weights are asked of a model that is not a worker."""
    if random_weights and card.environment.kind != "worker":
        raise InputError(
            f"--random-weights: {card.name} runs {card.environment.kind}; only workers build such networks",
            code="model.random_weights",
            model=card.name,
        )


def _no_reference(name: str) -> Reference:
    raise InputError(
        f"this model reads the molecular dynamics of {name}: give reference=, a function that returns it",
        code="model.reference",
        target=name,
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
