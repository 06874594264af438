"""Compare two runs, metric by metric."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.results.claims import Correction
from ebabench.results.comparison import Difference
from ebabench.results.comparison import compare as compare_runs
from ebabench.results.runs import Run
from ebabench.scoring.selection import select_metrics

if TYPE_CHECKING:
    import pandas as pd


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
    metrics. ``winner`` is empty where the runs cannot be told apart. See ``ebabench.results.comparison.compare``.

    Args:
        a: A run, or its folder.
        b: Another run on the same suite, or its folder.
        metrics: Keys or families; all by default. Name few: each one more costs power.
        seed: Seed of the bootstrap and of the permutations.
        correction: How p values are adjusted for the number of metrics.

    Raises:
        InputError: A folder holds no run, or the runs cannot be compared (``compare.mismatch``,
            ``compare.no_common_target``).

    Example:
        >>> import ebabench, tempfile
        >>> options = {"samples": 5, "metrics": ["pairwise_rmsd"], "leaderboards": None, "jobs": 1}
        >>> runs = [ebabench.run(name, out=tempfile.mkdtemp(), **options) for name in ("static", "gaussian")]
        >>> table = ebabench.compare(*runs, metrics=["pairwise_rmsd_mae"])
        >>> int(table.loc["pairwise_rmsd_mae", "targets"])
        8
    """
    import pandas as pd

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
        for one in differences(as_run(a), as_run(b), metrics, seed, correction)
    ]
    return pd.DataFrame(rows).set_index("metric")


def differences(
    a: Run, b: Run, metrics: Iterable[str] | str | None = None, seed: int = 0, correction: Correction = "holm"
) -> list[Difference]:
    """Return the paired differences between two runs. Raises InputError."""
    specs = select_metrics([metrics] if isinstance(metrics, str) else metrics).specs
    return compare_runs(a, b, specs, seed, correction)


def as_run(run: Run | str | os.PathLike[str]) -> Run:
    """Return a run, read from its folder if it is one. Raises InputError."""
    return run if isinstance(run, Run) else Run.read(Path(run))
