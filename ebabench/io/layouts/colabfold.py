"""ColabFold: ``X_unrelaxed_rank_001_*.pdb`` and, of the same samples, ``X_relaxed_rank_001_*.pdb``.

All targets of one run lie in one folder. ``--save-recycles`` leaves intermediate structures (``*.r0.pdb``), and
``X_env/`` holds templates.
"""

from __future__ import annotations

from pathlib import Path

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.series import beside, folders_above, matched, one_state
from ebabench.io.layouts.source import Part, Source

_FILES = (
    r"/(?P<target>[^/]+?)_(?P<state>unrelaxed|relaxed)_(?:rank|model)_[^/]*(?<!\.r\d)(?<!\.r\d\d)\.(?:pdb|cif)(?:\.gz)?"
)
_STATES = {
    "unrelaxed": "the same predictions before relaxation",
    "relaxed": "relaxed copies of the same predictions",
}
_OTHERS = {
    r"_unrelaxed_.*\.r\d+\.pdb": "the structure after one recycling step, not a sample",
    r"_(?:env|all|pair\w*|templates?)(?:_\w+)?/.*": "a template or search result that ColabFold was given",
}


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of ColabFold."""
    sources = []
    for base, files in matched(listing, _FILES).items():
        states: dict[str, list[Path]] = {}
        for path, match in files:
            states.setdefault(match["state"], []).append(path)
        paths, left = one_state(states, _STATES)
        names = (files[0][1]["target"], *folders_above(listing, base, paths[0]))
        left += beside(listing, base, _OTHERS)
        sources.append(Source("ColabFold", names, tuple(map(Part, paths)), tuple(left)))
    return sources
