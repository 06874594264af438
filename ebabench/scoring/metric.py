"""The definition of a family of metrics, and the registry of all families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ebabench.errors import InputError
from ebabench.scoring.pair import Pair
from ebabench.scoring.records import MetricValues
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.system.registry import Loaded, Registry, cause, resolve


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


METRICS: Registry[Metric] = Registry("metric", "ebabench.metrics", _families, _metric, Metric)
"""The families of metrics: ``ebabench.metrics.FAMILIES`` and the entry points of that name (``module:attribute``)."""


def load_metrics() -> Loaded[Metric]:
    """Return all families of metrics; a plug-in's that cannot be used is left out, and ``faults`` says why.

    A plug-in adds keys. One that uses a key of another family would replace that figure everywhere, and is left out.
    """
    own = _families()
    loaded = METRICS.load_all()
    things: dict[str, Metric] = {}
    faults = dict(loaded.faults)
    for name, metric in loaded.things.items():
        if fault := _fault(name, metric, things):
            if name in own:
                raise fault
            faults[name] = fault
        else:
            things[name] = metric if name in own else replace(metric, compute=Guarded(metric))
    return Loaded(things, faults)


@dataclass(frozen=True)
class Guarded:
    """What a plug-in computes. Where it raises or breaks its contract, its own figures are not available."""

    metric: Metric

    def __call__(self, pair: Pair) -> Mapping[str, Value]:
        """Return the figures of a pair; see ``Metric.compute``."""
        asked = [spec.key for spec in self.metric.specs if not spec.of]
        try:
            found = self.metric.compute(pair)
            values = {key: found[key] for key in asked}
            MetricValues.of(values)  # which refuses what is no number
            return values
        except (Exception, SystemExit) as error:
            reason = f"the plug-in {self.metric.name!r} failed: {cause(error)}"
            return dict.fromkeys(asked, NotAvailable(reason))


def _fault(name: str, metric: Metric, others: Mapping[str, Metric]) -> InputError | None:
    """Why a family cannot stand beside others."""
    if not all(isinstance(spec, MetricSpec) for spec in metric.specs) or not callable(metric.compute):
        return InputError(
            f"metric {name!r}: its specs are MetricSpecs and its compute is a function", code="plugin.type", name=name
        )
    keys = [spec.key for spec in metric.specs]
    taken = {spec.key: other for other, one in others.items() for spec in one.specs}
    clash = sorted({key for key in keys if key in taken} | {key for key in keys if keys.count(key) > 1})
    if not clash:
        return None
    return InputError(
        f"metric {name!r}: its key {clash[0]!r} is one of {taken.get(clash[0], name)!r} already: choose another",
        code="metric.key_taken",
        name=name,
        key=clash[0],
    )
