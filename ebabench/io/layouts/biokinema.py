"""BioKinema: ``X_R1_0/predictions/X_R1_0_s0_f1.cif``, one file per trajectory (s) and frame (f).

Frame 0 is the input structure; the authors leave it out of their analysis, too
(experiments/atlas_benchmark/analysis/analyze_ensembles.py of IDEA-XL/BioKinema).
"""

from __future__ import annotations

import re

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.series import series
from ebabench.io.layouts.source import Source

_SAMPLES = r"/(?P<target>[^/]+)/(?:seed_\d+/)?predictions/[^/]*_s\d+_f(?!0+\.)\d+\.cif(?:\.gz)?"
_START = {r"/(?:seed_\d+/)?predictions/[^/]*_s\d+_f0+\.cif(?:\.gz)?": "frame 0 is the input structure"}


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of BioKinema; rollouts from several frames of one target are its runs."""
    return series(
        listing,
        "BioKinema",
        _SAMPLES,
        _START,
        lambda name: list(dict.fromkeys([name, re.sub(r"_R\d+_\d+$", "", name)])),
    )
