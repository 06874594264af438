"""One lazy registry for everything that has a name: models, metrics, suites.

A registry knows where a thing lives before it knows the thing: names are listed without importing what they stand for.
Outsiders add names with entry points, so that ``pip install their-plugin`` is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module, resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from ebabench.errors import InputError, unknown

T = TypeVar("T")


def resolve(location: str) -> Any:
    """The object at ``module:attribute``. Raises InputError, with the cause, if it cannot be imported."""
    module, _, attribute = location.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot load {location!r}: {error}") from error


def folder(package: str) -> Path:
    """The folder of an importable package. Raises InputError if there is no such package."""
    try:
        return Path(str(resources.files(package)))
    except ImportError as error:
        raise InputError(f"cannot load the package {package!r}: {error}") from error


def toml_files(package: str) -> dict[str, str]:
    """Name -> package, for every ``NAME.toml`` in the package."""
    return {path.stem: package for path in sorted(folder(package).glob("*.toml"))}


class Registry(Generic[T]):
    """Names of one kind of thing, and how to load one.

    ``builtin`` gives name -> location of the project's own; the entry points of ``group`` add to it, and cannot
    replace any. ``load`` makes the thing from its name and location.
    """

    def __init__(
        self, kind: str, group: str, builtin: Callable[[], Mapping[str, str]], load: Callable[[str, str], T]
    ) -> None:
        self.kind = kind
        self._group = group
        self._builtin = builtin
        self._load = load

    def locations(self) -> dict[str, str]:
        """Name -> location, the project's own first; nothing is imported beyond what holds the names."""
        own = dict(self._builtin())
        return own | {point.name: point.value for point in entry_points(group=self._group) if point.name not in own}

    def __iter__(self) -> Iterator[str]:
        return iter(self.locations())

    def __contains__(self, name: object) -> bool:
        return name in self.locations()

    def load(self, name: str) -> T:
        """The thing of that name. Raises InputError, with the nearest names, if there is none."""
        locations = self.locations()
        if name not in locations:
            raise unknown(self.kind, name, locations)
        return self._load(name, locations[name])
