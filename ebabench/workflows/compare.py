"""Compare two runs, metric by metric."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ebabench.datasets.suites import SUITES, load_suite
from ebabench.errors import InputError
from ebabench.results.aggregation import columns, sources
from ebabench.results.claims import Correction
from ebabench.results.comparison import Difference, tests
from ebabench.results.comparison import compare as compare_runs
from ebabench.results.runs import Run
from ebabench.scoring.metric import METRICS, Metric
from ebabench.scoring.selection import registered, select_metrics
from ebabench.scoring.spec import MetricSpec

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""In place of the names of metrics: all of them."""
_Metrics: TypeAlias = Iterable[str | Metric] | str | Metric


def compare(
    a: Run | str | os.PathLike[str],
    b: Run | str | os.PathLike[str],
    *,
    metrics: Iterable[str | Metric] | str | Metric | None = None,
    seed: int = 0,
    correction: Correction = "holm",
) -> pd.DataFrame:
    """Return the paired differences between two runs, a less b, one row per metric.

    Columns ``a`` and ``b`` are the aggregates over the targets that both runs have. ``low`` and ``high`` bound the 95 %
    interval of ``difference``. ``p`` is that of a permutation test, ``p_adjusted`` the same adjusted for the number of
    metrics that are tested together: ``attrs["tests"]`` of the table. ``winner`` is empty where the runs cannot be told
    apart. See ``ebabench.results.comparison.compare``.

    Args:
        a: A run, or its folder.
        b: Another run on the same suite, or its folder.
        metrics: Keys, families or ``Metric`` objects; by default the primary metrics of the suite, or all where it has
            none or the runs have none of them. ``"all"`` stands for all. Name few: each one more costs power. A metric
            of your own has a key as long as its run is that of this process; for runs read from folders, give the
            ``Metric``.
        seed: Seed of the bootstrap and of the permutations.
        correction: How p values are adjusted for the number of metrics.

    Raises:
        InputError: A folder holds no run, the runs cannot be compared (``compare.mismatch``,
            ``compare.no_common_target``), or a key is that of a metric that is not here (``compare.own_metric``).

    Example:
        >>> import ebabench, tempfile
        >>> options = {"samples": 5, "metrics": ["pairwise_rmsd"], "leaderboards": None, "jobs": 1}
        >>> names = ("static", "gaussian")
        >>> runs = [ebabench.run(name, "peptides-v1", out=tempfile.mkdtemp(), **options) for name in names]
        >>> table = ebabench.compare(*runs, metrics=["pairwise_rmsd_mae"])
        >>> int(table.loc["pairwise_rmsd_mae", "targets"])
        8
    """
    import pandas as pd

    found = differences(as_run(a), as_run(b), metrics, seed, correction)
    rows = [
        {
            "metric": one.spec.key,
            "a": one.a,
            "b": one.b,
            "difference": one.difference,
            "low": one.low,
            "high": one.high,
            "p": one.p,
            "p_adjusted": one.p_adjusted,
            "targets": one.n_targets,
            "unit": one.spec.unit,
            "better": one.spec.better,
            "winner": one.winner,
            "verdict": one.verdict,
        }
        for one in found
    ]
    table = pd.DataFrame(rows).set_index("metric")
    table.attrs |= {"tests": tests(found), "correction": correction}
    return table


def differences(
    a: Run, b: Run, metrics: _Metrics | None = None, seed: int = 0, correction: Correction = "holm"
) -> list[Difference]:
    """Return the paired differences between two runs by the metrics that ``compare`` takes. Raises InputError."""
    return compare_runs(a, b, _specs(a, b, metrics), seed, correction)


def primary_of(run: Run) -> tuple[str, ...]:
    """Return the primary metrics of a run's suite; empty where the suite is not here or has none."""
    known = run.identity.suite in SUITES
    return load_suite(run.identity.suite).primary if known else ()


def _specs(a: Run, b: Run, metrics: _Metrics | None) -> list[MetricSpec]:
    if metrics is None:
        primary = select_metrics(primary_of(a) or None).specs
        return _held(a, b, primary) or _held(a, b, [*select_metrics().specs, *_own(a, b).values()]) or primary
    asked = [metrics] if isinstance(metrics, str | Metric) else list(metrics)
    own = _own(a, b)
    if ALL in asked:
        return [*select_metrics().specs, *own.values()]
    others = [one for one in asked if one not in own]
    for one in others:
        _check_known(a, b, one)
    chosen = select_metrics(others).specs if others else []
    return [*chosen, *(own[one] for one in asked if isinstance(one, str) and one in own)]


def _own(a: Run, b: Run) -> dict[str, MetricSpec]:
    """The specs of metrics that are not registered, of runs that were scored in this process."""
    known = {spec.key for metric in registered() for spec in metric.specs}
    rows = [row for run in (a, b) if isinstance(run, Run) for row in run.rows]
    return {row.spec.key: row.spec for row in rows if row.spec.key not in known}


def _held(a: Run, b: Run, specs: Iterable[MetricSpec]) -> list[MetricSpec]:
    """The specs of which both runs have numbers."""
    records = [[record.figures for record in run.records()] for run in (a, b)]
    return [
        spec for spec in specs if all(any(columns(one, sources(spec)) is not None for one in side) for side in records)
    ]


def _check_known(a: Run, b: Run, key: str | Metric) -> None:
    """Raise InputError for a key of which the records have numbers, and nothing here says what they are."""
    names = {*METRICS, *(spec.key for metric in registered() for spec in metric.specs)}
    if isinstance(key, Metric) or key in names:
        return
    if all(any(key in record.metric_versions for record in run.records()) for run in (a, b)):
        raise InputError(
            f"{key!r} is a metric of your own, of which a run folder has the numbers only: give its Metric",
            code="compare.own_metric",
            metric=key,
        )


def as_run(run: Run | str | os.PathLike[str]) -> Run:
    """Return a run, read from its folder if it is one. Raises InputError."""
    return run if isinstance(run, Run) else Run.read(Path(run))
