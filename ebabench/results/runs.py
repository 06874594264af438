"""A run folder: one model on one suite, self-describing, written so that any kill leaves it fit to go on.

::

    manifest.json            whose run it is (Identity), where, when, at what cost it was made, whether it is official
    ensembles/TARGET.npz     what the model sampled
    logs/TARGET.log, .json   what a worker said, and what it answered
    records/TARGET.json      what scoring says of it
    md_time.json             how much MD the model is worth, where that was computed
    targets.csv, summary.csv the records as tables: one row a target, one row a metric

Everything but the manifest and the logs depends on the identity alone: a run that was killed and resumed ends with the
same bytes as an undisturbed one. What depends on the machine or the clock stands in the manifest.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.datasets.md_speed import MdSpeed
from ebabench.errors import InputError, RunError
from ebabench.generators.cost import Cost
from ebabench.io.npz import load_ensemble, write_ensemble
from ebabench.results.aggregation import Row, summarise
from ebabench.results.costs import costs_from, speeds_from
from ebabench.results.identity import Identity, unofficial
from ebabench.results.manifest import FILE as MANIFEST
from ebabench.results.manifest import Manifest, stamp
from ebabench.results.tables import summary_csv, targets_csv
from ebabench.scoring.metric import load_metrics
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble
from ebabench.system.files import clear_temporaries, exclusive, replace_file
from ebabench.system.schema import read_text

if TYPE_CHECKING:
    import pandas as pd

    from ebabench.datasets.suites import Suite


_LEFT_BEHIND = 3600.0  # seconds: younger temporaries may be another process's, which is at work in the folder


class Run:
    """One model on one suite, and the folder that holds it.

    ``Run.open`` makes a run or resumes one. ``Run.read`` takes a run as it is.

    Attributes:
        folder: The run folder.
        identity: What makes it this run and no other.
        remarks: What the last session has to say beside the results, one sentence each.
    """

    def __init__(self, folder: Path, identity: Identity, manifest: Manifest) -> None:
        self.folder = folder
        self.identity = identity
        self.remarks: list[str] = []
        self._manifest = manifest
        self._rows: list[Row] | None = None
        self._parsed: dict[str, tuple[tuple[int, int], Record]] = {}

    def __repr__(self) -> str:
        scored = sum(record.error is None for record in self.records())
        return (
            f"Run({str(self.folder)!r}: {self.identity.model} on {self.identity.suite or self.identity.folder}, "
            f"{scored} of {len(self.identity.targets)} targets scored)"
        )

    def _repr_html_(self) -> str:
        from ebabench.results.notebook import run_html

        return run_html(self)

    @property
    def rows(self) -> list[Row]:
        """The aggregates over targets, one row per metric: those that ``finish`` wrote, else of today's records."""
        return self._rows if self._rows is not None else summarise(self.records(), self._scored_specs())

    @property
    def summary(self) -> pd.DataFrame:
        """One row per metric: value, 95 % interval, floor, unit, direction, numbers of targets."""
        return _frame(summary_csv(self.rows)).set_index("metric")

    @property
    def targets(self) -> pd.DataFrame:
        """One row per target: its numbers (of a profile the median), its marks, and why it failed if it did."""
        return _frame(targets_csv(self.records(), self._scored_specs())).set_index("target")

    @property
    def failed(self) -> dict[str, str]:
        """Why targets failed, by target."""
        return {record.target: record.error for record in self.records() if record.error is not None}

    def check(self) -> None:
        """Raise RunError (``run.failed``) if a target failed. The message has the first reason and what is kept."""
        for target, reason in self.failed.items():
            raise RunError(
                f"{len(self.failed)} of {len(self.identity.targets)} targets failed, "
                f"{target}: {reason.removeprefix(f'{target}: ')}; "
                f"the others are kept in {self.folder}, and the same command tries again",
                code="run.failed",
                target=target,
            )

    @property
    def kept(self) -> str:
        """What the folder holds, in words."""
        kept = {kind: len(list((self.folder / kind).glob("[!.]*"))) for kind in ("ensembles", "records")}
        return f"kept in {self.folder}: {kept['ensembles']} ensembles and {kept['records']} records"

    @staticmethod
    def open(folder: Path, identity: Identity, digest: Callable[[str], str | None] | None = None) -> Run:
        """Return the run of that identity in ``folder``: a new one, or one to go on with.

        Args:
            folder: The run folder.
            identity: What makes it this run and no other.
            digest: Returns the digest of the reference of a target, or None if there is none here. It is called for
                the references that the run knows and ``identity`` does not.

        Raises:
            InputError: The folder holds another run (``run.other``), or is not empty (``run.folder``).
            RunError: The folder cannot be made or written, or another process is at work on it (``folder.busy``).
        """
        identity = identity.plain()
        # Before the manifest, which is the first file of a run: another process may begin this run right now.
        occupied = folder.exists() and (not folder.is_dir() or any(folder.glob("[!.]*")))
        if (folder / MANIFEST).exists():
            run = Run.read(folder)
            identity = run._with_digests(identity, digest)
            if differences := run.identity.differences(identity):
                raise InputError(
                    f"{folder} belongs to another run ({'; '.join(differences)}); choose another folder",
                    code="run.other",
                    run=folder,
                )
            run.learn_references(identity.references or {})
        elif occupied:
            raise InputError(
                f"{folder} is not empty and not a run folder; choose another", code="run.folder", run=folder
            )
        else:
            run = Run(folder, identity, Manifest(folder, {"sessions": []}))
        with run._writing():
            folder.mkdir(parents=True, exist_ok=True)
            # First, so that a kill from here on leaves a folder that is known as this run's.
            run._manifest.begin(asdict(run.identity))
            for place in (folder / "ensembles", folder / "records"):
                place.mkdir(exist_ok=True)
                clear_temporaries(place, _LEFT_BEHIND)
            clear_temporaries(folder, _LEFT_BEHIND)
            run._drop_damaged_records()
        return run

    @staticmethod
    def read(folder: str | os.PathLike[str]) -> Run:
        """Return the run in a folder, as it is.

        Raises:
            InputError: There is none (``run.missing``), or its manifest cannot be read (``run.manifest``).
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        try:
            return Run(folder, Identity.of(manifest.data["identity"]), manifest)
        except ValueError as error:
            raise InputError(
                f"{folder / MANIFEST} is not the manifest of a run: {error}", code="run.manifest", run=folder
            ) from error

    @property
    def started(self) -> str:
        """When the run was last begun or resumed: ISO 8601, UTC."""
        return str(self._manifest.last_session["started"])

    @property
    def made_with(self) -> str:
        """The version of ebabench of the last session."""
        return str(self._manifest.last_session.get("libraries", {}).get("ebabench", ""))

    @property
    def unofficial_because(self) -> list[str]:
        """Why the run may not be called official, as ``finish`` found; empty if it may."""
        return list(self._manifest.data.get("unofficial_because", ["not finished"]))

    def ensemble_path(self, target: str) -> Path:
        """Where the ensemble of a target lies."""
        return self.folder / "ensembles" / f"{target}.npz"

    def load_ensemble(self, target: str) -> Ensemble | None:
        """Return the ensemble of a target; None if there is none that can be read: it is then to be made again."""
        path = self.ensemble_path(target)
        if not path.exists():
            return None
        try:
            return load_ensemble(path, target)
        except InputError as error:
            self.remarks.append(f"made again: {error}")
            return None

    def save_ensemble(self, ensemble: Ensemble) -> None:
        """Keep an ensemble. Raises RunError that says what was kept."""
        with self._writing():
            write_ensemble(ensemble, self.ensemble_path(ensemble.target))

    def save_record(self, record: Record) -> None:
        """Keep a record, with the digest of this run's identity. Raises RunError that says what was kept."""
        path = self._record_path(record.target)
        if record.inputs:
            record = replace(record, inputs={**record.inputs, "run": self.identity.digest()})
        with self._writing():
            replace_file(path, record.to_json())
            self._parsed[record.target] = stamp(path), record

    def save_code(self, target: str, digest: str) -> None:
        """Keep in the manifest which code made the ensemble of a target. Raises RunError that says what was kept.

        Args:
            target: The name.
            digest: ``ebabench.generators.build.code_digest``.
        """
        with self._writing():
            self._manifest.add("code", {target: digest})

    @property
    def codes(self) -> dict[str, str]:
        """The digest of the code that made the ensemble, by target; without those of earlier versions."""
        return dict(self._manifest.data.get("code", {}))

    def save_cost(self, target: str, cost: Cost) -> None:
        """Keep in the manifest what sampling a target cost here. Raises RunError that says what was kept."""
        with self._writing():
            self._manifest.add("cost", {target: asdict(cost)})

    @property
    def costs(self) -> dict[str, Cost]:
        """What sampling cost, by target; without those of earlier versions and of ensembles from elsewhere."""
        return costs_from(self._manifest.data.get("cost", {}))

    def save_md_speeds(self, speeds: Mapping[str, MdSpeed]) -> None:
        """Keep in the manifest what the suite's MD costs on this machine.

        Args:
            speeds: By target.

        Raises:
            RunError: It cannot be written; the message says what was kept.
        """
        with self._writing():
            self._manifest.add("md_speed", {target: asdict(speed) for target, speed in speeds.items()})

    @property
    def md_speeds(self) -> dict[str, MdSpeed]:
        """What the suite's MD costs on the machine of the run, by target; without those that were not measured."""
        return speeds_from(self._manifest.data.get("md_speed", {}))

    def remove_record(self, target: str) -> None:
        """Remove the record of a target, if there is one."""
        self._record_path(target).unlink(missing_ok=True)

    def records(self) -> list[Record]:
        """Return the records there are, in the order of the suite. Raises InputError if one cannot be read.

        A file is parsed once, and again only after another process replaced it.
        """
        return [found for name in self.identity.targets if (found := self.record(name)) is not None]

    def record(self, target: str) -> Record | None:
        """Return the record of a target, or None if there is none. Raises InputError if it cannot be read."""
        path = self._record_path(target)
        try:
            at = stamp(path)
            if target not in self._parsed or self._parsed[target][0] != at:
                record = Record.from_json(read_text(path))
                if record.target != target:
                    raise ValueError(f"it is of {record.target}")
                self._parsed[target] = at, record
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            message = f"{path} cannot be read ({error}); remove it to score the target again"
            raise InputError(message, code="run.record", file=path) from error
        return self._parsed[target][1]

    def _drop_damaged_records(self) -> None:
        """Remove records that were cut or changed: they are made again."""
        for target in self.identity.targets:
            try:
                self.record(target)
            except InputError as error:
                self.remarks.append(f"scored again: {error}")
                self.remove_record(target)

    def _record_path(self, target: str) -> Path:
        return self.folder / "records" / f"{target}.json"

    def _scored_specs(self) -> list[MetricSpec]:
        """The registered metrics that the records have numbers of."""
        scored = {key for record in self.records() for key in record.metric_versions}
        return [spec for metric in load_metrics().things.values() for spec in metric.specs if spec.key in scored]

    def pending(self, specs: Iterable[MetricSpec]) -> list[str]:
        """Return the targets to score: without a record, failed, or scored without these versions of ``specs``."""
        versions = {spec.key: spec.version for spec in specs}
        done = {record.target for record in self.records() if record.has(versions)}
        return [target for target in self.identity.targets if target not in done]

    def finish(self, specs: Sequence[MetricSpec], suite: Suite | None, lacking: Sequence[str] = ()) -> list[Row]:
        """Write the tables and whether the run is official, and give the rows of summary.csv.

        Args:
            specs: The metrics of the tables.
            suite: The suite; None where the references are not those of a suite.
            lacking: Families of metrics that were not computed; a run without them is not official.

        Raises:
            RunError: A table cannot be written. The message says what is kept.
        """
        with self._writing(), exclusive(self.folder / "records"):  # of two that end, the last one sees all records
            records = self.records()
            rows = summarise(records, specs)
            because = unofficial(self.identity, records, suite)
            because += [f"not computed: {', '.join(lacking)}"] * bool(lacking)
            because += ["made by different versions of the model's code"] * (len({*self.codes.values()}) > 1)
            replace_file(self.folder / "targets.csv", targets_csv(records, specs))
            replace_file(self.folder / "summary.csv", summary_csv(rows))
            self._manifest.finish(
                {"identity": asdict(self.identity), "official": not because, "unofficial_because": because}
            )
        self._rows = rows
        return rows

    def learn_references(self, digests: Mapping[str, str]) -> None:
        """Add the digests of references that the run did not know before."""
        known = self.identity.references
        if known is not None:
            self.identity = replace(self.identity, references={**digests, **known})

    def _with_digests(self, asked: Identity, digest: Callable[[str], str | None] | None) -> Identity:
        """The asked identity with the digests of the references that this run knows already."""
        if digest is None or asked.references is None:
            return asked
        for target in self.identity.targets:
            with suppress(InputError):  # one that was damaged is made again
                record = self.record(target)
                if record is not None and "reference" in record.inputs:
                    self.learn_references({target: record.inputs["reference"]})
        lacking = [name for name in self.identity.references or () if name not in asked.references]
        found = {name: value for name in lacking if (value := digest(name)) is not None}
        return replace(asked, references={**asked.references, **found})

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"cannot write {error.filename or self.folder}: {error.strerror}; {self.kept}; "
                "the same command goes on from there"
            ) from error


def _frame(text: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(io.StringIO(text))
