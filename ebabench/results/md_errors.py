"""The errors of a run's figures that come from the finite MD, in ``md_error.json`` of its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ebabench.results.md_times import records_digest
from ebabench.system.files import replace_file

if TYPE_CHECKING:
    from ebabench.results.runs import Run

FILE = "md_error.json"


@dataclass(frozen=True)
class MdError:
    """What the finite MD leaves open for one target.

    Attributes:
        errors: Key -> standard error of the figure, from the finite MD.
        torsion: The slowest torsion of the reference; empty if it has none.
        correlation_ns: Its correlation time in nanoseconds; NaN if the time between frames is not known.
        independent_samples: Length of the reference over twice that time.
    """

    errors: Mapping[str, float]
    torsion: str = ""
    correlation_ns: float = math.nan
    independent_samples: float = math.nan


def write_errors(run: Run, errors: Mapping[str, MdError]) -> None:
    """Write the errors of a run's targets into its folder. Raises OSError."""
    plain = {target: _plain(asdict(one)) for target, one in errors.items()}
    text = {"records": records_digest(run.records()), "targets": plain}
    replace_file(run.folder / FILE, json.dumps(text, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_errors(run: Run) -> dict[str, MdError]:
    """Return the errors in a run folder; empty if there are none, or if the records were changed since."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept: dict[str, Any] = json.loads((run.folder / FILE).read_text(encoding="utf-8"))
        if kept["records"] == records_digest(run.records()):
            return {target: MdError(**_numbers(plain)) for target, plain in kept["targets"].items()}
    return {}


def _plain(value: Any) -> Any:
    """The value for JSON, which has null for NaN."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _numbers(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _numbers(one) for key, one in plain.items()}
    return math.nan if plain is None else plain
