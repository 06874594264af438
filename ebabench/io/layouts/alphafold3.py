"""AlphaFold 3: folders of the local program, and of the server's zip archives.

Local (docs/output.md of google-deepmind/alphafold3)::

    JOB/seed-1_sample-0/JOB_seed-1_sample-0_model.cif    a sample
    JOB/JOB_model.cif                                    the best of the samples, again
    JOB_20250131_120000/...                              the job once more, if JOB was there

Server: ``fold_JOB_model_0.cif`` to ``_4.cif``, with ``templates/`` and ``msas/`` beside them.
"""

from __future__ import annotations

import re

from ebabench.io.layouts.listing import Listing
from ebabench.io.layouts.series import series
from ebabench.io.layouts.source import Source, joined

_LOCAL = r"/(?P<target>[^/]+)/seed-\d+_sample-\d+/(?:[^/]*_)?model\.cif(?:\.gz)?"
_SERVER = r"/(?P<target>fold_[^/]+?)_model_\d+\.cif(?:\.gz)?"
_AGAIN = re.compile(r"_\d{8}_\d{6}$")


def recognise(listing: Listing) -> list[Source]:
    """Return the sources in the layouts of AlphaFold 3."""
    local = series(
        listing,
        "AlphaFold 3",
        _LOCAL,
        {
            r"/(?:[^/]*_)?model\.cif(?:\.gz)?": "AlphaFold 3 writes its best sample here a second time",
        },
        names=lambda name: [_AGAIN.sub("", name)],
    )
    server = series(listing, "AlphaFold Server", _SERVER, names=lambda name: [name.removeprefix("fold_")])
    return _jobs(local) + server


def _jobs(runs: list[Source]) -> list[Source]:
    """Return the runs of each job as one source, unless a seed is in several: these samples may be the same."""
    jobs: dict[tuple[str, ...], list[Source]] = {}
    for run in runs:
        jobs.setdefault(run.names, []).append(run)
    together = []
    for job in jobs.values():
        seeds = [{path.parent.name for path in run.paths} for run in job]
        together += [joined(job)] if len(set().union(*seeds)) == sum(map(len, seeds)) else job
    return together
