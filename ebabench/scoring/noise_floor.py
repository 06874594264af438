"""Cache of the MD-vs-MD noise floor. The floor depends only on the reference, so it is computed once and stored.

A floor is stored under a digest of all that it depends on. The package holds the floors of the embedded suite, the
user's cache all others. A file holds the digest of its content: a floor that was edited or damaged is computed again.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ebabench.physics.protocols import get_protocol
from ebabench.scoring.metric import Metric
from ebabench.scoring.records import MetricValues, figures_from, figures_to
from ebabench.system.cache import cache_dir, keep

_PACKAGED = Path(__file__).parents[1] / "datasets" / "peptides" / "floor"


def floor_key(reference: str, atoms: str, n_samples: int, metric: Metric, protocol: str, energy: str | None) -> str:
    """Return the digest of all that the floor of one family depends on.

    Args:
        reference: Digest of the reference (``reference_digest``).
        atoms: Digest of the atoms in common.
        n_samples: Number of samples of the model.
        metric: The family. Its name and the versions of its metrics count.
        protocol: How model and reference are paired.
        energy: Name of the energy protocol; None for none.

    Raises:
        InputError: There is no such energy protocol.
    """
    versions = {spec.key: spec.version for spec in metric.specs}
    physics = get_protocol(energy).key(get_protocol(energy).minimised) if energy else None
    text = json.dumps([reference, atoms, n_samples, metric.name, versions, protocol, physics], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def perfect_share(replicas: int) -> float:
    """Return the expected score of a perfect model over the floor, for a score that grows with the difference.

    A replica against the mean of K - 1 others differs by a variance of s^2 K / (K - 1), a perfect model against the
    mean of all K by s^2 / K, where s^2 is the variance of a replica. What comes from the finite number of conformations
    is not in it, so that it is a lower bound.

    Args:
        replicas: K, two or more.

    Example:
        >>> round(1 / perfect_share(3) ** 2, 6)
        4.5
    """
    return float((replicas - 1) ** 0.5 / replicas)


def load_floor(key: str) -> tuple[MetricValues, ...] | None:
    """Return the floor stored under ``key``, one MetricValues per replica; None if there is none that is intact."""
    for path in (_PACKAGED / f"{key}.json", cache_dir() / "floor" / f"{key}.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["sha256"] == _digest(kept["floor"]):
                return tuple(figures_from(item) for item in kept["floor"])
    return None


def store_floor(key: str, floor: tuple[MetricValues, ...]) -> None:
    """Store a floor, one MetricValues per replica, in the user's cache."""
    plain = [figures_to(figures) for figures in floor]
    text = json.dumps({"floor": plain, "sha256": _digest(plain)}, sort_keys=True)
    keep(cache_dir() / "floor" / f"{key}.json", text)


def _digest(floor: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(floor, sort_keys=True).encode()).hexdigest()
