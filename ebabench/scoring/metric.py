"""The definition of a family of metrics, and the registry of all families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ebabench.errors import InputError, RunError
from ebabench.scoring.pair import Pair
from ebabench.scoring.records import MetricValues
from ebabench.scoring.spec import MetricSpec, NotAvailable, Value
from ebabench.system.batching import is_out_of_memory
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

    Raises:
        InputError: The specs are no specs, or ``compute`` cannot be called (``metric.spec``).
    """

    name: str
    specs: tuple[MetricSpec, ...]
    compute: Callable[[Pair], Mapping[str, Value]]
    honours_weights: bool = False

    def __post_init__(self) -> None:
        specs = self.specs if isinstance(self.specs, tuple | list) else ()
        if not specs or not all(isinstance(spec, MetricSpec) for spec in specs) or not callable(self.compute):
            raise InputError(
                f"the metrics {self.name!r}: specs is a tuple of MetricSpecs, and compute a function",
                code="metric.spec",
                metric=self.name,
            )
        object.__setattr__(self, "specs", tuple(specs))


def _families() -> Mapping[str, str]:
    families: Mapping[str, str] = resolve("ebabench.metrics:FAMILIES")
    return families


def _metric(name: str, location: str) -> Metric:
    del name
    metric: Metric = resolve(location)
    return metric


def computed(metric: Metric, pair: Pair) -> MetricValues:
    """Return what a family of metrics says of a pair.

    Raises:
        InputError: The family refuses the pair.
        RunError: The family raises something else (``metric.failed``), or breaks its contract: it returns no mapping,
            leaves out a key that it promises, gives one that its specs do not name, or gives a value that is neither a
            number nor one number per atom or residue (``metric.value``).
    """
    try:
        given = metric.compute(pair)
    except (InputError, RunError):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        told = f"the metrics {metric.name!r} failed: {cause(error)}"
        raise RunError(told, code="metric.failed", metric=metric.name) from error
    try:
        return _checked(metric, given, pair)
    except RunError as error:
        raise RunError(f"the metrics {metric.name!r} {error}", code=error.code, **error.named) from error


def _checked(metric: Metric, given: Mapping[str, Value], pair: Pair) -> MetricValues:
    if not isinstance(given, Mapping):
        raise RunError(f"gave a {type(given).__name__}, and no mapping of keys to values", code="metric.value")
    if lacking := [spec.key for spec in metric.specs if not spec.of and spec.key not in given]:
        raise RunError(f"gave no {', '.join(lacking)}", code="metric.value")
    if more := [str(key) for key in given if key not in {spec.key for spec in metric.specs}]:
        raise RunError(f"gave {', '.join(sorted(more))}, which their specs do not name", code="metric.value")
    figures = MetricValues.of(given)
    atoms, residues = len(pair.atoms), len(pair.residue_index)
    for key, profile in figures.profiles.items():
        if len(profile) not in (atoms, residues, len(pair.ca)):
            told = f"gave {len(profile)} numbers as {key}: a profile has one per atom ({atoms}) or residue ({residues})"
            raise RunError(told, code="metric.value", key=key)
    return figures


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
            _checked(self.metric, values, pair)
            return values
        except RunError as error:
            reason = f"the plug-in {self.metric.name!r} {error}"
        except (Exception, SystemExit) as error:
            reason = f"the plug-in {self.metric.name!r} failed: {cause(error)}"
        return dict.fromkeys(asked, NotAvailable(reason))


def _fault(name: str, metric: Metric, others: Mapping[str, Metric]) -> InputError | None:
    """Why a family cannot stand beside others."""
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
