"""Str2Str: ``all_delta/X.pdb`` holds the models of ``0.1/X.pdb``, ``0.2/X.pdb`` and on (noise levels) again."""

from __future__ import annotations

import re

from ebabench.io.layouts.listing import Listing, stem
from ebabench.io.layouts.source import LeftOut, Part, Source


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of Str2Str."""
    sources = []
    files = listing.of_kind("structure")
    for path in (path for path in files if path.parent.name == "all_delta"):
        again = tuple(
            LeftOut(other, "all_delta/ holds these models again")
            for other in files
            if other.name == path.name
            and other.parent.parent == path.parent.parent
            and re.fullmatch(r"\d+(\.\d+)?", other.parent.name)
        )
        sources.append(Source("Str2Str", (stem(path), *listing.folders(path)[1:]), (Part(path),), again))
    return sources
