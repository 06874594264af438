"""Protenix, EBA and OpenFold3: ``X/seed_101/predictions/X_seed_101_sample_0.cif``, one folder per seed."""

from __future__ import annotations

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.series import series
from ebabench.io.layouts.source import Source

_SAMPLES = r"/(?P<target>[^/]+)/seed_\d+/(?:predictions/)?[^/]*sample_\d+(?:_model)?\.(?:cif|pdb)(?:\.gz)?"
_OTHERS = {
    r"/.*_(?:GT|gt)[_.].*": "the true structure, not a sample",
    r"/(?:ERR|msa|processed)/.*": "an input or a log",
}


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layout of Protenix."""
    return series(listing, "Protenix", _SAMPLES, _OTHERS)
