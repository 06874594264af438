"""aSAM: ``X.traj.dcd`` (or .xtc) beside ``X.top.pdb``.

``--keep_no_min`` leaves the conformations before minimisation there, and names the minimised ones
``X.min.traj.dcd``; ``--ca`` writes the C-alphas again (``X.ca.traj.dcd``). ``X.aa.diffusion.0.dcd`` is the way of one
sample through diffusion.
"""

from __future__ import annotations

import re
from pathlib import Path

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.source import LeftOut, Source
from ebabench.io.layouts.with_topology import trajectories, with_topology

_FILES = re.compile(r"(?P<target>.+?)(?P<state>\.min|\.ca)?\.traj\.(?:dcd|xtc)", re.I)
_DIFFUSION = re.compile(r"(?P<target>.+?)\.aa\.diffusion\.\d+\.(?:dcd|xtc)", re.I)
_REASONS = {
    ".min": "",
    "": "the same conformations before minimisation",
    ".ca": "the C-alphas of the same conformations",
}


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of aSAM."""
    found: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in listing.of_kind("trajectory"):
        if match := _FILES.fullmatch(path.name):
            found.setdefault((path.parent, match["target"]), {})[(match["state"] or "").lower()] = path
    return [_source(listing, folder, name, states) for (folder, name), states in found.items()]


def _source(listing: Listing, folder: Path, name: str, states: dict[str, Path]) -> Source:
    taken = next(state for state in _REASONS if state in states)
    left = []
    for state, path in states.items():
        if state != taken:
            why = f"{_REASONS[state]}: {states[taken].name} is read"
            left += with_topology(path, why)
    left += [
        LeftOut(path, "the way of one sample through diffusion")
        for path in listing.of_kind("trajectory")
        if path.parent == folder and (match := _DIFFUSION.fullmatch(path.name)) and match["target"] == name
    ]
    return trajectories("aSAM", (name, *listing.folders(states[taken])), [states[taken]], left).tidy()
