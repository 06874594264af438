"""AlphaFold 2: ``unrelaxed_model_*``, ``relaxed_model_*`` and ``ranked_*``, the same predictions three times.

Versions from 2.3.2 on write each as PDB and as mmCIF.
"""

from __future__ import annotations

from pathlib import Path

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.series import folders_above, matched, one_state
from ebabench.io.layouts.source import LeftOut, Part, Source

_STATES = {
    "unrelaxed": "the same predictions before relaxation",
    "relaxed": "relaxed copies of the same predictions",
    "ranked": "copies of the same predictions by rank",
}
_FILES = r"/(?P<target>[^/]+)/(?P<state>unrelaxed|relaxed|ranked)_(?:model_[^/]*|\d+)\.(?P<format>pdb|cif)(?:\.gz)?"


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of AlphaFold 2."""
    sources = []
    for base, files in matched(listing, _FILES).items():
        formats = sorted({match["format"] for _, match in files}, reverse=True)
        states: dict[str, list[Path]] = {}
        for path, match in files:
            if match["format"] == formats[0]:
                states.setdefault(match["state"], []).append(path)
        paths, left = one_state(states, _STATES)
        left += [
            LeftOut(path, f"the same prediction as .{formats[0]}")
            for path, match in files
            if match["format"] != formats[0]
        ]
        names = (files[0][1]["target"], *folders_above(listing, base, files[0][0]))
        sources.append(Source("AlphaFold 2", names, tuple(map(Part, paths)), tuple(left)))
    return sources
