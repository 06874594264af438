"""One session of work on a run folder: targets are sampled or converted, and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from ebabench.io.structure_files import load_ensemble
from ebabench.results.flags import marks
from ebabench.results.runs import Run
from ebabench.scoring.metric import Metric
from ebabench.scoring.records import Record
from ebabench.scoring.score import Job
from ebabench.scoring.score import score as score_jobs
from ebabench.scoring.selection import Selection, registered
from ebabench.structures import Ensemble, Reference
from ebabench.system.claims import Claims
from ebabench.workflows.progress import Progress
from ebabench.workflows.targets import few

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite
    from ebabench.generators.sampling import Outcome


class Elsewhere(NamedTuple):
    """An ensemble that is not in the run folder.

    Attributes:
        read: Reads it. It can be pickled.
        told: What it is read from, for the reader of the run.
        source: The first file, and how many more there are, for messages.
    """

    read: Callable[[], Ensemble]
    told: str
    source: str

    def blamed(self, error: str) -> str:
        """Return why the ensemble cannot be scored, with its files.

        What is found only beside the reference (a sequence, a mirror image) does not name the files of the ensemble.
        A fault of the reference is none of theirs.
        """
        named = self.source.split(" and ")[0] in error or error.startswith("the reference of ")
        return error if named else f"{error} (the conformations are those of {self.source})"


@dataclass(frozen=True)
class Session:
    """A run folder and what this session does in it.

    Attributes:
        run: The run folder.
        read: Reads the reference of a target by its name. It can be pickled.
        suite: The suite; None where references are not those of a suite.
        sequences: Sequence by target, of the targets that this session works on.
        progress: Told of every finished target.
        elsewhere: The ensembles that lie elsewhere, by target; None for those of the run folder.
        complete: The families of metrics that a complete run has.
        source: What the ensembles of the run folder were made from, for the reader of the run.
    """

    run: Run
    read: Callable[[str], Reference]
    suite: Suite | None
    sequences: Mapping[str, str]
    progress: Progress
    elsewhere: Mapping[str, Elsewhere] | None = None
    complete: Sequence[Metric] = field(default_factory=registered)
    source: str = "1 file (sampled here)"

    @cached_property
    def claims(self) -> Claims:
        """The targets that this process works on, and others leave alone."""
        return Claims(self.run.folder / ".claims")

    def keep(self, what: str, outcomes: Iterator[Outcome], code: str = "") -> None:
        """Wait for ensembles, and keep why targets failed as their records.

        Args:
            what: What is told of the progress.
            outcomes: One per target.
            code: The digest of the code that makes the ensembles; empty if it is not known.
        """
        busy, others = [], []
        with self._interruptible():
            self.progress(what, 0, len(self.sequences))
            for done, outcome in enumerate(outcomes, 1):
                if outcome.busy:
                    busy.append(outcome.target)
                elif outcome.error is not None:
                    self.run.save_record(self._job(outcome.target).failed(outcome.error))
                elif outcome.resumed:
                    if self.run.codes.get(outcome.target, code) != code:
                        others.append(outcome.target)
                else:
                    self.run.remove_record(outcome.target)  # of an earlier failure
                    if code:
                        self.run.save_code(outcome.target, code)
                    if outcome.cost is not None:
                        self.run.save_cost(outcome.target, outcome.cost)
                self.progress(what, done, len(self.sequences))
        self._tell_busy(busy)
        if others:
            self.run.remarks.append(
                f"kept, though the model's code was changed since they were made: the ensembles of {few(others)}; "
                "in another run folder all are made anew"
            )

    def score(self, selection: Selection, processes: int | None = None, executor: Executor | None = None) -> None:
        """Score the targets that have an ensemble with the metrics that they lack; then write the tables."""
        self.run.remarks += selection.faults
        settings, before = self.run.identity, {record.target: record for record in self.run.records()}
        groups = self._to_score(selection, before)
        done, total, busy = 0, sum(len(jobs) for jobs in groups.values()), []

        def begin(job: Job) -> bool:
            """Claim a target, unless another process works on it or has scored it meanwhile."""
            if not self.claims.take(job.target):
                busy.append(job.target)
                return False
            if self.run.record(job.target) is before.get(job.target):
                return True
            self.claims.release(job.target)
            return False

        # What a notebook defines cannot be sent to another process.
        here = ThreadPoolExecutor(1) if selection.own and executor is None else nullcontext(executor)
        with self._interruptible(), self._releasing(), here as chosen:
            self.progress("scoring", 0, total)
            for names, jobs in groups.items():
                records = score_jobs(
                    jobs,
                    [metric for metric in selection.metrics if metric.name in names],
                    protocol=settings.protocol,
                    energy_protocol=settings.energy,
                    executor=chosen,
                    processes=processes,
                    uncached=selection.own,
                    begin=begin,
                )
                for record in map(self._with_files, records):
                    earlier = before.get(record.target)
                    whole = earlier is not None and earlier.error is None and record.error is None
                    joined = whole and earlier is not None and earlier.of_same_inputs(record)
                    self.run.save_record(earlier.joined(record) if earlier is not None and joined else record)
                    self.claims.release(record.target)
                    done += 1
                    self.progress("scoring", done, total)
        self._tell_busy(busy)
        self._finish(selection)
        self._tell_conformations()

    def _to_score(self, selection: Selection, before: Mapping[str, Record]) -> dict[tuple[str, ...], list[Job]]:
        """The jobs, by the names of the families that their targets lack."""
        groups: dict[tuple[str, ...], list[Job]] = {}
        for name in self.sequences:
            record = before.get(name)
            lacking = tuple(
                metric.name
                for metric in selection.metrics
                if record is None
                or metric.name in selection.own  # its code may be other code under the same version
                or not record.has({spec.key: spec.version for spec in metric.specs})
            )
            if lacking and self._is_there(name):
                groups.setdefault(lacking, []).append(self._job(name))
        return groups

    def _tell_busy(self, busy: Sequence[str]) -> None:
        if busy:
            self.run.remarks.append(f"left to other processes that work on them now: {few(busy)}")

    def _finish(self, selection: Selection) -> None:
        """Write the tables of all metrics that were ever computed here."""
        scored = [record for record in self.run.records() if record.error is None]
        self.run.learn_references({r.target: r.inputs["reference"] for r in scored if "reference" in r.inputs})
        keys = {key for record in scored for key in record.metric_versions} | {s.key for s in selection.computed}
        families = {metric.name: metric for metric in (*self.complete, *selection.metrics)}
        specs = [spec for metric in families.values() for spec in metric.specs if spec.key in keys]
        lacking = [
            metric.name
            for metric in self.complete
            if not all(record.has({spec.key: spec.version for spec in metric.specs}) for record in scored)
        ]
        self.run.finish(specs, self.suite, lacking)

    def _tell_conformations(self) -> None:
        """Say how many conformations were scored, of which targets from which files, and what is flagged."""
        alike: dict[str, list[str]] = {}
        flagged = []
        for record in self.run.records():
            if record.target in self.sequences and record.error is None:
                told = self.source if self.elsewhere is None else self.elsewhere[record.target].told
                alike.setdefault(f"{record.n_samples} conformations from {told}", []).append(record.target)
                if marked := marks(record):
                    flagged.append(f"{record.target}: {'; '.join(marked)}")
        self.run.remarks += [f"{few(names)}: {text}" for text, names in alike.items()] + flagged

    def _with_files(self, record: Record) -> Record:
        """Return the record of a failure with the files of the ensemble in its message."""
        if record.error is None or self.elsewhere is None:
            return record
        return replace(record, error=self.elsewhere[record.target].blamed(record.error))

    def _is_there(self, name: str) -> bool:
        return name in self.elsewhere if self.elsewhere is not None else self.run.ensemble_path(name).exists()

    def _job(self, name: str) -> Job:
        read: Callable[[], Ensemble] = partial(load_ensemble, self.run.ensemble_path(name), name)
        if self.elsewhere is not None:
            read = self.elsewhere[name].read
        return Job(name, self.sequences[name], self.run.identity.tier, read, partial(self.read, name))

    @contextmanager
    def _releasing(self) -> Iterator[None]:
        """Give all claims back when the body ends, however it ends."""
        try:
            yield
        finally:
            for name in self.sequences:
                self.claims.release(name)
            self.claims.tidy()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Say in a note to KeyboardInterrupt what is kept."""
        try:
            yield
        except KeyboardInterrupt as error:
            error.add_note(f"{self.run.kept}; the same command goes on")
            raise
