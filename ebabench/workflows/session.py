"""One session of work on a run folder: targets are sampled or converted, and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.io.structure_files import load_ensemble, read_ensemble
from ebabench.results.runs import Run
from ebabench.scoring.records import Record
from ebabench.scoring.score import Job
from ebabench.scoring.score import score as score_jobs
from ebabench.scoring.selection import Selection, registered
from ebabench.structures import Reference
from ebabench.system.names import printable
from ebabench.workflows.progress import Progress

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite
    from ebabench.generators.sampling import Outcome


@dataclass(frozen=True)
class Session:
    """A run folder and what this session does in it.

    Attributes:
        run: The run folder.
        read: Reads the reference of a target by its name. It can be pickled.
        suite: The suite; None where references are not those of a suite.
        sequences: Sequence by target, of the targets that this session works on.
        progress: Told of every finished target.
        files: Where the ensembles lie, by target; None for those of the run folder.
    """

    run: Run
    read: Callable[[str], Reference]
    suite: Suite | None
    sequences: Mapping[str, str]
    progress: Progress
    files: Mapping[str, Path] | None = None

    def keep(self, what: str, outcomes: Iterator[Outcome]) -> None:
        """Wait for ensembles, and keep why targets failed as their records."""
        with self._interruptible():
            self.progress(what, 0, len(self.sequences))
            for done, outcome in enumerate(outcomes, 1):
                if outcome.error is not None:
                    self.run.save_record(self._job(outcome.target).failed(outcome.error))
                elif not outcome.resumed:
                    self.run.remove_record(outcome.target)  # of an earlier failure
                self.progress(what, done, len(self.sequences))

    def score(self, selection: Selection, processes: int | None = None, executor: Executor | None = None) -> None:
        """Score the targets that have an ensemble with the metrics that they lack; then write the tables."""
        self.run.remarks += selection.faults
        settings, before = self.run.identity, {record.target: record for record in self.run.records()}
        groups = self._to_score(selection, before)
        done, total = 0, sum(len(jobs) for jobs in groups.values())
        with self._interruptible():
            self.progress("scoring", 0, total)
            for names, jobs in groups.items():
                records = score_jobs(
                    jobs,
                    [metric for metric in selection.metrics if metric.name in names],
                    protocol=settings.protocol,
                    energy_protocol=settings.energy,
                    executor=executor,
                    processes=processes,
                    uncached=selection.own,
                )
                for record in records:
                    earlier = before.get(record.target)
                    whole = earlier is not None and earlier.error is None and record.error is None
                    joined = whole and earlier is not None and earlier.of_same_inputs(record)
                    self.run.save_record(earlier.joined(record) if earlier is not None and joined else record)
                    done += 1
                    self.progress("scoring", done, total)
        self._finish(selection)

    def _to_score(self, selection: Selection, before: Mapping[str, Record]) -> dict[tuple[str, ...], list[Job]]:
        """The jobs, by the names of the families that their targets lack."""
        groups: dict[tuple[str, ...], list[Job]] = {}
        for name in self.sequences:
            record = before.get(name)
            lacking = tuple(
                metric.name
                for metric in selection.metrics
                if record is None or not record.has({spec.key: spec.version for spec in metric.specs})
            )
            if lacking and self._path(name).exists():
                groups.setdefault(lacking, []).append(self._job(name))
        return groups

    def _finish(self, selection: Selection) -> None:
        """Write the tables of all metrics that were ever computed here."""
        scored = [record for record in self.run.records() if record.error is None]
        self.run.learn_references({r.target: r.inputs["reference"] for r in scored if "reference" in r.inputs})
        keys = {key for record in scored for key in record.metric_versions} | {s.key for s in selection.computed}
        own = [metric for metric in selection.metrics if metric.name in selection.own]
        specs = [spec for metric in (*registered(), *own) for spec in metric.specs if spec.key in keys]
        lacking = [metric.name for metric in registered() if not {spec.key for spec in metric.specs} <= keys]
        self.run.finish(specs, self.suite, lacking)

    def _path(self, name: str) -> Path:
        return self.files[name] if self.files is not None else self.run.ensemble_path(name)

    def _job(self, name: str) -> Job:
        read = load_ensemble if self.files is None else read_ensemble
        return Job(
            name,
            self.sequences[name],
            self.run.identity.tier,
            partial(read, self._path(name), name),
            partial(self.read, name),
        )

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Say in a note to KeyboardInterrupt what is kept."""
        try:
            yield
        except KeyboardInterrupt as error:
            error.add_note(f"{self.run.kept}; the same command goes on")
            raise


def few(names: Sequence[str]) -> str:
    """Return names for a message: the first five, and how many more there are."""
    return ", ".join(map(printable, names[:5])) + f" and {len(names) - 5} more" * (len(names) > 5)
