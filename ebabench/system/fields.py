"""Fields of checked files that hold names and paths."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from ebabench.system.names import plain_name, plain_path

Name = Annotated[str, AfterValidator(plain_name)]
"""A field of a checked file that holds a name."""

RelativePath = Annotated[str, AfterValidator(plain_path)]
"""A field of a checked file that holds the path of a file beside it, or in a folder beside it."""
