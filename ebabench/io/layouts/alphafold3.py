"""AlphaFold 3: folders of the local program, and of the server's zip archives.

Local (docs/output.md of google-deepmind/alphafold3)::

    JOB/seed-1_sample-0/JOB_seed-1_sample-0_model.cif    a sample
    JOB/JOB_model.cif                                    the best of the samples, again

Server: ``fold_JOB_model_0.cif`` to ``_4.cif``, with ``templates/`` and ``msas/`` beside them.
"""

from __future__ import annotations

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.series import series
from ebabench.io.layouts.source import Source

_LOCAL = r"/(?P<target>[^/]+)/seed-\d+_sample-\d+/(?:[^/]*_)?model\.cif(?:\.gz)?"
_SERVER = r"/(?P<target>fold_[^/]+?)_model_\d+\.cif(?:\.gz)?"


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layouts of AlphaFold 3."""
    local = series(
        listing,
        "AlphaFold 3",
        _LOCAL,
        {
            r"/(?:[^/]*_)?model\.cif(?:\.gz)?": "AlphaFold 3 writes its best sample here a second time",
        },
    )
    server = series(listing, "AlphaFold Server", _SERVER, names=lambda name: [name.removeprefix("fold_")])
    return local + server
