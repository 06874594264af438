"""Build a site of leaderboards from run folders and published tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.errors import InputError, RunError
from ebabench.results.leaderboard import board_of, refusal
from ebabench.results.runs import Run
from ebabench.results.site import Site, SuiteSite, build_site
from ebabench.scoring.metric import METRICS
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble
from ebabench.workflows.progress import Progress, silent

Places = Iterable[str | os.PathLike[str]]


def site(
    sources: Places,
    out: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    command: str = "ebabench site",
    progress: Progress = silent,
) -> Site:
    """Build a static site of boards, models, targets and metrics.

    Args:
        sources: Run folders, folders of run folders, and leaderboard CSVs (``SUITE.csv``).
        out: The folder of the site; ``index.html`` in it is the first page.
        data: References in the ATLAS layout, where a suite's are not embedded. Without references there are no target
            pages.
        jobs: How many processes draw target pages; one per core by default.
        command: The command that made the site, shown on every page.
        progress: Called with what is done, how many pages are done, and of how many.

    Returns:
        The folder, how many pages it has, and which targets have none, with reasons.

    Raises:
        InputError: A source is none of these, or belongs to no suite.
        RunError: A page cannot be written.

    Example:
        >>> import ebabench
        >>> ebabench.site(["runs", "leaderboards/peptides-v1.csv"], out="site").pages  # doctest: +SKIP
    """
    runs, tables, left_out = _collect(sources)
    specs = [spec for name in METRICS for spec in METRICS.load(name).specs]
    suites = []
    for suite_id in sorted({*runs, *tables}):
        suite = load_suite(suite_id)
        ranked = []
        for run in runs.get(suite_id, ()):
            if why := refusal(run, suite):
                left_out[str(run.folder)] = why
            else:
                ranked.append(run)
        suites.append(_suite_site(suite, ranked, specs, tables.get(suite_id), data))
    if not suites:
        raise InputError("no run folder and no leaderboard was given that belongs to a suite", code="site.nothing")
    built = build_site(suites, Path(out), command, jobs, progress)
    return Site(built.folder, built.pages, {**left_out, **built.left_out})


def serve_site(folder: Path, port: int) -> None:
    """Serve a folder on 127.0.0.1 until the process is interrupted.

    Raises:
        RunError: The port is taken or not allowed.
    """
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(folder)))
    except (OSError, OverflowError) as error:
        raise RunError(f"cannot serve on port {port}: {error}; choose another with --port", code="site.port") from error
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def _collect(sources: Places) -> tuple[dict[str, list[Run]], dict[str, Path], dict[str, str]]:
    """Runs and tables by suite, and what was left out."""
    runs: dict[str, list[Run]] = {}
    tables: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for source in map(Path, sources):
        if source.is_file() and source.suffix.lower() == ".csv":
            tables[source.stem] = source
            continue
        manifests = sorted(source.rglob("manifest.json")) if source.is_dir() else []
        if not manifests:
            raise InputError(
                f"{source}: neither a run folder, nor a folder with some, nor a leaderboard's CSV",
                code="site.source",
                file=source,
            )
        for manifest in manifests:
            run = Run.read(manifest.parent)
            try:
                load_suite(run.identity.suite)
            except InputError:
                left_out[str(run.folder)] = (
                    f"scored against {run.identity.suite or run.identity.folder}, which is no suite"
                )
                continue
            runs.setdefault(run.identity.suite, []).append(run)
    return runs, tables, left_out


def _suite_site(
    suite: Suite,
    runs: Sequence[Run],
    specs: Sequence[MetricSpec],
    table: Path | None,
    data: str | os.PathLike[str] | None,
) -> SuiteSite:
    newest = {run.identity.model: run for run in sorted(runs, key=lambda run: run.started)}
    try:
        reference = reference_reader(suite, Path(data) if data is not None else None)
    except InputError:
        reference = None
    return SuiteSite(
        board_of(suite, runs, specs, table),
        suite.title,
        suite.samples,
        suite.family,
        newest,
        reference,
        partial(_ensemble, newest),
    )


def _ensemble(runs: dict[str, Run], model: str, target: str) -> Ensemble | None:
    return runs[model].load_ensemble(target)
