"""Verify a run or a leaderboard: recompute what can be recomputed, and say why something is refused."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.errors import InputError, RunError
from ebabench.generators.cards import Card, load_card
from ebabench.generators.converters import converter
from ebabench.generators.sampling import matched
from ebabench.io.layouts import find_sources, read_source
from ebabench.io.structure_files import load_ensemble
from ebabench.results.identity import files_below, files_digest, unofficial
from ebabench.results.leaderboard import QUOTED, board_of, refusal
from ebabench.results.reproduction import differences
from ebabench.results.runs import Run
from ebabench.results.tables import summary_csv, targets_csv
from ebabench.scoring.metric import load_metrics
from ebabench.scoring.records import Record
from ebabench.scoring.reference_cache import reference_digest
from ebabench.scoring.score import Job
from ebabench.scoring.score import score as score_jobs
from ebabench.scoring.selection import registered
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble, Reference
from ebabench.system.registry import resolve
from ebabench.workflows.compare import as_run
from ebabench.workflows.progress import Progress, silent
from ebabench.workflows.targets import few

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = ("metrics", "references", "ensembles")
"""Checks without which nothing can be recomputed."""
ReadEnsemble = Callable[[str], Callable[[], Ensemble]]
"""From the name of a target to a callable, which can be pickled, that reads its ensemble."""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: What was checked.
        passed: Whether it is right.
        detail: What was found.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        subject: The run folder or the CSV.
        checks: All checks.
    """

    subject: Path
    checks: tuple[Check, ...]

    @property
    def accepted(self) -> bool:
        """Whether there are checks and every one passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """Why the subject is refused, one sentence per failed check."""
        return [f"{check.name}: {check.detail}" for check in self.checks if not check.passed]

    def require(self) -> None:
        """Raise RunError (``verify.refused``) unless every check passed."""
        if not self.accepted:
            raise RunError(
                f"{self.subject} is refused: {'; '.join(self.reasons)}", code="verify.refused", reasons=self.reasons
            )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per check: name, passed, detail."""
        import pandas as pd

        return pd.DataFrame([vars(check) for check in self.checks], columns=["name", "passed", "detail"])


def verify(
    subject: str | os.PathLike[str],
    *,
    suite: str | Suite | None = None,
    runs: str | os.PathLike[str] = "runs",
    ensembles: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Verification:
    """Return the verification of a run folder or of the CSV of a leaderboard.

    Args:
        subject: A run folder, or ``SUITE.csv``.
        suite: The suite, if it is not one of ``ebabench.list_suites()``.
        runs: For a CSV: the folder with the runs that its rows were made from.
        ensembles: For a run: the folder of the ensembles that were scored. None takes those of the run folder.
        data: For a run: the folder of the references, if they are not embedded.
        jobs: Processes that score; one per core by default.
        executor: Scores in place of processes: anything with the interface of ``concurrent.futures``.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: The subject is neither (``verify.subject``), or there is no such suite.
    """
    path = Path(subject)
    if path.suffix == ".csv" and path.is_file():
        return verify_leaderboard(path, suite or path.stem, runs)
    if (path / "manifest.json").is_file():
        return verify_run(
            path, suite=suite, ensembles=ensembles, data=data, jobs=jobs, executor=executor, progress=progress
        )
    raise InputError(
        f"{path}: neither a run folder (with a manifest.json) nor the CSV of a leaderboard",
        code="verify.subject",
        path=path,
    )


def verify_leaderboard(table: Path, suite: str | Suite, runs: str | os.PathLike[str] = "runs") -> Verification:
    """Return whether every row of a leaderboard follows from the records of a run, one check per row.

    Args:
        table: The CSV.
        suite: Its suite.
        runs: The folder with the run folders.

    Raises:
        InputError: The CSV cannot be read (``verify.csv``), or there is no such suite.
    """
    chosen = suite if isinstance(suite, Suite) else load_suite(suite)
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{table}: cannot be read: {error}", code="verify.csv", file=table) from error
    found = [Run.read(path.parent) for path in sorted(Path(runs).rglob("manifest.json"))]
    ranked = [run for run in found if not refusal(run, chosen)]
    board = board_of(chosen, ranked, _specs())
    measured = {(line["model"], line["status"]): line for line in board.lines}
    checks = []
    for row in rows:
        model, status = row.get("model", ""), row.get("status", "")
        same = (
            _published(row, board.quoted) if status == QUOTED else _same_row(row, measured.get((model, status)), runs)
        )
        checks.append(Check(f"row {model} ({status})", *same))
    return Verification(table, tuple(checks))


def _published(row: Mapping[str, str], quoted: Sequence[Mapping[str, str]]) -> tuple[bool, str]:
    if any(all((text or "") == line.get(name, "") for name, text in row.items()) for line in quoted):
        return True, "is in the file of published values"
    return False, "is not in the file of published values"


def _same_row(row: Mapping[str, str], line: Mapping[str, str] | None, runs: str | os.PathLike[str]) -> tuple[bool, str]:
    if line is None:
        return False, f"no run folder under {runs} gives this row"
    other = [name for name, text in row.items() if (text or "") != line.get(name, "")]
    if other:
        return False, "; ".join(f"{k}: {row[k]!r}, the records give {line.get(k, '')!r}" for k in other[:3])
    return True, "follows from the records"


def verify_run(
    run: Run | str | os.PathLike[str],
    *,
    suite: str | Suite | None = None,
    ensembles: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Verification:
    """Return whether a run is official, fits this installation, and is reproduced from its ensembles.

    Args:
        run: A run, or its folder.
        suite: The suite, if it is not one of ``ebabench.list_suites()``.
        ensembles: The folder of the ensembles that were scored. None takes those of the run folder.
        data: The folder of the references, if they are not embedded.
        jobs: Processes that score; one per core by default.
        executor: Scores in place of processes: anything with the interface of ``concurrent.futures``.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: The run cannot be read, or there is no such suite.
    """
    made = as_run(run)
    chosen = suite if isinstance(suite, Suite) else load_suite(suite or made.identity.suite)
    read = reference_reader(chosen, Path(data) if data is not None else None)
    records = made.records()
    card, of_card = _card(made)
    checks = [
        Check("official", *_official(made, records, chosen)),
        Check("card", *of_card),
        Check("metrics", *_metrics(records)),
        Check("references", *_references(made, chosen, read)),
        Check("tables", *_tables(made, records)),
    ]
    scored = [record for record in records if record.error is None]
    names, folder = [record.target for record in scored], Path(ensembles) if ensembles is not None else None
    try:
        source, found = _source(made, card, names, read, folder)
        checks.append(Check("ensembles", True, found))
    except InputError as error:
        checks.append(Check("ensembles", False, str(error)))
    if blocked := [check.name for check in checks if not check.passed and check.name in _NEEDED]:
        checks.append(Check("records", False, f"not recomputed, because of: {', '.join(blocked)}"))
    else:
        again = _recomputed(made, scored, source, read, jobs, executor, progress)
        checks.append(Check("records", *_same_records(scored, again)))
    return Verification(made.folder, tuple(checks))


def _official(run: Run, records: Sequence[Record], suite: Suite) -> tuple[bool, str]:
    because = [why for why in [refusal(run, suite)] if why] + unofficial(run.identity, records, suite)
    foreign = [record.target for record in records if record.target not in {target.name for target in suite.targets}]
    because += [f"targets that the suite does not have: {few(foreign)}"] * bool(foreign)
    return not because, "; ".join(because) or f"{len(records)} targets with the settings of {suite.id}"


def _card(run: Run) -> tuple[Card | None, tuple[bool, str]]:
    """The card of this installation, and whether the run has it."""
    if not run.identity.card:
        return None, (False, "the run has no card: it was scored under a name")
    try:
        card = load_card(run.identity.model)
    except InputError as error:
        return None, (False, str(error))
    here, there = json.loads(json.dumps(card.facts())), json.loads(json.dumps(dict(run.identity.card)))
    other = sorted(key for key in {*here, *there} if here.get(key) != there.get(key))
    return card, (not other, f"differs in {', '.join(other)} from {card.path}" if other else f"is {card.path}")


def _metrics(records: Iterable[Record]) -> tuple[bool, str]:
    families = load_metrics().things
    versions = {spec.key: spec.version for metric in families.values() for spec in metric.specs}
    # No run must have the metrics of a plug-in.
    own = {spec.key for name in resolve("ebabench.metrics:FAMILIES") for spec in families[name].specs}
    scored = [record for record in records if record.error is None]
    other = {key for record in scored for key in {*own, *record.metric_versions}
             if versions.get(key) != record.metric_versions.get(key)}  # fmt: skip
    return not other, f"other versions of {few(sorted(other))}; score again" if other else "have today's versions"


def _references(run: Run, suite: Suite, read: Callable[[str], Reference]) -> tuple[bool, str]:
    known = run.identity.references or {}
    unknown = [target.name for target in suite.targets if target.name not in known]
    if unknown:
        return False, f"the manifest does not say the references of {few(unknown)}"
    other = [name for name, digest in known.items() if reference_digest(read(name)) != digest]
    return not other, f"other references of {few(other)} here" if other else f"{len(known)} are those of this machine"


def _tables(run: Run, records: Sequence[Record]) -> tuple[bool, str]:
    keys = {key for record in records for key in record.metric_versions}
    specs = [spec for spec in _specs() if spec.key in keys]
    expected = {"summary.csv": summary_csv(Run.read(run.folder).rows), "targets.csv": targets_csv(records, specs)}
    other = [name for name, text in expected.items() if _text(run.folder / name) != text]
    return not other, f"{' and '.join(other)}: not what the records give" if other else "follow from the records"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _source(
    run: Run, card: Card | None, names: Sequence[str], read: Callable[[str], Reference], folder: Path | None
) -> tuple[ReadEnsemble, str]:
    """Return what reads an ensemble, and where from. Raises InputError (``verify.ensembles``) for other files."""
    if folder is None:
        if run.identity.ensembles:
            raise _no_ensembles("they were read from elsewhere: give their folder as --ensembles")
        if absent := [name for name in names if not run.ensemble_path(name).is_file()]:
            raise _no_ensembles(f"no ensembles of {few(absent)} in the run folder: give --ensembles")
        return lambda name: partial(load_ensemble, run.ensemble_path(name), name), "are in the run folder"
    sources = {}
    if run.identity.card.get("converter") or run.identity.card.get("ensembles"):
        if card is None:
            raise _no_ensembles(f"they are read as the card of {run.identity.model} says, which is not here")
        files = {"": files_below(folder)}
    else:
        found = find_sources(folder, {name: read(name).target.sequence for name in names}).sources
        if absent := [name for name in names if name not in found]:
            raise _no_ensembles(f"{folder} has no ensembles of {few(absent)}")
        sources = {name: found[name] for name in names}
        files = {name: source.files for name, source in sources.items()}
    if run.identity.ensembles and files_digest(files) != run.identity.ensembles:
        raise _no_ensembles(f"{folder}: other files than those that were scored")
    if card is not None and "" in files:
        return lambda name: partial(_converted, card, folder, read, name), f"are those of {folder}"
    how = {key: value for key, value in run.identity.reading.items() if key != "temperature"}
    return lambda name: partial(read_source, sources[name], name, **how), f"are those of {folder}"


def _no_ensembles(message: str) -> InputError:
    return InputError(message, code="verify.ensembles")


def _converted(card: Card, folder: Path, read: Callable[[str], Reference], name: str) -> Ensemble:
    target = read(name).target
    return matched(converter(card)(folder, target), target)


def _recomputed(
    run: Run,
    records: Sequence[Record],
    source: ReadEnsemble,
    read: Callable[[str], Reference],
    jobs: int | None,
    executor: Executor | None,
    progress: Progress,
) -> dict[str, Record]:
    tasks = [Job(one.target, one.sequence, one.tier, source(one.target), partial(read, one.target)) for one in records]
    settings, again = run.identity, {}
    progress("recomputing", 0, len(tasks))
    for record in score_jobs(
        tasks,
        registered(),
        protocol=settings.protocol,
        energy_protocol=settings.energy,
        executor=executor,
        processes=jobs,
    ):
        again[record.target] = record
        progress("recomputing", len(again), len(tasks))
    return again


def _same_records(records: Sequence[Record], again: Mapping[str, Record]) -> tuple[bool, str]:
    specs = [spec for spec in _specs() if not spec.of]
    faults = [
        f"{one.target}: {fault}"
        for one in records
        for fault in differences(one, again[one.target], [spec for spec in specs if spec.key in one.metric_versions])
    ]
    shown = "; ".join(faults[:3]) + f"; and {len(faults) - 3} more" * (len(faults) > 3)
    return not faults, shown or f"{len(records)} targets are reproduced"


def _specs() -> list[MetricSpec]:
    return [spec for metric in registered() for spec in metric.specs]
