"""Boltz-1 and Boltz-2: ``boltz_results_*/predictions/X/X_model_0.cif`` and on, or any folder within.

``processed/`` beside ``predictions/`` holds the inputs (structures, templates, alignments) as Boltz reads them.
"""

from __future__ import annotations

import re

from ebabench.io.layouts.listing import Listing, full, kind
from ebabench.io.layouts.series import series
from ebabench.io.layouts.source import LeftOut, Source

_SAMPLES = r"/(?P<target>[^/]+)/(?P=target)_model_\d+\.(?:cif|pdb)(?:\.gz)?"
_SCORES = {r"/(?:plddt|pae|pde|embeddings|pre_affinity)_[^/]*\.npz": "scores, no coordinates of samples"}


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of Boltz."""
    sources = series(listing, "Boltz", _SAMPLES, _SCORES)
    results = {match[0] for one in sources if (match := re.match(r".*(?=/predictions/)", full(one.paths[0])))}
    inputs = tuple(
        LeftOut(path, "an input as Boltz has processed it")
        for folder in sorted(results)
        for name in ("processed", "msa", "lightning_logs")
        for path in listing.below(f"{folder}/{name}/")
        if kind(path) in ("structure", "trajectory", "array")
    )
    return [sources[0].without(*inputs), *sources[1:]] if sources else []
