"""Read settings by name, from a command line or a file, into a dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ebabench.errors import InputError, unknown

T = TypeVar("T")


def configured(kind: type[T], given: Mapping[str, Any]) -> T:
    """Return a dataclass with some of its defaults replaced. Text is converted to the type of the default.

    Args:
        kind: The dataclass.
        given: Values by name.

    Raises:
        InputError: There is no such setting (``unknown.setting``), or a value has another type (``setting.type``).
    """
    defaults = kind()
    kinds = {field.name: type(getattr(defaults, field.name)) for field in fields(kind)}  # type: ignore[arg-type]
    for name in given:
        if name not in kinds:
            raise unknown("setting", name, kinds)
    return kind(**{name: _read(name, kinds[name], value) for name, value in given.items()})


def _read(name: str, kind: type, value: Any) -> Any:
    if type(value) is kind:
        return value
    try:
        if kind is bool:
            return {"true": True, "false": False}[value]
        if isinstance(value, str) or (kind is float and type(value) is int):
            return kind(value)
    except (KeyError, ValueError):
        pass
    raise InputError(f"{name} is a {kind.__name__}, not {value!r}", code="setting.type", setting=name)
