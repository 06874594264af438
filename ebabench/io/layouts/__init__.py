"""Output folders of generators as they lie on disk: which files hold the conformations of which target."""

from ebabench.io.layouts.find import Found, find_sources
from ebabench.io.layouts.reading import read_source
from ebabench.io.layouts.source import LeftOut, Part, Source

__all__ = ["Found", "LeftOut", "Part", "Source", "find_sources", "read_source"]
