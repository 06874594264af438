"""Build the site: pages from boards and run folders, target pages in parallel."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ebabench.errors import InputError, RunError
from ebabench.results.comparison import compare
from ebabench.results.flags import marks
from ebabench.results.leaderboard import Board, best, short
from ebabench.results.runs import Run
from ebabench.results.site.board import BoardView, board_view
from ebabench.results.site.target import target_view
from ebabench.results.tables import targets_csv
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble, Reference
from ebabench.system.files import replace_file
from ebabench.system.process_pool import workers

_HERE = Path(__file__).parent
_ASSETS = ("site.css", "board.js", "viewer.js", "3Dmol-min.js", "3Dmol-LICENSE.txt")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_DOI = re.compile(r"\bdoi:(10\.\S+)", re.IGNORECASE)

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
    pages = _Pages(out, ids, command)
    try:
        for name in _ASSETS:
            pages.write(f"assets/{name}", (_HERE / "assets" / name).read_bytes())
        _metrics(pages, [spec for suite in suites for spec in suite.board.specs])
        views = [_suite(pages, suite) for suite in suites]
        pages.render("index.html.j2", "index.html", boards=views, here="")
        left_out = _targets(pages, suites, views, processes, progress)
    except OSError as error:
        raise RunError(
            f"cannot write {error.filename or out}: {error.strerror}; the same command builds the site again",
            code="site.write",
        ) from error
    return Site(out, pages.count, left_out)


def slug(name: str) -> str:
    """Return a name as a part of a path: letters, digits, dots, dashes; anything else as its code.

    Example:
        >>> slug("AlphaFlow-MD, distilled/2")
        'AlphaFlow-MD_2c_20distilled_2f2'
    """
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else f"_{ord(c):x}" for c in name)
    return f"_{safe}" if safe.startswith(".") or not safe else safe


def link(text: str) -> str:
    """Return the address that a source names, or nothing: an http address, an arXiv number or a DOI.

    Example:
        >>> link("Lu et al., ICML 2025, arXiv:2505.24203")
        'https://arxiv.org/abs/2505.24203'
        >>> link("javascript:alert(1)")
        ''
    """
    if found := _ARXIV.search(text):
        return f"https://arxiv.org/abs/{found[1]}"
    if found := _DOI.search(text):
        return f"https://doi.org/{found[1].rstrip('.,;)')}"
    return text if re.fullmatch(r"https?://[^\s\"'<>]+", text) else ""


class _Pages:
    """Renders templates to files and counts them."""

    def __init__(self, out: Path, suites: Sequence[str], command: str) -> None:
        self.out, self.count = out, 0
        self._suites, self._command = suites, command
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            short=short,
            slug=slug,
            link=link,
            best=best,
            number=_number,
            nan=math.nan,
            version=metadata.version("ebabench"),
        )

    def render(self, template: str, path: str, **content: Any) -> None:
        text = self._templates.get_template(template).render(
            root="../" * path.count("/"), suites=self._suites, command=self._command, **content
        )
        self.write(path, text)
        self.count += 1

    def write(self, path: str, data: str | bytes) -> None:
        place = self.out / path
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, data)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _metrics(pages: _Pages, specs: Iterable[MetricSpec]) -> None:
    wanted = {spec.key: spec for spec in specs}
    families = [
        (name, [wanted[spec.key] for spec in METRICS.load(name).specs if spec.key in wanted]) for name in METRICS
    ]
    families = [(name, found) for name, found in families if found]
    pages.render("metrics.html.j2", "metrics/index.html", metrics=families, here="metrics")
    for family, found in families:
        for spec in found:
            pages.render("metric.html.j2", f"metrics/{slug(spec.key)}.html", spec=spec, family=family, here="metrics")


def _suite(pages: _Pages, suite: SuiteSite) -> BoardView:
    view = board_view(suite.board, suite.title, suite.samples, suite.family, suite.runs)
    where = slug(view.suite)
    targets = sorted({target for run in suite.runs.values() for target in run.identity.targets})
    pages.render(
        "board.html.j2",
        f"{where}/index.html",
        board=view,
        families=list(dict.fromkeys(column.family for column in view.columns)),
        overlaps=sorted({row.overlap for row in view.rows if row.overlap}),
        targets=targets if suite.reference else [],
        here=view.suite,
    )
    pages.write(f"{where}/board.csv", suite.board.to_csv())
    shown = [column.spec for column in view.columns if column.shown]
    records = {name: run.records() for name, run in suite.runs.items()}
    for row in view.rows:
        if row.paged:
            _model(pages, suite, view, row.name, records, shown)
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
                shown=[spec.key for spec in shown],
                here=view.suite,
            )
    return view


def _model(
    pages: _Pages,
    suite: SuiteSite,
    view: BoardView,
    name: str,
    records: Mapping[str, Sequence[Record]],
    shown: Sequence[MetricSpec],
) -> None:
    run, own = suite.runs[name], records[name]
    order = shown[0]
    where = f"{slug(view.suite)}/{slug(name)}"

    def loss(record: Record) -> float:
        value = record.figures.values.get(order.key, math.inf)
        return -value if order.better == "higher" else value

    comparisons = []
    for other, theirs in suite.runs.items():
        if other != name:
            try:
                comparisons.append((other, compare(run, theirs, shown)))
            except InputError:
                continue
    pages.render(
        "model.html.j2",
        f"{where}/index.html",
        board=view,
        row=next(row for row in view.rows if row.name == name),
        card=run.identity.card or None,
        order=order,
        shown=[spec.key for spec in shown],
        targets=[
            {
                "name": record.target,
                "length": len(record.sequence),
                "figures": record.figures.values,
                "marks": marks(record),
                "error": record.error,
                "paged": suite.reference is not None and not record.error,
            }
            for record in sorted(own, key=loss)
        ],
        comparisons=comparisons,
        here=view.suite,
    )
    specs = list(suite.board.specs)
    pages.write(f"{where}/targets.csv", targets_csv(own, specs))
    pages.write(f"{where}/records.json", "[" + ",".join(record.to_json().strip() for record in own) + "]\n")


def _targets(
    pages: _Pages,
    suites: Sequence[SuiteSite],
    views: Sequence[BoardView],
    processes: int | None,
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
        for target in sorted({target for own in scored.values() for target in own}):
            models = {name: own[target] for name, own in scored.items() if target in own}
            jobs.append(partial(_target_pages, pages.out, _context(pages), suite, view, target, models))
    left_out: dict[str, str] = {}
    with workers(processes) as pool:
        for done, future in enumerate(as_completed([pool.submit(job) for job in jobs]), 1):
            count, reasons = future.result()
            pages.count += count
            left_out |= reasons
            if progress is not None:
                progress("target pages", done, len(jobs))
    return left_out


def _context(pages: _Pages) -> tuple[Sequence[str], str]:
    return pages._suites, pages._command


def _target_pages(
    out: Path,
    context: tuple[Sequence[str], str],
    suite: SuiteSite,
    view: BoardView,
    target: str,
    models: Mapping[str, Record],
) -> tuple[int, dict[str, str]]:
    """The pages of all models on one target: its MD is read and superposed once."""
    pages = _Pages(out, *context)
    assert suite.reference is not None
    reasons: dict[str, str] = {}
    aligned = None
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
        pages.write(f"{where}/targets/{slug(target)}.md.js", f"window.mdSide = {json.dumps(asdict(shown.md))};\n")
        pages.render(
            "target.html.j2",
            f"{where}/{slug(model)}/{slug(target)}.html",
            target=target,
            model=model,
            record=record,
            marks=marks(record),
            view=shown,
            columns=view.columns,
            floor=partial(_floor, record),
            side=asdict(shown.model) | {"numbers": numbers, "fluctuation": shown.fluctuation},
            here=view.suite,
        )
    return pages.count, reasons


def _floor(record: Record, key: str) -> float:
    """The mean over replicas of MD against itself; NaN where there is none."""
    found = [figures.values[key] for figures in record.floor if key in figures.values]
    return float(np.mean(found)) if found else math.nan
