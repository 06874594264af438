"""TOML files and JSON answers that are checked field by field."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from ebabench.system.files import read_file

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]


MOST_BYTES = 1 << 28
"""A JSON or TOML file above this is none of ours."""


class Strict(BaseModel):
    """Fields that are frozen, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_fault(error: ValidationError) -> str:
    """``field: what is wrong``, of the first fault, and how many more there are."""
    faults = error.errors()
    where = ".".join(str(part) for part in faults[0]["loc"]) or "the file"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0]['msg'].removeprefix('Value error, ')}{more}"


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
        OSError: It cannot be read, or is no regular file.
        ValueError: It is not TOML, or is nested too deeply.
    """
    try:
        return tomllib.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_json(text: str) -> Any:
    """Return what JSON says. Infinite numbers and NaN are no JSON.

    Raises:
        ValueError: It is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
