"""Draw the targets of a run beside molecular dynamics."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ebabench.datasets.references import read_reference
from ebabench.datasets.suites import SUITES, load_suite, reference_reader
from ebabench.errors import InputError, unknown
from ebabench.io.structure_files import find_ensembles, load_ensemble, read_ensemble
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
    if not folder.is_dir():
        raise InputError(f"{folder} is not here: give its references as --data", code="plot.references", folder=folder)
    return partial(read_reference, folder, tier=run.identity.tier)


def ensembles_of(run: Run, folder: str | os.PathLike[str] | None) -> Callable[[str], Ensemble]:
    """Reads what was scored: ensembles of the run folder, or those of a folder that must hold the same files."""
    paths = {name: run.ensemble_path(name) for name in run.identity.targets}
    if folder is not None:
        found = find_ensembles(Path(folder))
        paths = {name: found[name] for name in paths if name in found}
        if files_digest(paths) != run.identity.ensembles:
            raise InputError(
                f"{folder}: not the ensembles that {run.folder} was made of", code="plot.ensembles", folder=folder
            )
    elif not any(path.exists() for path in paths.values()):
        raise InputError(
            f"{run.folder} was scored from files elsewhere: give their folder as --ensembles",
            code="plot.ensembles",
            run=run.folder,
        )
    read = load_ensemble if folder is None else read_ensemble
    return lambda name: read(paths[name], name)
