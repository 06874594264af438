"""Cards: what a model is, what it was trained on, what it needs, and how it is built. One TOML file, strictly checked.

The project's own cards lie in ``ebabench.models``. A plug-in names its own with the entry point
``[project.entry-points."ebabench.generators"]  NAME = "its_package"``, where ``its_package/NAME.toml`` is the card.
Any other card is named by its path.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from ebabench.contracts import Generator, Resources
from ebabench.errors import InputError
from ebabench.registry import Registry, folder, resolve, toml_files

_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Overlap = Literal["held_out", "weak_holdout", "uncertain", "not_trained"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_Strict):
    """What the model has seen. ``overlap``: of that with the test targets; ``evidence`` says how one knows."""

    data: _Text
    overlap: Overlap
    evidence: _Text


class Environment(_Strict):
    """Where the model runs: in ebabench's own process, or as a worker with its own Python and requirements."""

    kind: Literal["in-process", "worker"] = "in-process"
    python: str | None = None
    requirements: tuple[str, ...] = ()


class Checkpoint(_Strict):
    """Weights: a ``file`` beside the card, or a ``url``. ``size`` in bytes."""

    name: _Text
    file: str | None = None
    url: str | None = None
    size: int = Field(gt=0)
    sha256: _Sha256

    @model_validator(mode="after")
    def _one_place(self) -> Checkpoint:
        if (self.file is None) == (self.url is None):
            raise ValueError("give either file or url")
        return self


class PublishedEnsemble(_Strict):
    """Ensembles that the model's authors published. ``size`` in bytes and ``sha256`` where known."""

    suite: _Text
    url: _Text
    size: int | None = Field(default=None, gt=0)
    sha256: _Sha256 | None = None


class Card(_Strict):
    """One model. ``entry`` is ``module:attribute``, a factory ``(card, resources) -> Generator``.

    ``sampling`` holds the defaults that the factory reads; they are the only settings a published row is made with.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    title: _Text
    family: _Text
    paper: _Text
    licence: _Text
    entry: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")]
    training: Training
    environment: Environment = Environment()
    checkpoints: tuple[Checkpoint, ...] = ()
    ensembles: tuple[PublishedEnsemble, ...] = ()
    sampling: dict[str, bool | int | float | str] = Field(default_factory=dict)
    _path: Path = PrivateAttr()

    @property
    def path(self) -> Path:
        """The file that the card was read from."""
        return self._path

    def checkpoint(self, name: str) -> Path:
        """The verified file of a checkpoint. Raises InputError if it is not on the card, missing or altered."""
        for checkpoint in self.checkpoints:
            if checkpoint.name == name:
                return verify(self, checkpoint)
        raise InputError(f"{self._path}: no checkpoint {name!r}; the card has {[c.name for c in self.checkpoints]}")


def read_card(path: Path) -> Card:
    """The card in a TOML file. Raises InputError that names the file and the field."""
    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot read the card {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error
    if card.name != path.stem:
        raise InputError(f"{path}: name: is {card.name!r}, but the file is {path.name}")
    card._path = path
    return card


def first_fault(error: ValidationError) -> str:
    """``field: what is wrong``, of the first fault, and how many more there are."""
    faults = error.errors()
    where = ".".join(str(part) for part in faults[0]["loc"]) or "the file"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0]['msg']}{more}"


def verify(card: Card, checkpoint: Checkpoint) -> Path:
    """The checkpoint's file, after its size and SHA-256 were checked. Raises InputError if they are not the card's."""
    if checkpoint.file is None:
        raise InputError(f"{card.name}: the checkpoint {checkpoint.name!r} is not shipped; it is at {checkpoint.url}")
    path = card.path.parent / checkpoint.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{card.name}: cannot read the checkpoint {path}: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if len(data) != checkpoint.size or found != checkpoint.sha256:
        raise InputError(
            f"{card.name}: the checkpoint {path} is not the one on the card: {len(data)} bytes with SHA-256 {found}, "
            f"expected {checkpoint.size} bytes with {checkpoint.sha256}"
        )
    return path


CARDS: Registry[Card] = Registry(
    "model",
    "ebabench.generators",
    lambda: toml_files("ebabench.models"),
    lambda name, package: read_card(folder(package) / f"{name}.toml"),
)


def load_card(name: str) -> Card:
    """The card of a registered model, or the one at a path that ends in ``.toml``. Raises InputError."""
    return read_card(Path(name)) if name.endswith(".toml") else CARDS.load(name)


def build(card: Card, resources: Resources) -> Generator:
    """The generator that a card describes; what it imports is imported here. Raises InputError.

    A card that is not in a package may keep its module beside it.
    """
    if card.environment.kind != "in-process":
        raise InputError(f"{card.name}: runs as a {card.environment.kind}, which this version cannot start")
    beside = str(card.path.parent.resolve())
    if card.name not in CARDS and beside not in sys.path:
        sys.path.append(beside)
    generator: Generator = resolve(card.entry)(card, resources)
    return generator
