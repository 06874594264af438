"""Which metrics are computed: all, or some by key, family or object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ebabench.errors import InputError, unknown
from ebabench.scoring.metric import Metric, load_metrics
from ebabench.scoring.spec import MetricSpec


@dataclass(frozen=True)
class Selection:
    """Metrics to compute, and which of their numbers were asked for.

    Attributes:
        metrics: Families. A family computes all its numbers at once.
        keys: The keys that were asked for.
        own: Names of families that are objects of the caller and not registered. Nothing of them is cached, since an
            object may change without a new name.
        faults: Why plug-ins are left out, one sentence each.
    """

    metrics: tuple[Metric, ...]
    keys: frozenset[str]
    own: frozenset[str] = frozenset()
    faults: tuple[str, ...] = ()

    @property
    def computed(self) -> list[MetricSpec]:
        """All specs of the families."""
        return [spec for metric in self.metrics for spec in metric.specs]

    @property
    def specs(self) -> list[MetricSpec]:
        """The specs that were asked for, in the order of the families."""
        return [spec for spec in self.computed if spec.key in self.keys]

    @property
    def per_target(self) -> list[MetricSpec]:
        """The specs that were asked for and have a number per target, with those that stand beside or behind them."""
        asked = {key for spec in self.specs for key in (spec.key, spec.reference_key, *spec.of)}
        return [spec for spec in self.computed if spec.key in asked and not spec.of]


def registered() -> list[Metric]:
    """Return all registered families of metrics, less plug-ins that cannot be used (``load_metrics``)."""
    return list(load_metrics().things.values())


def select_metrics(asked: Iterable[str | Metric] | str | Metric | None = None, *, energy: bool = True) -> Selection:
    """Return the metrics to compute.

    Args:
        asked: Keys (``rmsf_r``), families (``flexibility``) or ``Metric`` objects, or one of these; None
            for all registered ones.
        energy: False leaves out every metric that needs energies.

    Raises:
        InputError: There is no metric of a name (``unknown.metric``), or an object has the key or the name of another
            metric (``metric.duplicate``).
    """
    asked = [asked] if isinstance(asked, str | Metric) else asked
    loaded = load_metrics()
    known = list(loaded.things.values())
    families = {metric.name: metric for metric in known}
    of_key = {spec.key: (metric, spec) for metric in known for spec in metric.specs}
    chosen: dict[str, Metric] = {}
    keys: set[str] = set()
    own: set[str] = set()
    for one in families if asked is None else asked:
        if isinstance(one, Metric):
            if families.get(one.name) != one:
                _check_own(one, [*known, *(chosen[name] for name in own)])
                own.add(one.name)
            chosen[one.name] = one
            keys |= {spec.key for spec in one.specs}
        elif one in families:
            chosen[one] = families[one]
            keys |= {spec.key for spec in families[one].specs}
        elif one in of_key:
            metric, spec = of_key[one]
            chosen[metric.name] = metric
            keys.add(spec.key)
        else:
            raise unknown("metric", str(one), [*of_key, *families])
    if not energy:
        chosen = {name: metric for name, metric in chosen.items() if not _needs_energy(metric.specs)}
    if not chosen:
        raise InputError("no metric is left to compute", code="metric.none")
    faults = tuple(f"left out: {error}" for error in loaded.faults.values())
    return Selection(tuple(chosen.values()), frozenset(keys), frozenset(own), faults)


def _needs_energy(specs: Sequence[MetricSpec]) -> bool:
    return all(spec.needs == "energy" for spec in specs)


def _check_own(one: Metric, others: Sequence[Metric]) -> None:
    for other in others:
        if one.name == other.name:
            raise InputError(
                f"there is a metric {one.name!r} already; give yours another name",
                code="metric.duplicate",
                metric=one.name,
            )
        if twice := {spec.key for spec in one.specs} & {spec.key for spec in other.specs}:
            raise InputError(
                f"the metric {one.name!r} has the key {min(twice)!r}, which {other.name!r} has already",
                code="metric.duplicate",
                metric=one.name,
            )
