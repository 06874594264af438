"""The error of molecular dynamics itself as a function of its length.

A window of one replica stands in for a model and is judged against the other replicas, exactly as the noise floor is.
The curve depends on the reference, the atoms, the number of samples and the metrics, never on a model. It is computed
once and stored, each family of metrics by itself. The package holds the curves of the embedded test suite, the user's
cache all others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ebabench.errors import InputError
from ebabench.scoring.metric import Metric
from ebabench.scoring.noise_floor import floor_key
from ebabench.scoring.pair import Pair, make_pair
from ebabench.scoring.records import MetricValues, figures_from, figures_to
from ebabench.scoring.reference_cache import reference_digest
from ebabench.scoring.score import measure, subset
from ebabench.structures import Ensemble, Reference
from ebabench.structures.arrays import evenly_spaced
from ebabench.system.cache import cache_dir, keep

_PACKAGED = Path(__file__).parents[1] / "datasets" / "peptides" / "md_curves"
VERSION = 2
LENGTHS = 8
WINDOWS = 4
"""At most so many windows of one length are taken from one replica."""


@dataclass(frozen=True)
class Window:
    """A piece of one replica.

    Attributes:
        replica: The number of the replica, from 1.
        start: Its first frame.
        frames: How many frames it spans.
    """

    replica: int
    start: int
    frames: int


@dataclass(frozen=True)
class ErrorCurve:
    """What the metrics say of windows of MD.

    Attributes:
        windows: The windows, by length.
        figures: For each window what the metrics say of it, judged against the other replicas.
    """

    windows: tuple[Window, ...]
    figures: tuple[MetricValues, ...]

    def lengths(self, frame_ns: float) -> tuple[float, ...]:
        """Return the lengths of the windows in nanoseconds, one per window. F frames span F times ``frame_ns``."""
        return tuple(window.frames * frame_ns for window in self.windows)


def plan_windows(lengths: Mapping[int, int]) -> tuple[Window, ...]:
    """Return windows whose lengths are evenly spaced in the logarithm, from two frames to a whole replica.

    Args:
        lengths: The frames of each replica, by its number.

    Returns:
        Windows that do not overlap within one length, spread evenly over each replica.

    Example:
        >>> [(w.start, w.frames) for w in plan_windows({1: 16})][-2:]
        [(0, 12), (0, 16)]
    """
    shortest = min(lengths.values())
    sizes = np.unique(np.geomspace(2, shortest, LENGTHS).round().astype(int))
    found = []
    for size in sizes:
        for replica, frames in lengths.items():
            starts = evenly_spaced(frames - int(size) + 1, min(WINDOWS, frames // int(size)))
            found += [Window(replica, int(start), int(size)) for start in starts]
    return tuple(found)


def md_curve(pair: Pair, reference: Reference, metrics: Sequence[Metric]) -> ErrorCurve:
    """Return the errors of windows of MD, from the store if they were computed before.

    Args:
        pair: A model beside the reference: its atoms, number of samples and protocols are those of the windows.
        reference: The molecular dynamics, two replicas or more.
        metrics: Families of metrics.

    Returns:
        The windows and their figures. A window of fewer frames than the model has samples is taken whole.

    Raises:
        InputError: The reference has a single replica.
    """
    if len(reference.replicas) < 2:
        raise InputError(
            f"{reference.target.name}: one replica has no others to judge its windows against",
            code="md_curve.one_replica",
            target=reference.target.name,
        )
    digest, atoms = reference_digest(reference), subset(reference.target.atoms, pair.in_reference).digest()
    keys = {
        metric.name: curve_key(digest, atoms, len(pair), metric, pair.protocol, pair.energy_protocol)
        for metric in metrics
    }
    found = {name: load_curve(key) for name, key in keys.items()}
    lacking = [metric for metric in metrics if found[metric.name] is None]
    if lacking:
        lengths = {number: len(frames) for number, frames in zip(reference.numbers, reference.replicas, strict=True)}
        windows = plan_windows(lengths)
        measured = [_measure(window, pair, reference, lacking) for window in windows]
        for metric, figures in zip(lacking, zip(*measured, strict=True), strict=True):
            found[metric.name] = curve = ErrorCurve(windows, figures)
            store_curve(keys[metric.name], curve)
    return joined_curves([curve for curve in found.values() if curve is not None])


def joined_curves(curves: Sequence[ErrorCurve]) -> ErrorCurve:
    """Return the curves of several families of one reference as one."""
    first, *others = curves
    figures = list(first.figures)
    for other in others:
        figures = [one.joined(more) for one, more in zip(figures, other.figures, strict=True)]
    return ErrorCurve(first.windows, tuple(figures))


def curve_key(reference: str, atoms: str, n_samples: int, metric: Metric, protocol: str, energy: str | None) -> str:
    """Return the digest of all that the curve of one family depends on. Arguments as for ``floor_key``."""
    physics = energy if any(spec.needs == "energy" for spec in metric.specs) else None
    same = floor_key(reference, atoms, n_samples, metric, protocol, physics)
    return hashlib.sha256(json.dumps([VERSION, LENGTHS, WINDOWS, same]).encode()).hexdigest()[:32]


def load_curve(key: str) -> ErrorCurve | None:
    """Return the curve stored under ``key``; None if there is none that is intact."""
    for path in (_PACKAGED / f"{key}.json", cache_dir() / "md_curves" / f"{key}.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept.pop("sha256") == _digest(kept):
                windows = tuple(Window(*one) for one in kept["windows"])
                return ErrorCurve(windows, tuple(figures_from(item) for item in kept["figures"]))
    return None


def store_curve(key: str, curve: ErrorCurve) -> None:
    """Store a curve in the user's cache."""
    plain = {
        "windows": [[window.replica, window.start, window.frames] for window in curve.windows],
        "figures": [figures_to(item) for item in curve.figures],
    }
    keep(cache_dir() / "md_curves" / f"{key}.json", json.dumps(plain | {"sha256": _digest(plain)}, sort_keys=True))


def _measure(window: Window, pair: Pair, reference: Reference, metrics: Sequence[Metric]) -> list[MetricValues]:
    replica = reference.replicas[reference.numbers.index(window.replica)]
    inside = evenly_spaced(window.frames, len(pair))
    model = Ensemble(
        reference.target.name,
        subset(reference.target.atoms, pair.in_reference),
        replica[window.start + inside][:, pair.in_reference],
        held_out=(window.replica,),
    )
    windowed = make_pair(
        model, reference, protocol=pair.protocol, energy_protocol=pair.energy_protocol, aligned=pair.aligned
    )
    # Profiles are not inverted, and would make the files ten times as large.
    return [MetricValues(found.values, {}, found.reasons) for found in measure(metrics, windowed)]


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
