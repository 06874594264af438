"""Cards: what a model is, what it was trained on, what it needs, and how it is built. One TOML file, strictly checked.

The project's own cards lie in ``ebabench.models``. A plug-in names its own with the entry point
``[project.entry-points."ebabench.generators"]  NAME = "its_package"``, where ``its_package/NAME.toml`` is the card.
Any other card is named by its path, or by its name where ``NAME.toml`` lies in the current folder or its ``models``.

Cards of one family may share a file: ``extends = "families/NAME.toml"`` names it by its path from the card. What the
card says itself takes the place of what the file says, field by field in tables. The result is checked as one card.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from ebabench.errors import InputError, unknown
from ebabench.generators.checkpoints import Checkpoint, Checkpoints, Sha256
from ebabench.generators.protocol import Provides
from ebabench.system.fields import Name, RelativePath
from ebabench.system.names import check_inside
from ebabench.system.registry import Registry, folder, toml_files
from ebabench.system.schema import Strict, Text, Url, first_fault, read_toml

_Location = Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")]
Overlap = Literal["held_out", "weak_holdout", "uncertain", "not_trained"]
Setting = bool | int | float | str
Kind = Literal["in-process", "worker", "ensembles"]
_CODE = {"in-process": "entry", "worker": "script", "ensembles": "converter"}


class TrainingSequences(Strict):
    """The sequences that a model was trained on: targets of suites, FASTA files beside the card, chains of suites."""

    suites: tuple[Text, ...] = ()
    fasta: tuple[RelativePath, ...] = ()
    chains: tuple[Text, ...] = ()


class Training(Strict):
    """What the model has seen.

    ``overlap``: of that with the test targets; ``evidence`` says how one knows. ``sequences`` lists what is known of
    it, for ``ebabench leakage`` to compare with targets.
    """

    data: Text
    overlap: Overlap
    evidence: Text
    sequences: TrainingSequences | None = None


class Environment(Strict):
    """Where the model runs.

    ``kind``: "in-process", in ebabench's own Python, where ``requirements`` must be installed; "worker", a script in an
    environment of its own, which ``ebabench models install`` makes of ``python`` (its version), ``requirements`` and,
    after these, ``no_deps`` (packages without what they ask for); or "ensembles", code that its user runs with
    ``command`` at ``commit`` of ``repository``, for ebabench to convert and score what it left.

    ``interpreter`` is the Python of an environment that the user has made, in place of ``python``, ``requirements`` and
    ``no_deps``: a path, from the card's folder if it is relative, or ``conda:NAME``.
    ``variables`` are set in the worker's environment. ``timeout``: seconds a worker may take for one target.
    """

    kind: Kind = "in-process"
    python: Annotated[str, StringConstraints(pattern=r"^3\.\d+$")] | None = None
    requirements: tuple[Text, ...] = ()
    no_deps: tuple[Text, ...] = ()
    interpreter: Text | None = None
    variables: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")], str] = Field(default_factory=dict)
    timeout: float = Field(default=21600, gt=0)
    repository: Url | None = None
    commit: Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")] | None = None
    command: Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> Environment:
        if self.kind == "in-process" and (self.python or self.variables or self.no_deps):
            raise ValueError("python, no_deps and variables are of a worker or of ensembles")
        if self.interpreter and self.kind != "worker":
            raise ValueError("interpreter is of a worker")
        if self.interpreter and (self.python or self.requirements or self.no_deps):
            raise ValueError("interpreter names an environment that is there; without python, requirements and no_deps")
        if self.kind == "ensembles" and not (self.repository and self.commit and self.command):
            raise ValueError("ensembles need repository, commit and command")
        if self.kind != "ensembles" and self.command:
            raise ValueError("command is for ensembles, which their user makes")
        return self


class PublishedEnsemble(Strict):
    """Ensembles that the model's authors published. ``size`` in bytes and ``sha256`` where known."""

    suite: Text
    url: Text
    size: int | None = Field(default=None, gt=0)
    sha256: Sha256 | None = None


class Card(Strict):
    """One model.

    Its code is, by the kind of its environment, ``entry`` (in-process: ``module:attribute``, a factory
    ``(card, resources) -> Generator``), ``script`` (worker: a file beside the card) or ``converter`` (ensembles:
    ``module:attribute``, a function ``(path, target) -> Ensemble`` that reads what the model's own code left).

    ``provides``: the atoms of its conformations; metrics that need more are not available. ``sampling`` holds the
    settings that the code reads, ``batch_size`` among them where it has one; a published row is made with these.
    """

    name: Annotated[Name, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    title: Text
    family: Text
    paper: Text
    licence: Text
    training: Training
    entry: _Location | None = None
    script: RelativePath | None = None
    converter: _Location | None = None
    provides: Provides = "heavy"
    environment: Environment = Environment()
    checkpoints: tuple[Checkpoint, ...] = ()
    ensembles: tuple[PublishedEnsemble, ...] = ()
    sampling: dict[str, Setting] = Field(default_factory=dict)
    _path: Path = PrivateAttr()
    _changed: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _code_of_its_kind(self) -> Card:
        needed = _CODE[self.environment.kind]
        if getattr(self, needed) is None:
            raise ValueError(f"a model of the kind {self.environment.kind} needs {needed}")
        if other := [name for name in _CODE.values() if name != needed and getattr(self, name) is not None]:
            raise ValueError(f"a model of the kind {self.environment.kind} has no {other[0]}")
        if not isinstance(self.sampling.get("batch_size", 1), int) or int(self.sampling.get("batch_size", 1)) < 1:
            raise ValueError("sampling.batch_size is a whole number from 1")
        return self

    @property
    def path(self) -> Path:
        """The file that the card was read from."""
        return self._path

    @property
    def files(self) -> Checkpoints:
        """The files of ``checkpoints``."""
        return Checkpoints(self.name, self._path, self.called, self.checkpoints)

    @property
    def called(self) -> str:
        """What a command takes for the model: its name if it is registered, else the path of the card, quoted."""
        return self.name if self.name in CARDS else shlex.quote(str(self._path))

    def with_settings(self, changes: Mapping[str, str]) -> Card:
        """The card with other ``sampling`` settings, given as text. Raises InputError if it has no such setting."""
        settings = dict(self.sampling)
        for name, text in changes.items():
            if name not in settings:
                raise unknown(f"setting of {self.name}", name, settings)
            settings[name] = _like(settings[name], text, f"{self.name}: {name}")
        try:
            card = Card.model_validate({**self.model_dump(), "sampling": settings})
        except ValidationError as error:
            raise InputError(f"{self.name}: {first_fault(error)}") from error
        card._path = self._path
        card._changed = tuple(sorted(changes))
        return card

    def with_batch_size(self, size: int | None) -> Card:
        """Return the card with another number of conformations computed at once.

        Where that changes samples, it is a setting like others, and part of a run's identity: of all workers, and of
        models that have ``batch_size`` in ``sampling``. Samples of other models must not depend on it, and these keep
        their card.

        Args:
            size: The number; None for the card's own.
        """
        own = self.sampling.get("batch_size")
        if size in (None, own) or (own is None and self.environment.kind != "worker"):
            return self
        card = Card.model_validate({**self.model_dump(), "sampling": {**self.sampling, "batch_size": size}})
        card._path = self._path
        card._changed = tuple(sorted({*self._changed, "batch_size"}))
        return card

    def facts(self) -> dict[str, Any]:
        """What the card says as plain data, with the SHA-256 of checkpoints that were pinned at their download.

        The list of training sequences is left out: it changes no sample, and may be completed later.

        ``changed``: the settings that are not the card's own, if there are any.
        """
        plain = self.model_dump(mode="json", exclude_defaults=True, exclude={"training": {"sequences"}})
        if self._changed:
            plain["changed"] = list(self._changed)
        for one, checkpoint in zip(plain.get("checkpoints", ()), self.checkpoints, strict=True):
            one["sha256"] = self.files.pinned(checkpoint)
        return plain

    def checkpoint(self, name: str) -> Path:
        """The verified file of a checkpoint. Raises InputError if it is not on the card, missing or altered."""
        for checkpoint in self.checkpoints:
            if checkpoint.name == name:
                return self.files.verified(checkpoint)
        raise InputError(f"{self._path}: no checkpoint {name!r}; the card has {[c.name for c in self.checkpoints]}")


def _like(own: Setting, text: str, what: str) -> Setting:
    """The value that a text stands for, of the type of the card's own."""
    try:
        if isinstance(own, bool):
            return {"true": True, "false": False}[text]
        return type(own)(text)
    except (ValueError, KeyError) as error:
        raise InputError(f"{what}: {text!r} is not of the kind of {own!r}") from error


def read_card(path: Path) -> Card:
    """Return the card in a TOML file, with what the file that it extends says.

    Raises:
        InputError: A file cannot be read (``card.file``) or is not TOML (``card.toml``), the extended file extends
            another one (``card.extends``), or the card breaks the schema (``card.schema``). The message names the file
            and the field.
    """
    data = _toml(path)
    shared = data.pop("extends", None)
    if shared is not None:
        family = _toml(path.parent / check_inside(str(shared), f"{path}: extends"))
        if "extends" in family:
            raise InputError(f"{path}: extends: {shared} itself extends a file", code="card.extends", file=path)
        data = _overlaid(family, data)
    try:
        card = Card.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}", code="card.schema", file=path) from error
    if card.name != path.stem:
        raise InputError(f"{path}: name: is {card.name!r}, but the file is {path.name}", code="card.schema", file=path)
    card._path = path.absolute()
    return card


def _toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except OSError as error:
        raise InputError(f"cannot read the card {path}: {error.strerror}", code="card.file", file=path) from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}", code="card.toml", file=path) from error


def _overlaid(family: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a family with a card's own in their place; tables are merged."""
    both = {
        name: _overlaid(family[name], value)
        for name, value in own.items()
        if isinstance(value, dict) and isinstance(family.get(name), dict)
    }
    return {**family, **own, **both}


CARDS: Registry[Card] = Registry(
    "model",
    "ebabench.generators",
    lambda: toml_files("ebabench.models"),
    lambda name, package: read_card(folder(package) / f"{name}.toml"),
    Card,
)


def load_card(name: str) -> Card:
    """Return the card of a registered model, at a path that ends in ``.toml``, or of a name.

    The card of a name is ``NAME.toml`` in the current folder or in its folder ``models``. A registered model takes
    precedence over both.

    Raises:
        InputError: There is no such model (``unknown.model``), what ``read_card`` raises, or the card at the path is
            another one with the name of a registered model, whose row it would take (``model.name_taken``).
    """
    if not name.endswith(".toml"):
        here = [path for path in (Path(f"{name}.toml"), Path("models", f"{name}.toml")) if path.is_file()]
        return read_card(here[0]) if name not in CARDS and here else CARDS.load(name)
    card = read_card(Path(name))
    if card.name in CARDS and not card.path.samefile(folder(CARDS.locations()[card.name]) / f"{card.name}.toml"):
        raise InputError(
            f"{card.path}: name: {card.name!r} is a model of `ebabench list models`: call yours otherwise",
            code="model.name_taken",
            name=card.name,
        )
    return card
