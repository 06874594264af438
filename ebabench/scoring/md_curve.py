"""The error of molecular dynamics itself as a function of its length.

A window of one replica stands in for a model and is judged against the other replicas, exactly as the noise floor is.
The curve depends on the reference, the atoms, the number of samples and the metrics, never on a model. It is computed
once and stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from ebabench.errors import InputError
from ebabench.scoring.metric import Metric
from ebabench.scoring.pair import Pair, make_pair
from ebabench.scoring.records import MetricValues, figures_from, figures_to
from ebabench.scoring.reference_cache import reference_digest
from ebabench.scoring.score import measure, subset
from ebabench.structures import Ensemble, Reference
from ebabench.system.cache import cache_dir
from ebabench.system.files import replace_file

VERSION = 1
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
        frame_ns: The time between two frames, in nanoseconds.
        windows: The windows, by length.
        figures: For each window what the metrics say of it, judged against the other replicas.
    """

    frame_ns: float
    windows: tuple[Window, ...]
    figures: tuple[MetricValues, ...]

    def lengths(self) -> tuple[float, ...]:
        """Return the lengths of the windows in nanoseconds, one per window. F frames span F frame times."""
        return tuple(window.frames * self.frame_ns for window in self.windows)


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
            count = min(WINDOWS, frames // int(size))
            starts = np.linspace(0, frames - size, count).round().astype(int)
            found += [Window(replica, int(start), int(size)) for start in starts]
    return tuple(found)


def md_curve(pair: Pair, reference: Reference, metrics: Sequence[Metric], frame_ns: float) -> ErrorCurve:
    """Return the errors of windows of MD, from the store if they were computed before.

    Args:
        pair: A model beside the reference: its atoms, number of samples and protocols are those of the windows.
        reference: The molecular dynamics, two replicas or more.
        metrics: Families of metrics.
        frame_ns: The time between two frames, in nanoseconds.

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
    lengths = {number: len(frames) for number, frames in zip(reference.numbers, reference.replicas, strict=True)}
    windows = plan_windows(lengths)
    key = _key(pair, reference, metrics, windows)
    figures = _load(key, len(windows))
    if figures is None:
        figures = tuple(_measure(window, pair, reference, metrics) for window in windows)
        _store(key, figures)
    return ErrorCurve(frame_ns, windows, figures)


def _measure(window: Window, pair: Pair, reference: Reference, metrics: Sequence[Metric]) -> MetricValues:
    replica = reference.replicas[reference.numbers.index(window.replica)]
    inside = np.linspace(0, window.frames - 1, min(len(pair), window.frames)).round().astype(np.int64)
    model = Ensemble(
        reference.target.name,
        subset(reference.target.atoms, pair.in_reference),
        replica[window.start + inside][:, pair.in_reference],
        held_out=(window.replica,),
    )
    windowed = make_pair(
        model, reference, protocol=pair.protocol, energy_protocol=pair.energy_protocol, aligned=pair.aligned
    )
    joined = MetricValues()
    for figures in measure(metrics, windowed):
        joined = joined.joined(figures)
    return MetricValues(joined.values, {}, joined.reasons)


def _key(pair: Pair, reference: Reference, metrics: Sequence[Metric], windows: Sequence[Window]) -> str:
    versions = {spec.key: spec.version for metric in metrics for spec in metric.specs}
    atoms = subset(reference.target.atoms, pair.in_reference).digest()
    about = [VERSION, reference_digest(reference), atoms, len(pair), versions, pair.protocol, pair.energy_protocol]
    planned = [[window.replica, window.start, window.frames] for window in windows]
    return hashlib.sha256(json.dumps([*about, planned], sort_keys=True).encode()).hexdigest()[:32]


def _load(key: str, count: int) -> tuple[MetricValues, ...] | None:
    packaged = Path(str(resources.files("ebabench.datasets"))) / "peptides" / "md_curves"
    for path in (packaged / f"{key}.json", cache_dir() / "md_curves" / f"{key}.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            found = tuple(figures_from(item) for item in json.loads(path.read_text(encoding="utf-8")))
            if len(found) == count:
                return found
    return None


def _store(key: str, figures: Sequence[MetricValues]) -> None:
    path = cache_dir() / "md_curves" / f"{key}.json"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps([figures_to(item) for item in figures], sort_keys=True))
