"""Any trajectory beside its topology: MDGen, bioemu-benchmarks, ``X.xtc`` beside ``X.top.pdb``; MDTraj's HDF5 alone."""

from __future__ import annotations

from dataclasses import replace

from ebabench.io.layouts.listing import Listing, stem
from ebabench.io.layouts.source import Source
from ebabench.io.layouts.with_topology import trajectories
from ebabench.io.layouts.wording import numbered


def recognise(listing: Listing) -> list[Source]:
    """Return one source per trajectory; those of one target are joined later."""
    sources = []
    for path in listing.of_kind("trajectory"):
        own = stem(path)
        series = numbered(own)
        source = trajectories(f"{path.suffix[1:].upper()} beside a topology", (own,), [path])
        topology = source.parts[0].topology
        names = [own, *series[:1]] if series else [own]
        names += [stem(topology)] if topology else []
        sources.append(replace(source.called(*names, *listing.folders(path)), plain=True))
    return sources
