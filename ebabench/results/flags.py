"""Flags of a target that limit what its numbers mean."""

from __future__ import annotations

import math

import numpy as np

from ebabench.scoring.records import Record

DISAGREEMENT = 0.25
TORSION_DISAGREEMENT = 0.35
COLLAPSED_DIVERSITY = 0.5
COLLAPSED_CONFORMATIONS = 0.25


def disagreement(record: Record) -> float:
    """Return how much the replicas of a reference disagree; NaN without a floor.

    It is the share of a replica that would have to move, by the distance between two random MD frames, to become like
    the other replicas: (``md_pca_w2`` of the floor)^2 minus (``md_vs_md_pca_w2``)^2, the part of the finite number of
    frames, over ``md_pairwise_rmsd``^2, mean over replicas. It is near 0 for replicas of one distribution, and 1 or
    more for replicas in different basins.

    Args:
        record: The record of a target.
    """
    shares = [
        (values["md_pca_w2"] ** 2 - values["md_vs_md_pca_w2"] ** 2) / values["md_pairwise_rmsd"] ** 2
        for values in (figures.values for figures in record.floor)
        if {"md_pca_w2", "md_vs_md_pca_w2", "md_pairwise_rmsd"} <= values.keys()
    ]
    return float(np.mean(shares)) if shares else math.nan


def torsion_disagreement(record: Record) -> float:
    """Return how much the replicas of a reference disagree along the slowest motion of its torsions.

    It is ``js_torsion_tic_0`` of a replica against the others, in nats^1/2, mean over replicas: 0.1 for independent
    frames of one distribution, 0.83 for replicas that share nothing. NaN without a floor.

    Args:
        record: The record of a target.
    """
    found = [figures.values.get("js_torsion_tic_0", math.nan) for figures in record.floor]
    return float(np.mean(found)) if found else math.nan


def diversity_ratio(record: Record) -> float:
    """Return ``pairwise_rmsd`` of the model over that of MD: 1 is as diverse, 0 a single structure; NaN if unknown."""
    return _ratio(record, "pairwise_rmsd")


def effective_ratio(record: Record) -> float:
    """Return ``effective_conformations`` of the model over that of MD; NaN without them."""
    return _ratio(record, "effective_conformations")


def missing_residues(record: Record) -> str:
    """Return how many residues the ensemble of a record lacks, as text; empty if it has all."""
    if not record.missing_residues:
        return ""
    return f"{record.missing_residues} of {len(record.sequence)} residues are missing"


def marks(record: Record) -> list[str]:
    """Return the flags of a target as text.

    "replicas disagree": ``disagreement`` is above 0.25. "replicas disagree in torsions": ``torsion_disagreement`` is
    above 0.35, so that the slowest motion was seen too few times. "collapsed": ``diversity_ratio`` is below 0.5 or
    ``effective_ratio`` below 0.25. (MD replicas that are too short reach 0.3 against each other.) Distances between
    ensembles penalise a collapsed ensemble only mildly. Missing residues, copies of conformations and unequal
    statistical weights are flags with their numbers. The notes of the record are flags, too.

    Args:
        record: The record of a target.
    """
    found = [*record.notes]
    if lacking := missing_residues(record):
        found.append(lacking)
    if record.duplicates:
        found.append(f"{record.duplicates} of {record.n_samples} conformations are copies")
    if record.effective_samples < record.n_samples:
        found.append(f"weighted ({record.effective_samples:.1f} effective samples of {record.n_samples})")
    if (share := disagreement(record)) > DISAGREEMENT:
        found.append(f"replicas disagree ({share:.2f})")
    if (apart := torsion_disagreement(record)) > TORSION_DISAGREEMENT:
        found.append(f"replicas disagree in torsions ({apart:.2f})")
    if (spread := diversity_ratio(record)) < COLLAPSED_DIVERSITY:
        found.append(f"collapsed (diversity {spread:.2f} of MD's)")
    elif (clusters := effective_ratio(record)) < COLLAPSED_CONFORMATIONS:
        found.append(f"collapsed (effective conformations {clusters:.2f} of MD's)")
    return found


def _ratio(record: Record, key: str) -> float:
    values = record.figures.values
    return values.get(key, math.nan) / (values.get(f"md_{key}", math.nan) or math.nan)
