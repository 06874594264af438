"""Chai-1: ``X/pred.model_idx_0.cif`` and on; with several trunk samples ``X/trunk_0/pred.model_idx_0.cif``."""

from __future__ import annotations

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.series import series
from ebabench.io.layouts.source import Source

_SAMPLES = r"/(?P<target>[^/]+)/(?:trunk_\d+/)?pred\.(?:model_idx|rank)_\d+\.cif(?:\.gz)?"
_OTHERS = {r"/(?:trunk_\d+/)?scores\.[^/]*\.npz": "scores, no coordinates"}


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of Chai-1."""
    return series(listing, "Chai-1", _SAMPLES, _OTHERS)
