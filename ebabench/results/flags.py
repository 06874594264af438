"""Marks on a target: what a reader must know before trusting its numbers."""

from __future__ import annotations

import math

import numpy as np

from ebabench.scoring.records import Record

DISAGREEMENT = 0.25
COLLAPSED_DIVERSITY = 0.5
COLLAPSED_CONFORMATIONS = 0.25


def disagreement(record: Record) -> float:
    """How far the reference's replicas are from being one ensemble; NaN without a floor.

    The share of a replica that would have to move, by the distance between two random frames of MD, to become like the
    others: the squared transport ``md_pca_w2`` of the floor, less that of two draws from one and the same ensemble
    (``md_vs_md_pca_w2``: what the finite number of frames costs), over the squared ``md_pairwise_rmsd``; mean over
    replicas. Near 0 for replicas that sample one distribution, 1 and more for replicas in basins of their own.
    """
    shares = [
        (values["md_pca_w2"] ** 2 - values["md_vs_md_pca_w2"] ** 2) / values["md_pairwise_rmsd"] ** 2
        for values in (figures.values for figures in record.floor)
        if {"md_pca_w2", "md_vs_md_pca_w2", "md_pairwise_rmsd"} <= values.keys()
    ]
    return float(np.mean(shares)) if shares else math.nan


def diversity_ratio(record: Record) -> float:
    """``pairwise_rmsd`` of the model over that of MD: 1 is as diverse, 0 is a single structure; NaN without them."""
    return _ratio(record, "pairwise_rmsd")


def effective_ratio(record: Record) -> float:
    """``effective_conformations`` of the model over that of MD; NaN without them."""
    return _ratio(record, "effective_conformations")


def marks(record: Record) -> list[str]:
    """What is to be said of a target, in words.

    "replicas disagree": ``disagreement`` above 0.25, so that a score against this reference is uncertain by as much.
    "collapsed": ``diversity_ratio`` below 0.5, or ``effective_ratio`` below 0.25 (replicas of MD that are too short
    reach 0.3 against each other). Distances between ensembles rate a collapsed one only 1.5 to 2 times worse than MD,
    so it is said here.
    """
    found = []
    if (share := disagreement(record)) > DISAGREEMENT:
        found.append(f"replicas disagree ({share:.2f})")
    if (spread := diversity_ratio(record)) < COLLAPSED_DIVERSITY:
        found.append(f"collapsed (diversity {spread:.2f} of MD's)")
    elif (clusters := effective_ratio(record)) < COLLAPSED_CONFORMATIONS:
        found.append(f"collapsed (effective conformations {clusters:.2f} of MD's)")
    return found


def _ratio(record: Record, key: str) -> float:
    values = record.figures.values
    return values.get(key, math.nan) / (values.get(f"md_{key}", math.nan) or math.nan)
