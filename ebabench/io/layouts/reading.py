"""Reading the conformations of a source."""

from __future__ import annotations

from ebabench.errors import InputError
from ebabench.io.layouts.source import Source
from ebabench.io.structure_files import read_structure


def sequence_of(source: Source) -> str | None:
    """Return the one-letter sequence of a source's first file; None if it cannot be read."""
    part = source.parts[0]
    try:
        return read_structure(part.topology or part.path)[0].sequence
    except InputError:
        return None
