"""What is kept of the MD-vs-MD floor: it depends on the reference, not on the model, so it is computed once.

A floor is stored under a digest of all that it depends on: first in the package (the embedded suite's), then in the
user's cache.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from ebabench.physics.protocols import get_protocol
from ebabench.scoring.metric import Metric
from ebabench.scoring.records import MetricValues, figures_from, figures_to
from ebabench.system.cache import cache_dir
from ebabench.system.files import replace_file

_PACKAGED = Path(__file__).parents[1] / "datasets" / "peptides" / "floor"


def floor_key(reference: str, atoms: str, n_samples: int, metric: Metric, protocol: str, energy: str | None) -> str:
    """Digest of all that one family's floor depends on; ``reference`` and ``atoms`` are digests themselves.

    Raises InputError for an energy protocol that does not exist.
    """
    versions = {spec.key: spec.version for spec in metric.specs}
    physics = get_protocol(energy).key(get_protocol(energy).minimised) if energy else None
    text = json.dumps([reference, atoms, n_samples, metric.name, versions, protocol, physics], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def load_floor(key: str) -> tuple[MetricValues, ...] | None:
    """The floor stored under ``key``, one MetricValues a replica; None if there is none, or none that can be read."""
    for path in (_PACKAGED / f"{key}.json", cache_dir() / "floor" / f"{key}.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            return tuple(figures_from(item) for item in json.loads(path.read_text(encoding="utf-8")))
    return None


def store_floor(key: str, floor: tuple[MetricValues, ...]) -> None:
    """Keep a floor in the user's cache. A cache that cannot be written costs time, not the run: it is left alone."""
    path = cache_dir() / "floor" / f"{key}.json"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps([figures_to(figures) for figures in floor], sort_keys=True))
