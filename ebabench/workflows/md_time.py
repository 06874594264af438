"""How many nanoseconds of molecular dynamics a run is worth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ebabench.datasets.suites import SUITES, load_suite
from ebabench.errors import InputError
from ebabench.results.md_equivalent import EquivalentTime, equivalent_time, headline, median_time
from ebabench.results.runs import Run
from ebabench.scoring.md_curve import md_curve
from ebabench.scoring.metric import Metric
from ebabench.scoring.pair import make_pair
from ebabench.scoring.records import Record
from ebabench.scoring.selection import select_metrics
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble, Reference
from ebabench.system.process_pool import workers
from ebabench.workflows.compare import as_run
from ebabench.workflows.plot import ensembles_of, references_of
from ebabench.workflows.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

PRIMARY = {
    "peptides": ("rmsf_mae", "md_pca_w2", "ramachandran_w2", "js_tic", "energy_js"),
    "": ("rmsf_mae", "md_pca_w2", "rmwd", "js_tic", "weak_contacts_j"),
}
"""Suite family -> the metrics of the headline, one per family of metrics, fixed before any run was looked at."""


@dataclass(frozen=True)
class MdTime:
    """How much MD a run is worth.

    Attributes:
        model: The run's model.
        headline: The median over the primary metrics.
        metrics: Key -> the median over targets.
        targets: Target -> key -> the time of that target.
        primary: The metrics of the headline.
    """

    model: str
    headline: EquivalentTime
    metrics: dict[str, EquivalentTime]
    targets: dict[str, dict[str, EquivalentTime]]
    primary: tuple[str, ...]

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
    suite scores some 80 windows per target; later calls read them from the cache.

    Args:
        run: A run on a suite, or its folder.
        metrics: Keys or families; the primary metrics of the suite's family by default.
        ensembles: The folder of the ensembles that were scored, where they were not sampled here.
        data: The folder of the references, where they are not embedded.
        jobs: How many processes; one per core by default.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: There is no such run, it is not a run of a suite, or the suite does not say how far apart in time
            its frames are.

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
    primary = PRIMARY.get(suite.family, PRIMARY[""])
    chosen = select_metrics([metrics] if isinstance(metrics, str) else metrics or primary)
    specs = [spec for spec in chosen.specs if not spec.of and spec.aggregate is not None]
    if made.identity.energy is None:
        specs = [spec for spec in specs if spec.needs != "energy"]
    families = [metric for metric in chosen.metrics if any(spec in specs for spec in metric.specs)]
    reference, ensemble = references_of(made, data), ensembles_of(made, ensembles)
    jobs_ = []
    for record in made.records():
        frame_ns = suite.frame_ns(record.target)
        if frame_ns is None:
            raise InputError(
                f"{suite.id} does not say how far apart its frames are", code="md_time.frames", suite=suite.id
            )
        if not record.error:
            jobs_.append(partial(_times, made, record, ensemble(record.target), reference, families, specs, frame_ns))
    targets: dict[str, dict[str, EquivalentTime]] = {}
    progress("windows of MD", 0, len(jobs_))
    with workers(jobs) as pool:
        for done, future in enumerate(as_completed([pool.submit(job) for job in jobs_]), 1):
            name, times = future.result()
            targets[name] = times
            progress("windows of MD", done, len(jobs_))
    targets = {name: targets[name] for name in made.identity.targets if name in targets}
    medians = {spec.key: median_time([times[spec.key] for times in targets.values()]) for spec in specs}
    shown = tuple(key for key in primary if key in medians)
    return MdTime(made.identity.model, headline([medians[key] for key in shown]), medians, targets, shown)


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
    curve = md_curve(pair, md, families, frame_ns)
    return record.target, {spec.key: equivalent_time(spec, record.figures, curve) for spec in specs}
