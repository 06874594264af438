"""Marks on a target: what a reader must know before trusting its numbers."""

from __future__ import annotations

import math

import numpy as np

from ebabench.records import Record

DISAGREEMENT = 0.5
COLLAPSE = 0.5


def disagreement(record: Record) -> float:
    """How far the reference's replicas are from one ensemble; NaN without a floor.

    The floor of ``md_pca_w2`` (the transport between a replica and the others, along the motions of MD) over
    ``md_pairwise_rmsd`` (how far two random frames of MD are apart): mean over replicas of each. Replicas that sample
    one distribution give what the finite number of frames costs; replicas in basins of their own give about 1.
    """
    return _mean_of_floor(record, "md_pca_w2") / _mean_of_floor(record, "md_pairwise_rmsd")


def diversity_ratio(record: Record) -> float:
    """``pairwise_rmsd`` of the model over that of MD: 1 is as diverse, 0 is a single structure; NaN without them."""
    values = record.figures.values
    return values.get("pairwise_rmsd", math.nan) / (values.get("md_pairwise_rmsd", math.nan) or math.nan)


def marks(record: Record) -> list[str]:
    """What is to be said of a target, in words.

    "replicas disagree": ``disagreement`` above 0.5, so the reference itself is uncertain by half of its own breadth.
    "collapsed": ``diversity_ratio`` below 0.5. Distances between ensembles rate a collapsed one only 1.5 to 2 times
    worse than MD, so it is said here.
    """
    found = []
    if (unsure := disagreement(record)) > DISAGREEMENT:
        found.append(f"replicas disagree ({unsure:.2f})")
    if (ratio := diversity_ratio(record)) < COLLAPSE:
        found.append(f"collapsed ({ratio:.2f})")
    return found


def _mean_of_floor(record: Record, key: str) -> float:
    values = [figures.values.get(key, math.nan) for figures in record.floor]
    return float(np.mean(values)) if values else math.nan
