"""What a family of metrics is, for those who write one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ebabench.scoring.pair import Pair
from ebabench.scoring.spec import MetricSpec, Value
from ebabench.system.registry import Registry, resolve


@dataclass(frozen=True)
class Metric:
    """A family of numbers computed together. ``compute`` gives every per-target key of ``specs`` for one pair."""

    name: str
    specs: tuple[MetricSpec, ...]
    compute: Callable[[Pair], Mapping[str, Value]]


def _families() -> Mapping[str, str]:
    families: Mapping[str, str] = resolve("ebabench.metrics:FAMILIES")
    return families


def _metric(name: str, location: str) -> Metric:
    del name
    metric: Metric = resolve(location)
    return metric


METRICS: Registry[Metric] = Registry("metric", "ebabench.metrics", _families, _metric)
"""The families of metrics: ``ebabench.metrics.FAMILIES`` and the entry points of that name (``module:attribute``)."""
