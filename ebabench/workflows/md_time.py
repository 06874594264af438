"""How many nanoseconds of molecular dynamics a run is worth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ebabench.datasets.md_speed import md_speeds
from ebabench.datasets.references import References
from ebabench.datasets.suites import SUITES, Suite, load_suite
from ebabench.errors import InputError, RunError
from ebabench.results.costs import RunCost, md_cost, run_cost
from ebabench.results.md_equivalent import EquivalentTime, equivalent_time
from ebabench.results.md_times import Times, headline_of, medians, write_times
from ebabench.results.runs import Run
from ebabench.results.worth import Price
from ebabench.scoring.md_curve import ErrorCurve, curve_key, joined_curves, load_curve, md_curve
from ebabench.scoring.metric import Metric
from ebabench.scoring.pair import make_pair
from ebabench.scoring.records import Record
from ebabench.scoring.score import subset
from ebabench.scoring.selection import select_metrics
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble, Reference
from ebabench.system.process_pool import workers
from ebabench.workflows.compare import as_run
from ebabench.workflows.plot import ensembles_of, references_of
from ebabench.workflows.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MdTime:
    """How much MD a run is worth.

    Attributes:
        model: The run's model.
        headline: The median over the primary metrics.
        metrics: Key -> the median over targets.
        targets: Target -> key -> the time of that target.
        primary: The metrics of the headline.
        cost: What sampling cost; None if it was not measured.
        price: What the conformations of a target cost, beside as much MD as the headline says; None if the speed of MD
            is not known.
    """

    model: str
    headline: EquivalentTime
    metrics: dict[str, EquivalentTime]
    targets: Times
    primary: tuple[str, ...]
    cost: RunCost | None = None
    price: Price | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric: nanoseconds, low, high, censored, n_targets, primary."""
        import pandas as pd

        rows = [
            {
                "metric": key,
                "nanoseconds": time.nanoseconds,
                "low": time.low,
                "high": time.high,
                "censored": time.censored,
                "n_targets": time.n_targets,
                "primary": key in self.primary,
            }
            for key, time in self.metrics.items()
        ]
        return pd.DataFrame(rows).set_index("metric")


def md_time(
    run: Run | str | os.PathLike[str],
    *,
    metrics: Iterable[str] | str | None = None,
    ensembles: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> MdTime:
    """Return the MD-equivalent time of a run: the length of MD that has the model's error.

    For every target, windows of the reference's own replicas are scored as a model is, at lengths from two frames to a
    whole replica. The model's error is inverted on that curve. Nothing is extrapolated: a time is marked ``at least``
    where the model is better than every window, ``at most`` where it is worse than every window. The first call for a
    suite scores some 80 windows per target; later calls read them from the cache. The curves of the embedded test
    suite are part of the package. The times are kept in the run folder, from where the leaderboard takes them. Beside
    them, in the manifest, stands what the suite's MD costs on this machine, where ebabench simulates it.

    Args:
        run: A run on a suite, or its folder.
        metrics: Keys or families; the suite's primary metrics by default.
        ensembles: The folder of the ensembles that were scored, where they were not sampled here.
        data: The folder of the references, where they are not embedded.
        jobs: How many processes; one per core by default.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: There is no such run, it is not a run of a suite, or the suite does not say how far apart in time
            its frames are.
        RunError: The times cannot be written.

    Example:
        >>> import ebabench
        >>> ebabench.md_time("runs/peptides-v1/eba-s5000-n250").to_frame()  # doctest: +SKIP
    """
    made = as_run(run)
    if made.identity.suite not in SUITES:
        raise InputError(
            f"{made.folder}: scored against {made.identity.suite}; the time between frames is known of suites only",
            code="md_time.no_suite",
            run=made.folder,
        )
    suite = load_suite(made.identity.suite)
    families, specs = _chosen(made, suite, metrics)
    reference, ensemble = references_of(made, data), ensembles_of(made, ensembles)
    tasks = [
        partial(
            _times, made, record, ensemble(record.target), reference, families, specs, _frame_ns(suite, record.target)
        )
        for record in made.records()
        if not record.error
    ]
    found: dict[str, dict[str, EquivalentTime]] = {}
    progress("windows of MD", 0, len(tasks))
    with workers(jobs) as pool:
        for done, future in enumerate(as_completed([pool.submit(task) for task in tasks]), 1):
            name, times = future.result()
            found[name] = times
            progress("windows of MD", done, len(tasks))
    return _kept(made, suite, {name: found[name] for name in made.identity.targets if name in found}, specs)


def md_time_if_stored(run: Run, suite: Suite, references: References) -> MdTime | None:
    """Return the MD-equivalent time by the primary metrics if all curves are stored, else None. No MD is scored.

    The times are kept in the run folder. A target of which the model lacks atoms, or has weighted conformations, has
    a curve of its own: ``md_time`` reads or makes it.

    Args:
        run: A scored run.
        suite: Its suite.
        references: The references that it was scored against.
    """
    records = [record for record in run.records() if not record.error]
    if not suite.primary or not records:
        return None
    families, specs = _chosen(run, suite, None)
    found = {}
    for record in records:
        whole = record.coverage == 1 and not record.effective_samples < record.n_samples
        frame_ns = suite.frame_ns(record.target)
        curve = _stored(run, record, references, families) if whole and frame_ns else None
        if curve is None:
            return None
        assert frame_ns is not None
        found[record.target] = {
            spec.key: equivalent_time(spec, record.figures, curve, frame_ns)
            for spec in specs
            if spec.key in record.metric_versions
        }
    return _kept(run, suite, found, specs)


def _stored(run: Run, record: Record, references: References, families: Sequence[Metric]) -> ErrorCurve | None:
    every = references.target(record.target).atoms
    atoms = subset(every, np.arange(len(every))).digest()
    about = run.identity.protocol, run.identity.energy
    curves = []
    for metric in families:
        key = curve_key(record.inputs.get("reference", ""), atoms, record.n_samples, metric, *about)
        if (curve := load_curve(key)) is None:
            return None
        curves.append(curve)
    return joined_curves(curves) if curves else None


def _chosen(run: Run, suite: Suite, metrics: Iterable[str] | str | None) -> tuple[list[Metric], list[MetricSpec]]:
    """The families to compute, and the metrics that have an error per target."""
    asked = [metrics] if isinstance(metrics, str) else metrics or suite.primary or None
    selection = select_metrics(asked)
    own = {spec.reference_key for spec in selection.computed}
    specs = [
        spec
        for spec in selection.specs
        if not spec.of and spec.aggregate is not None and spec.key not in own
        and (spec.better != "reference" or spec.reference_key)
        and (run.identity.energy is not None or spec.needs != "energy")
    ]  # fmt: skip
    return [metric for metric in selection.metrics if any(spec in specs for spec in metric.specs)], specs


def _frame_ns(suite: Suite, target: str) -> float:
    found = suite.frame_ns(target)
    if found is None:
        raise InputError(f"{suite.id} does not say how far apart its frames are", code="md_time.frames", suite=suite.id)
    return found


def _kept(run: Run, suite: Suite, times: Times, specs: Sequence[MetricSpec]) -> MdTime:
    try:
        write_times(run, times)
    except OSError as error:
        raise RunError(f"cannot write the times of {run.folder}: {error.strerror}", code="md_time.write") from error
    if not run.md_speeds:
        run.save_md_speeds(md_speeds(suite))
    of_metrics = medians(times)
    shown = {spec.key: of_metrics[spec.key] for spec in specs if spec.key in of_metrics}
    primary = tuple(key for key in suite.primary if key in shown) or tuple(shown)
    headline = headline_of(shown, primary)
    cost = run_cost(run.costs)
    return MdTime(run.identity.model, headline, shown, times, primary, cost, _price(run, headline, cost))


def _price(run: Run, time: EquivalentTime, cost: RunCost | None) -> Price | None:
    md = md_cost(run.md_speeds)
    if md is None or np.isnan(time.nanoseconds):
        return None
    if cost is None:
        return Price.of(time, md, 0, None, None, "")
    counts = {record.n_samples for record in run.records() if not record.error}
    samples = counts.pop() if len(counts) == 1 else 0
    return Price.of(time, md, samples, cost.seconds_per_sample, cost.processor_seconds_per_sample, cost.device)


def _times(
    run: Run,
    record: Record,
    ensemble: Ensemble,
    reference: Callable[[str], Reference],
    families: Sequence[Metric],
    specs: Sequence[MetricSpec],
    frame_ns: float,
) -> tuple[str, dict[str, EquivalentTime]]:
    """The times of one target."""
    md = reference(record.target)
    pair = make_pair(ensemble, md, protocol=run.identity.protocol, energy_protocol=run.identity.energy)
    curve = md_curve(pair, md, families)
    return record.target, {spec.key: equivalent_time(spec, record.figures, curve, frame_ns) for spec in specs}
