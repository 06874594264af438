"""Draw the targets of a run beside molecular dynamics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ebabench.datasets.reference_layouts import find_references
from ebabench.datasets.suites import SUITES, load_suite, reference_reader
from ebabench.errors import InputError, unknown
from ebabench.io.layouts import find_sources, read_source
from ebabench.io.structure_files import load_ensemble
from ebabench.results.identity import files_digest
from ebabench.results.plots import plot_run
from ebabench.results.runs import Run
from ebabench.structures import Ensemble, Reference
from ebabench.workflows.compare import as_run
from ebabench.workflows.progress import Progress, silent


def plot(
    run: Run | str | os.PathLike[str],
    *,
    targets: Sequence[str] = (),
    ensembles: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Draw the targets of a run beside MD, write conformations of both for viewers, and return the pictures' paths.

    Args:
        run: A run, or its folder.
        targets: Names; all scored targets by default.
        ensembles: The folder of the ensembles that were scored, where they were not sampled here.
        data: The folder of the references, where they are not embedded.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: There is no such run or target, or an ensemble or a reference cannot be read.
        RunError: A file cannot be written.

    Example:
        >>> import ebabench, tempfile
        >>> options = {"targets": ["IDRH"], "samples": 5, "metrics": ["rmsf_r"], "leaderboards": None, "jobs": 1}
        >>> run = ebabench.run("gaussian", out=tempfile.mkdtemp(), **options)
        >>> [picture.name for picture in ebabench.plot(run)]
        ['IDRH.png']
    """
    made = as_run(run)
    for name in targets:
        if name not in made.identity.targets:
            raise unknown("target", name, made.identity.targets)
    records = [
        record for record in made.records() if record.error is None and (not targets or record.target in targets)
    ]
    if not records:
        raise InputError(
            f"{made.folder}: no target {'of these ' if targets else ''}is scored, so there is nothing to draw",
            code="plot.nothing",
            run=made.folder,
        )
    pictures: list[Path] = []
    progress("drawing", 0, len(records))
    for picture in plot_run(made, records, references_of(made, data), ensembles_of(made, ensembles)):
        pictures.append(picture)
        progress("drawing", len(pictures), len(records))
    return pictures


def references_of(run: Run, data: str | os.PathLike[str] | None) -> Callable[[str], Reference]:
    """Reads what the run was scored against: its suite, or the folder that was given as ``--reference``."""
    if run.identity.suite in SUITES:
        return reference_reader(load_suite(run.identity.suite), Path(data) if data is not None else None)
    folder = Path(data or run.identity.folder or run.identity.suite)
    if not folder.exists():
        raise InputError(f"{folder} is not here: give its references as --data", code="plot.references", folder=folder)
    return find_references(folder, **run.identity.reading)


def ensembles_of(run: Run, folder: str | os.PathLike[str] | None) -> Callable[[str], Ensemble]:
    """Return what reads the ensembles that were scored: of the run folder, or of a folder with the same files."""
    if folder is not None:
        sources = find_sources(Path(folder), {record.target: record.sequence for record in run.records()}).sources
        if files_digest({name: source.files for name, source in sources.items()}) != run.identity.ensembles:
            raise InputError(
                f"{folder}: not the ensembles that {run.folder} was made of", code="plot.ensembles", folder=folder
            )
        how = {key: value for key, value in run.identity.reading.items() if key != "temperature"}
        return lambda name: read_source(sources[name], name, **how)
    if not any(run.ensemble_path(name).exists() for name in run.identity.targets):
        raise InputError(
            f"{run.folder} was scored from files elsewhere: give their folder as --ensembles",
            code="plot.ensembles",
            run=run.folder,
        )
    return lambda name: load_ensemble(run.ensemble_path(name), name)
