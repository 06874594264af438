"""The error of a figure that comes from the finite MD: a block bootstrap of the reference over time and replicas.

Replicas are drawn with replacement, and each is made anew of blocks of consecutive frames of itself (Kuensch, Ann.
Stat. 17, 1217 (1989)). A block is at least two correlation times of the slowest torsion long, so that blocks are nearly
independent. The model stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ebabench.errors import InputError
from ebabench.scoring.convergence import slowest_torsion
from ebabench.scoring.metric import Metric
from ebabench.scoring.pair import make_pair
from ebabench.scoring.score import measure
from ebabench.structures import Ensemble, Reference

RESAMPLES = 30


def block_frames(reference: Reference) -> int:
    """Return the length of a block in frames: two correlation times of the slowest torsion, at most half a replica.

    Args:
        reference: The molecular dynamics.
    """
    slow, shortest = slowest_torsion(reference), min(len(frames) for frames in reference.replicas)
    frames = 1 if slow is None else int(np.ceil(2 * slow.frames))
    return max(1, min(frames, shortest // 2))


def resampled(reference: Reference, block: int, random: np.random.Generator) -> Reference:
    """Return a reference of as many replicas of the same lengths, drawn anew.

    Args:
        reference: The molecular dynamics.
        block: Frames of a block.
        random: Draws replicas and blocks.
    """
    replicas = []
    for wanted in (len(frames) for frames in reference.replicas):
        source = np.asarray(reference.replicas[random.integers(len(reference.replicas))][:])
        starts = random.integers(0, len(source) - block + 1, size=-(-wanted // block))
        inside = (starts[:, None] + np.arange(block)).ravel()[:wanted]
        replicas.append(source[inside])
    return Reference(reference.target, tuple(replicas), reference.tier)


def md_standard_errors(
    ensemble: Ensemble,
    reference: Reference,
    metrics: Sequence[Metric],
    protocol: str = "corrected",
    energy_protocol: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, float]:
    """Return the standard error of every number of an ensemble that comes from the finite MD, by key.

    It is the standard deviation over resampled references, times sqrt(K / (K - 1)) for K replicas: a bootstrap of K
    things has too small a variance by (K - 1) / K. The energy of a frame is computed once, however often it is drawn.

    Args:
        ensemble: The model's conformations.
        reference: The molecular dynamics, two replicas or more.
        metrics: Families of metrics.
        protocol: As for ``make_pair``.
        energy_protocol: As for ``make_pair``.
        resamples: How many references are drawn.
        seed: Seed of the draws.

    Raises:
        InputError: A single replica is left (``md_error.one_replica``).
    """
    counted = reference.without(ensemble.held_out)
    many = len(counted.replicas)
    if many < 2:
        raise InputError(
            f"{reference.target.name}: the error of one replica cannot be told", code="md_error.one_replica"
        )
    counted = Reference(counted.target, counted.replicas, counted.tier)
    model, block, random = replace(ensemble, held_out=()), block_frames(counted), np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        pair = make_pair(model, resampled(counted, block, random), protocol=protocol, energy_protocol=energy_protocol)
        for figures in measure(metrics, pair):
            for key, value in figures.values.items():
                found.setdefault(key, []).append(value)
    return {key: _spread(values) * np.sqrt(many / (many - 1)) for key, values in found.items()}


def _spread(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def within_error(value: float, floor: float, error: float) -> bool:
    """Return whether a figure and the noise floor are as near as the error of MD: the flag of a target's figure.

    Args:
        value: The figure.
        floor: The floor of the same target, mean over replicas.
        error: The standard error from the finite MD.
    """
    return abs(value - floor) <= 1.96 * error


def interval(value: float, error: float) -> tuple[float, float]:
    """Return the 95 % interval of a figure for the finite MD, of normal shape.

    Example:
        >>> interval(1.0, 0.5)
        (0.020000000000000018, 1.98)
    """
    return value - 1.96 * error, value + 1.96 * error


def mean_floor(floor: Sequence[Mapping[str, float]], key: str) -> float:
    """Return the mean over replicas of one number of the floor; NaN without."""
    known = [values[key] for values in floor if np.isfinite(values.get(key, np.nan))]
    return float(np.mean(known)) if known else float("nan")
