"""The definition of a family of metrics, and the registry of all families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ebabench.scoring.pair import Pair
from ebabench.scoring.spec import MetricSpec, Value
from ebabench.system.registry import Registry, resolve


@dataclass(frozen=True)
class Metric:
    """A family of numbers that are computed together.

    Attributes:
        name: Name of the family.
        specs: One description per number.
        compute: Returns a value for every spec without ``of``, by key, for one pair.
        honours_weights: True if ``compute`` uses ``Pair.weights``. Otherwise the family is not available for an
            ensemble with unequal statistical weights.
    """

    name: str
    specs: tuple[MetricSpec, ...]
    compute: Callable[[Pair], Mapping[str, Value]]
    honours_weights: bool = False


def _families() -> Mapping[str, str]:
    families: Mapping[str, str] = resolve("ebabench.metrics:FAMILIES")
    return families


def _metric(name: str, location: str) -> Metric:
    del name
    metric: Metric = resolve(location)
    return metric


METRICS: Registry[Metric] = Registry("metric", "ebabench.metrics", _families, _metric)
"""All families of metrics: ``ebabench.metrics.FAMILIES``, then the entry points of the group ``ebabench.metrics``."""
