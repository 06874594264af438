"""ConfRover: ``X/X_sample0.xtc`` beside its PDB file; independent samples as ``X/X.xtc`` beside ``X/X.pdb``.

``X_sample0_preview.pdb`` shows some of the frames again. ``raw/`` holds the files that were packed into the XTC file.
"""

from __future__ import annotations

import re
from pathlib import Path

from ebabench.io.layouts.listing import Listing, full, kind
from ebabench.io.layouts.source import LeftOut, Source
from ebabench.io.layouts.with_topology import trajectories

_FILES = re.compile(r".*/(?P<target>[^/]+)/(?P=target)(?:_sample\d+)?\.xtc")


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of ConfRover: folders with a preview, or with numbered samples."""
    sources: dict[str, list[Path]] = {}
    previews = [path for path in listing.files if path.name.endswith("_preview.pdb")]
    shown = {path.parent for path in previews}
    for path in listing.of_kind("trajectory"):
        match = _FILES.fullmatch(full(path))
        if match and (path.parent in shown or path.stem != match["target"]):
            sources.setdefault(match.string[: match.end("target")], []).append(path)
    found = []
    for base, paths in sources.items():
        folder = paths[0].parent
        left = [LeftOut(path, "shows some of the frames again") for path in previews if path.parent == folder]
        left += [
            LeftOut(path, f"was packed into {paths[0].name}")
            for path in listing.below(f"{base}/raw/")
            if kind(path) == "structure"
        ]
        found.append(trajectories("ConfRover", listing.folders(paths[0]), paths, left))
    return found
