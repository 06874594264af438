"""Compare two runs, metric by metric."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.datasets.suites import SUITES, load_suite
from ebabench.results.claims import Correction
from ebabench.results.comparison import Difference, tests
from ebabench.results.comparison import compare as compare_runs
from ebabench.results.runs import Run
from ebabench.scoring.selection import select_metrics
from ebabench.scoring.spec import MetricSpec

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""In place of the names of metrics: all of them."""


def compare(
    a: Run | str | os.PathLike[str],
    b: Run | str | os.PathLike[str],
    *,
    metrics: Iterable[str] | str | None = None,
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
        metrics: Keys or families; by default the primary metrics of the suite, or all where it has none. ``"all"``
            stands for all. Name few: each one more costs power.
        seed: Seed of the bootstrap and of the permutations.
        correction: How p values are adjusted for the number of metrics.

    Raises:
        InputError: A folder holds no run, or the runs cannot be compared (``compare.mismatch``,
            ``compare.no_common_target``).

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
    a: Run, b: Run, metrics: Iterable[str] | str | None = None, seed: int = 0, correction: Correction = "holm"
) -> list[Difference]:
    """Return the paired differences between two runs by the metrics that ``compare`` takes. Raises InputError."""
    return compare_runs(a, b, _specs(a, metrics), seed, correction)


def primary_of(run: Run) -> tuple[str, ...]:
    """Return the primary metrics of a run's suite; empty where the suite is not here or has none."""
    known = run.identity.suite in SUITES
    return load_suite(run.identity.suite).primary if known else ()


def _specs(run: Run, metrics: Iterable[str] | str | None) -> list[MetricSpec]:
    asked = [metrics] if isinstance(metrics, str) else metrics
    if asked is None:
        asked = primary_of(run) or None
    elif ALL in (asked := list(asked)):
        asked = None
    return select_metrics(asked).specs


def as_run(run: Run | str | os.PathLike[str]) -> Run:
    """Return a run, read from its folder if it is one. Raises InputError."""
    return run if isinstance(run, Run) else Run.read(Path(run))
