"""One lazy registry for everything that has a name: models, metrics, suites.

A registry knows where a thing lives before it knows the thing: names are listed without importing what they stand for.
Outsiders add names with entry points, so that ``pip install their-plugin`` is enough. What they bring is code that is
not trusted to work: a plug-in that cannot be imported, that is of another type, or that takes a name of another is
reported, and does not break the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from ebabench.errors import InputError, unknown
from ebabench.system.batching import is_out_of_memory

T = TypeVar("T")


def resolve(location: str) -> Any:
    """Return the object at ``module:attribute``.

    Raises:
        InputError: It cannot be imported, whatever the module raises, ``sys.exit`` among it. The message has the cause.
    """
    module, _, attribute = location.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:
        message = f"cannot load {location!r}: {cause(error)}"
        raise InputError(message, code="plugin.import", location=location) from error


def cause(error: BaseException) -> str:
    """Return what an exception from outside says, with its type where that tells more.

    Raises:
        KeyboardInterrupt: it is an interruption, which a compiled function passes on as a SystemError.
    """
    if isinstance(error, SystemError) and isinstance(error.__cause__, KeyboardInterrupt):
        raise error.__cause__
    if isinstance(error, SystemExit):
        return f"it ended the program (sys.exit({error.code!r}))"
    if is_out_of_memory(error):
        return f"memory ran out: {error}" if str(error) else "memory ran out"
    if isinstance(error, ImportError | AttributeError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def folder(package: str) -> Path:
    """Return the folder of an importable package. Raises InputError if there is no such package."""
    try:
        return Path(str(resources.files(package)))
    except ImportError as error:
        message = f"cannot load the package {package!r}: {error}"
        raise InputError(message, code="plugin.import", location=package) from error


def toml_files(package: str) -> dict[str, str]:
    """Return name -> package, for every ``NAME.toml`` in the package."""
    return {path.stem: package for path in sorted(folder(package).glob("*.toml"))}


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """All things of a registry: those that could be loaded, and why the others could not.

    Attributes:
        things: By name.
        faults: Why a name has no thing, by name.
    """

    things: Mapping[str, T]
    faults: Mapping[str, InputError]


class Registry(Generic[T]):
    """Names of one kind of thing, and how to load one.

    Args:
        kind: What one is called in messages.
        group: The entry points that add names. They cannot replace one of the project's own.
        builtin: Gives name -> location of the project's own.
        load: Makes the thing from its name and location.
        types: The type that a thing must have; None where ``load`` checks it.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        builtin: Callable[[], Mapping[str, str]],
        load: Callable[[str, str], T],
        types: type | None = None,
    ) -> None:
        self.kind = kind
        self._group = group
        self._builtin = builtin
        self._load = load
        self._types = types

    def locations(self) -> dict[str, str]:
        """Return name -> location, the project's own first. Nothing is imported beyond what holds the names."""
        own = dict(self._builtin())
        return own | {point.name: point.value for point in self._points() if point.name not in own}

    def __iter__(self) -> Iterator[str]:
        return iter(self.locations())

    def __contains__(self, name: object) -> bool:
        return name in self.locations()

    def load(self, name: str) -> T:
        """Return the thing of that name.

        Raises:
            InputError: There is none (the message has the nearest names), two plug-ins give the name, or the plug-in
                that gives it cannot be loaded or gives something else.
        """
        location = self._builtin().get(name) or self._location_in_plugins(name)
        thing = self._load(name, location)
        if self._types is not None and not isinstance(thing, self._types):
            raise InputError(
                f"{self.kind} {name!r}: {location} is of the type {type(thing).__name__}, not {self._types.__name__}",
                code="plugin.type",
                name=name,
            )
        return thing

    def load_all(self) -> Loaded[T]:
        """Return all things, and why some could not be loaded: those of plug-ins break nothing else."""
        things: dict[str, T] = {}
        faults: dict[str, InputError] = {}
        own = self._builtin()
        for name in self:
            try:
                things[name] = self.load(name)
            except InputError as error:
                if name in own:
                    raise
                faults[name] = error
        return Loaded(things, faults)

    def _location_in_plugins(self, name: str) -> str:
        locations = self.locations()
        if name not in locations:
            raise unknown(self.kind, name, locations)
        if (owners := self._owners(name))[1:]:
            raise InputError(
                f"{self.kind} {name!r}: {' and '.join(owners)} each have one of that name: uninstall one",
                code="plugin.ambiguous",
                name=name,
            )
        return locations[name]

    def _points(self) -> list[EntryPoint]:
        return list(entry_points(group=self._group))

    def _owners(self, name: str) -> list[str]:
        """The distributions that give a name; one that is found twice on the path counts once."""
        return sorted(
            {point.dist.name if point.dist else point.value for point in self._points() if point.name == name}
        )
