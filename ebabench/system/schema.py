"""TOML files and JSON answers that are checked field by field."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from ebabench.system.files import read_file
from ebabench.system.names import shortened

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]


MOST_BYTES = 1 << 28
"""A JSON file above this is none of ours."""

_MOST_TOML = 1 << 22  # bytes, ten times the largest suite; a megabyte takes seconds to parse
_MOST_TOLD = 400  # characters of what is wrong with a field, which may quote it


class Strict(BaseModel):
    """Fields that are frozen, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_fault(error: ValidationError) -> str:
    """``field: what is wrong``, of the first fault, and how many more there are.

    A field that is none is told in any case: it may be the misspelled name of one that is missed.
    """
    first, *others = error.errors()
    misspelled = next((one for one in others if one["type"] == "extra_forbidden"), None)
    told = [_told(one) for one in (first, misspelled) if one is not None]
    left = 1 + len(others) - len(told)
    return "; ".join(told) + f" (and {left} more)" * bool(left)


def _told(fault: ErrorDetails) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "the file"
    return f"{shortened(where)}: {shortened(fault['msg'].removeprefix('Value error, '), _MOST_TOLD)}"


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return the text of a regular file, in UTF-8, without a byte order mark.

    Raises:
        OSError: It cannot be read, is no regular file, or has more than ``most`` bytes.
        ValueError: It is not UTF-8.
    """
    return read_file(path, most).decode("utf-8-sig")


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises:
        OSError: It cannot be read, is no regular file, or has more than 4 MB.
        ValueError: It is not TOML, or is nested too deeply.
    """
    try:
        return tomllib.loads(read_text(path, _MOST_TOML))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_json(text: str) -> Any:
    """Return what JSON says. Infinite numbers, NaN, and a name that an object has twice are no JSON.

    Raises:
        ValueError: It is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shortened(twice)!r} is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
