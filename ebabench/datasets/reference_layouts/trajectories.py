"""Trajectories beside topologies: MDGen's, those of bioemu-benchmarks, and any other. Each file is one replica."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ebabench.datasets.reference_layouts.replicas import Replicas
from ebabench.errors import InputError
from ebabench.io.frames import Frames
from ebabench.io.layouts import Source, find_sources
from ebabench.io.layouts.reading import open_parts


def find(path: Path) -> dict[str, Replicas]:
    """Return what reads the replicas of each target.

    Raises:
        InputError: There are no trajectories (``reference.none``).
    """
    try:
        sources = find_sources(path).sources
    except InputError as error:
        raise InputError(
            f"{path}: no references in it (X/X.pdb with X/X_prod_R1_fit.xtc as in ATLAS, X/X.pdb with X/X.xtc, "
            f"mdcath_dataset_X.h5, X-traj-arrays.npz, or references.toml): {error}",
            code="reference.none",
            file=path,
        ) from error
    return {name: Replicas(partial(_replicas, source), source.files) for name, source in sources.items()}


def _replicas(source: Source) -> dict[int, Frames]:
    return dict(enumerate(open_parts(source), 1))
