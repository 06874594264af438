"""Build the site: pages from boards and run folders, target pages in parallel."""

from __future__ import annotations

import gzip
import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ebabench.errors import InputError, RunError
from ebabench.results.flags import marks
from ebabench.results.leaderboard import Board
from ebabench.results.md_equivalent import error
from ebabench.results.md_errors import MdError, read_errors
from ebabench.results.pairs import Pairs, all_pairs, singly, too_few, wins
from ebabench.results.runs import Run
from ebabench.results.site.board import BoardView, board_view, shown_specs
from ebabench.results.site.costs import COST, COSTS
from ebabench.results.site.pages import Pages, slug
from ebabench.results.site.structure import conformations, shows_all_atoms
from ebabench.results.site.target import target_view
from ebabench.results.tables import targets_csv
from ebabench.scoring.md_bootstrap import interval, mean_floor, within_error
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble, Reference
from ebabench.system.process_pool import workers

_ASSETS = Path(__file__).parent / "assets"
_COPIED = ("site.css", "board.js", "copy.js", "viewer.js", "3Dmol-min.js", "3Dmol-LICENSE.txt")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SuiteSite:
    """What the site shows of one suite.

    Attributes:
        board: The rows as text.
        title: The suite's title.
        samples: Conformations per target.
        family: The suite's family.
        runs: Run folders by model name; those models have pages.
        reference: Reads the MD of a target; None where it is not here: there are then no target pages.
        ensemble: Reads a model's ensemble of a target: (model, target) -> Ensemble, or None where it is not here.
    """

    board: Board
    title: str
    samples: int
    family: str
    runs: Mapping[str, Run]
    reference: Callable[[str], Reference] | None
    ensemble: Callable[[str, str], Ensemble | None]


@dataclass(frozen=True)
class Site:
    """What was built.

    Attributes:
        folder: The site's folder, with ``index.html``.
        pages: How many pages.
        left_out: Target -> why it has no page.
    """

    folder: Path
    pages: int
    left_out: Mapping[str, str]


def build_site(
    suites: Sequence[SuiteSite],
    out: Path,
    command: str,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Site:
    """Write a static site that needs no server and no network.

    Args:
        suites: What is shown.
        out: The folder; pages that are there are replaced.
        command: The command that makes the site, shown on every page.
        processes: How many processes draw target pages; one per core by default.
        progress: Called with what is done, how many pages are done, and of how many.

    Returns:
        The folder, the number of pages, and the targets that have none.

    Raises:
        InputError: Two suites have one id.
        RunError: A file cannot be written.
    """
    ids = [suite.board.suite for suite in suites]
    if len(set(ids)) < len(ids):
        raise InputError("a site shows each suite once", code="site.suite_twice", suites=ids)
    pages = Pages(out, ids, command)
    try:
        for name in _COPIED:
            pages.write(f"assets/{name}", (_ASSETS / name).read_bytes())
        _metrics(pages, [spec for suite in suites for spec in suite.board.specs])
        with workers(processes) as pool:
            views = [_suite(pages, suite, pool) for suite in suites]
            pages.render("index.html.j2", "index.html", boards=views, here="")
            left_out = _targets(pages, suites, views, pool, progress)
    except OSError as error:
        raise RunError(
            f"cannot write {error.filename or out}: {error.strerror}; the same command builds the site again",
            code="site.write",
        ) from error
    return Site(out, pages.count, left_out)


def _metrics(pages: Pages, specs: Iterable[MetricSpec]) -> None:
    wanted = {spec.key: spec for spec in specs}
    families = [
        (name, [wanted[spec.key] for spec in METRICS.load(name).specs if spec.key in wanted]) for name in METRICS
    ]
    families = [(name, found) for name, found in families if found] + [(COST, list(COSTS))]
    pages.render("metrics.html.j2", "metrics/index.html", metrics=families, here="metrics")
    own = {spec.reference_key: spec.key for spec in wanted.values() if spec.reference_key}
    for family, found in families:
        for spec in found:
            pages.render(
                "metric.html.j2",
                f"metrics/{slug(spec.key)}.html",
                spec=spec,
                family=family,
                own_of=own.get(spec.key),
                here="metrics",
            )


def _suite(pages: Pages, suite: SuiteSite, pool: Executor) -> BoardView:
    pairs = all_pairs(suite.runs, shown_specs(suite.board, suite.family), pool)
    view = board_view(suite.board, suite.title, suite.samples, suite.family, suite.runs, pairs)
    where = slug(view.suite)
    targets = sorted({target for run in suite.runs.values() for target in run.identity.targets})
    pages.render(
        "board.html.j2",
        f"{where}/index.html",
        board=view,
        families=list(dict.fromkeys(column.family for column in view.columns)),
        overlaps=sorted({row.overlap for row in view.rows if row.overlap}),
        model_families=sorted({row.family for row in view.rows if row.family}),
        atoms=sorted({row.atoms for row in view.rows if row.atoms}),
        measured=not view.unmeasured,
        axes=view.axes,
        quoted_columns=view.quoted_columns,
        floors=[(column.spec.key, column.family, column.visible, column.floor) for column in view.columns],
        mds=[(column.spec.key, column.family, column.visible, column.md) for column in view.columns],
        targets=targets if suite.reference else [],
        here=view.suite,
    )
    pages.write(f"{where}/board.csv", suite.board.to_csv())
    records = {name: run.records() for name, run in suite.runs.items()}
    for name, own in records.items():
        _model(pages, suite, view, name, own, pairs)
    for target in targets if suite.reference else ():
        found = {
            name: record
            for name, own in records.items()
            for record in own
            if record.target == target and not record.error
        }
        if found:
            pages.render(
                "all_models.html.j2",
                f"{where}/targets/{slug(target)}.html",
                target=target,
                sequence=next(iter(found.values())).sequence,
                rows=[(name, record.figures.values) for name, record in found.items()],
                shown=view.shown,
                here=view.suite,
            )
    return view


def _model(
    pages: Pages,
    suite: SuiteSite,
    view: BoardView,
    name: str,
    records: Sequence[Record],
    pairs: Pairs,
) -> None:
    row = next(row for row in view.rows if row.name == name and row.paged)
    order = view.shown[0]
    where = f"{slug(view.suite)}/{slug(name)}"

    def loss(record: Record) -> float:
        found = error(order, record.figures)
        return math.inf if math.isnan(found) else found

    pages.render(
        "model.html.j2",
        f"{where}/index.html",
        board=view,
        row=row,
        quoted_name=shlex.quote(name),
        python_name=repr(name),
        python_suite=repr(view.suite),
        card=suite.runs[name].identity.card or None,
        order=order,
        shown=view.shown,
        targets=[
            {
                "name": record.target,
                "length": len(record.sequence),
                "figures": record.figures.values,
                "marks": marks(record),
                "error": record.error,
                "paged": suite.reference is not None and not record.error,
            }
            for record in sorted(records, key=loss)
        ],
        singly=singly,
        wins=wins,
        unable=too_few(next((found for other in suite.runs if (found := pairs.between(name, other))), ())),
        comparisons=[(other, found) for other in suite.runs if (found := pairs.between(name, other))],
        here=view.suite,
    )
    specs = list(suite.board.specs)
    pages.write(f"{where}/targets.csv", targets_csv(records, specs))
    pages.write(f"{where}/summary.json", json.dumps(view.figures(row), indent=1, allow_nan=False) + "\n")
    pages.write(f"{where}/records.json.gz", _compressed(records))


def _compressed(records: Sequence[Record]) -> bytes:
    """Return records as compressed JSON, with the same bytes for the same records.

    The floor is without profiles: they are the same for all models of a target, and longer than all else together.
    """
    slim = [replace(record, floor=tuple(replace(one, profiles={}) for one in record.floor)) for record in records]
    text = "[" + ",".join(record.to_json().strip() for record in slim) + "]\n"
    return gzip.compress(text.encode(), mtime=0)


def _targets(
    pages: Pages,
    suites: Sequence[SuiteSite],
    views: Sequence[BoardView],
    pool: Executor,
    progress: Progress | None,
) -> dict[str, str]:
    jobs = []
    for suite, view in zip(suites, views, strict=True):
        if suite.reference is None:
            continue
        scored = {
            name: {record.target: record for record in run.records() if not record.error}
            for name, run in suite.runs.items()
        }
        errors = {name: read_errors(run) for name, run in suite.runs.items()}
        for target in sorted({target for own in scored.values() for target in own}):
            models = {name: own[target] for name, own in scored.items() if target in own}
            of_md = {name: own[target] for name, own in errors.items() if target in own}
            jobs.append(
                partial(_target_pages, pages.out, pages.suites, pages.command, suite, view, target, models, of_md)
            )
    left_out: dict[str, str] = {}
    for done, future in enumerate(as_completed([pool.submit(job) for job in jobs]), 1):
        count, reasons = future.result()
        pages.count += count
        left_out |= reasons
        if progress is not None:
            progress("target pages", done, len(jobs))
    return left_out


def _target_pages(
    out: Path,
    suites: Sequence[str],
    command: str,
    suite: SuiteSite,
    view: BoardView,
    target: str,
    models: Mapping[str, Record],
    errors: Mapping[str, MdError],
) -> tuple[int, dict[str, str]]:
    """The pages of all models on one target: its MD is read and superposed once."""
    pages = Pages(out, suites, command)
    assert suite.reference is not None
    reasons: dict[str, str] = {}
    aligned, md, most = None, None, 0
    where = slug(view.suite)
    try:
        reference = suite.reference(target)
    except InputError as error:
        return 0, {f"{view.suite}/{target}": str(error)}
    for model, record in models.items():
        run = suite.runs[model]
        try:
            ensemble = suite.ensemble(model, target)
            if ensemble is None:
                raise InputError(f"{model}: the ensemble of {target} is not in its run folder", code="site.no_ensemble")
            pair = make_pair(
                ensemble,
                reference,
                protocol=run.identity.protocol,
                energy_protocol=run.identity.energy,
                aligned=aligned,
            )
            aligned = pair.aligned
            shown = target_view(pair, model)
        except InputError as error:
            reasons[f"{view.suite}/{model}/{target}"] = str(error)
            continue
        numbers = (pair.residue_index[pair.atoms.residue[pair.ca]] + 1).tolist()
        if md is None or len(pair.atoms) > most:  # of MD, the most atoms that any model has
            most, md = len(pair.atoms), conformations(pair, np.asarray(pair.md(pair.md_draw)))
            pages.write(f"{where}/targets/{slug(target)}.md.js", f"window.mdSide = {json.dumps(asdict(md))};\n")
        pages.render(
            "target.html.j2",
            f"{where}/{slug(model)}/{slug(target)}.html",
            target=target,
            model=model,
            record=record,
            marks=marks(record),
            view=shown,
            md_count=md.count,
            all_atoms=shows_all_atoms(pair),
            columns=view.columns,
            floor=partial(mean_floor, [one.values for one in record.floor]),
            md_error=errors.get(model),
            open_by_md=_open_by_md(record, errors[model].errors) if model in errors else {},
            side=asdict(shown.model) | {"numbers": numbers, "fluctuation": shown.fluctuation},
            here=view.suite,
        )
    return pages.count, reasons


def _open_by_md(record: Record, errors: Mapping[str, float]) -> dict[str, tuple[float, float, bool]]:
    """The interval of each figure for the finite MD, and whether it reaches the floor."""
    floor = [one.values for one in record.floor]
    return {
        key: (*interval(value, errors[key]), within_error(value, mean_floor(floor, key), errors[key]))
        for key, value in record.figures.values.items()
        if key in errors
    }
