"""How much of a run's figures is open because the MD is finite."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from functools import partial
from typing import TYPE_CHECKING

from ebabench.datasets.suites import SUITES, load_suite
from ebabench.errors import RunError
from ebabench.results.md_errors import MdError, write_errors
from ebabench.results.runs import Run
from ebabench.scoring.convergence import slowest_torsion
from ebabench.scoring.md_bootstrap import RESAMPLES, interval, md_standard_errors, mean_floor, within_error
from ebabench.scoring.metric import Metric
from ebabench.scoring.records import Record
from ebabench.scoring.score import single_threaded_libraries
from ebabench.scoring.selection import select_metrics
from ebabench.structures import Ensemble, Reference
from ebabench.system.process_pool import workers
from ebabench.workflows.compare import as_run, primary_of
from ebabench.workflows.plot import ensembles_of, references_of
from ebabench.workflows.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd


def md_error(
    run: Run | str | os.PathLike[str],
    *,
    metrics: Iterable[str] | str | None = None,
    ensembles: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    resamples: int = RESAMPLES,
    jobs: int | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the 95 % interval of each target's figures that comes from the finite MD, one row per target and metric.

    The reference is resampled in blocks over time and replicas, and the ensemble is scored against each resample
    (``ebabench.scoring.md_bootstrap``). ``within`` says whether the interval reaches the noise floor: such a target
    does not tell whether the model is better or worse than one more replica. ``independent_samples`` is the length of
    the reference over twice the correlation time of its slowest torsion. The errors are kept in the run folder.

    Args:
        run: A run, or its folder.
        metrics: Keys or families; the suite's primary metrics by default. Those of energy need the energies of nearly
            all frames of the reference: the first call computes and stores them.
        ensembles: The folder of the ensembles that were scored, where they were not sampled here.
        data: The folder of the references, where they are not embedded.
        resamples: How many references are drawn.
        jobs: How many processes; one per core by default.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: There is no such run, its ensembles or references are not here, or a reference has one replica.
        RunError: The errors cannot be written.

    Example:
        >>> import ebabench, tempfile
        >>> options = {"targets": ["IDRH"], "samples": 20, "metrics": ["distances"], "leaderboards": None, "jobs": 1}
        >>> run = ebabench.run("gaussian", out=tempfile.mkdtemp(), **options)
        >>> table = ebabench.md_error(run, metrics=["distance_rmsf_mae"], resamples=3, jobs=1)
        >>> bool(table.loc[("IDRH", "distance_rmsf_mae"), "error"] > 0)
        True
    """
    import pandas as pd

    made = as_run(run)
    selection = select_metrics(metrics or primary_of(made) or None)
    specs = [
        spec for spec in selection.specs
        if not spec.of and (spec.needs != "energy" or made.identity.energy is not None)
    ]  # fmt: skip
    families = [metric for metric in selection.metrics if any(spec in specs for spec in metric.specs)]
    reference, ensemble = references_of(made, data), ensembles_of(made, ensembles)
    records = {record.target: record for record in made.records() if not record.error}
    tasks = [
        partial(_errors, made, record, ensemble(name), reference, families, resamples)
        for name, record in records.items()
    ]
    found: dict[str, MdError] = {}
    progress("resampled MD", 0, len(tasks))
    with workers(jobs) as pool:
        for done, future in enumerate(as_completed([pool.submit(task) for task in tasks]), 1):
            name, one = future.result()
            found[name] = one
            progress("resampled MD", done, len(tasks))
    try:
        write_errors(made, {name: found[name] for name in records})
    except OSError as fault:
        raise RunError(f"cannot write the errors of {made.folder}: {fault.strerror}", code="md_error.write") from fault
    rows = []
    for name, record in records.items():
        for spec in specs:
            if spec.key in record.figures.values and spec.key in found[name].errors:
                value, error = record.figures.values[spec.key], found[name].errors[spec.key]
                floor = mean_floor([one.values for one in record.floor], spec.key)
                low, high = interval(value, error)
                rows.append(
                    {"target": name, "metric": spec.key, "value": value, "error": error, "low": low, "high": high,
                     "floor": floor, "within": within_error(value, floor, error),
                     "independent_samples": found[name].independent_samples}
                )  # fmt: skip
    return pd.DataFrame(rows).set_index(["target", "metric"])


def _errors(
    run: Run,
    record: Record,
    ensemble: Ensemble,
    reference: Callable[[str], Reference],
    families: Sequence[Metric],
    resamples: int,
) -> tuple[str, MdError]:
    md = reference(record.target)
    with single_threaded_libraries():
        errors = md_standard_errors(
            ensemble, md, families, run.identity.protocol, run.identity.energy, resamples=resamples
        )
    slow = slowest_torsion(md)
    if slow is None:
        return record.target, MdError(errors)
    known = run.identity.suite in SUITES
    frame_ns = load_suite(run.identity.suite).frame_ns(record.target) if known else None
    time = float("nan") if frame_ns is None else frame_ns * slow.frames
    return record.target, MdError(errors, slow.torsion, time, slow.samples)
