"""A run folder: one model on one suite, self-describing, written so that any kill leaves it fit to go on.

::

    manifest.json            whose run it is (Identity), where and when it was made, whether it is official
    ensembles/TARGET.npz     what the model sampled
    logs/TARGET.log, .json   what a worker said, and what it answered
    records/TARGET.json      what scoring says of it
    targets.csv, summary.csv the records as tables: one row a target, one row a metric

Everything but the manifest and the logs depends on the identity alone: a run that was killed and resumed ends with the
same bytes as an undisturbed one. What depends on the machine or the clock stands in the manifest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebabench.errors import InputError, RunError
from ebabench.io.npz import load_ensemble, write_ensemble
from ebabench.results.aggregation import Row, summarise
from ebabench.results.tables import summary_csv, targets_csv
from ebabench.scoring.metric import load_metrics
from ebabench.scoring.records import Record
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Ensemble
from ebabench.system.files import clear_temporaries, replace_file

if TYPE_CHECKING:
    import pandas as pd

    from ebabench.datasets.suites import Suite

_LIBRARIES = ("ebabench", "numpy", "scipy", "scikit-learn", "POT", "mdtraj", "gemmi", "openmm", "torch")


@dataclass(frozen=True)
class Identity:
    """What makes a run this run and no other. Runs of equal identity have equal records.

    ``card``: the model's card as plain data; empty for ensembles from elsewhere. ``ensembles``: digest of ensembles
    from elsewhere (``files_digest``); empty for those that a model samples. ``suite``: its id, or the reference folder.
    ``references``: digest of every target's reference (``kept.reference_digest``), of those that there are; None where
    a manifest of an earlier version does not say.
    ``samples`` and ``seed`` are None where ensembles from elsewhere do not say. ``random_weights``: the model was run
    without its checkpoints, to test the plumbing.
    """

    model: str
    suite: str
    tier: str
    targets: tuple[str, ...]
    samples: int | None
    seed: int | None
    protocol: str
    energy: str | None
    card: Mapping[str, Any] = field(default_factory=dict)
    ensembles: str = ""
    references: Mapping[str, str] | None = None
    random_weights: bool = False

    def card_digest(self) -> str:
        """SHA-256 of the card, checkpoints' hashes included; empty without a card."""
        return hashlib.sha256(json.dumps(self.card, sort_keys=True).encode()).hexdigest() if self.card else ""

    def differences(self, asked: Identity) -> list[str]:
        """What another identity has otherwise: ``name: ours here, theirs asked``."""
        found = []
        for name in (item.name for item in fields(self)):
            ours, theirs = getattr(self, name), getattr(asked, name)
            if name == "references":
                found += _other_references(ours, theirs)
            elif ours == theirs:
                continue
            elif name in ("card", "ensembles", "targets"):
                found.append(f"other {name}")
            else:
                found.append(f"{name}: {ours} there, {theirs} asked")
        return found


def changed_references(one: Mapping[str, str] | None, other: Mapping[str, str] | None) -> list[str]:
    """The targets of which both know the reference, and know another one (digests by target)."""
    return sorted(name for name, digest in (one or {}).items() if (other or {}).get(name, digest) != digest)


def _other_references(ours: Mapping[str, str] | None, theirs: Mapping[str, str] | None) -> list[str]:
    if (ours is None) != (theirs is None):
        return ["an earlier version of ebabench made it, which did not say what the references were"]
    changed = changed_references(ours, theirs)
    return [f"other references of {', '.join(changed)}"] if changed else []


def files_digest(files: Mapping[str, Path]) -> str:
    """SHA-256 of the names and contents of files (a folder counts as all files in it)."""
    digest = hashlib.sha256()
    for name, root in sorted(files.items()):
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file():
                digest.update(f"{name}|{path.name}|{path.stat().st_size}|".encode())
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class Run:
    """One model on one suite, and the folder that holds it.

    ``Run.open`` makes a run or resumes one. ``Run.read`` takes a run as it is.

    Attributes:
        folder: The run folder.
        identity: What makes it this run and no other.
        remarks: What the last session has to say beside the results, one sentence each.
    """

    def __init__(self, folder: Path, identity: Identity, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = identity
        self.remarks: list[str] = []
        self._manifest = manifest
        self._rows: list[Row] | None = None
        self._parsed: dict[str, tuple[tuple[int, int], Record]] = {}

    def __repr__(self) -> str:
        scored = sum(record.error is None for record in self.records())
        return (
            f"Run({str(self.folder)!r}: {self.identity.model} on {self.identity.suite}, "
            f"{scored} of {len(self.identity.targets)} targets scored)"
        )

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
    def open(folder: Path, identity: Identity) -> Run:
        """The run of that identity in ``folder``: a new one, or one to go on with.

        Raises:
            InputError: the folder holds another run (the message says what differs), or things that are no run.
            RunError: it cannot be made or written.
        """
        identity = _plain(identity)
        if (folder / "manifest.json").exists():
            run = Run.read(folder)
            if differences := run.identity.differences(identity):
                raise InputError(f"{folder} belongs to another run ({'; '.join(differences)}); choose another folder")
            run._know(identity.references)
        elif folder.exists() and (not folder.is_dir() or any(folder.glob("[!.]*"))):
            raise InputError(f"{folder} is not empty and not a run folder; choose another")
        else:
            run = Run(folder, identity, {"identity": asdict(identity), "sessions": []})
        run._manifest["sessions"].append({"started": _now(), "command": sys.argv, **machine()})
        with run._writing():
            folder.mkdir(parents=True, exist_ok=True)
            run._write_manifest()  # first, so that a kill from here on leaves a folder that is known as this run's
            for place in (folder / "ensembles", folder / "records"):
                place.mkdir(exist_ok=True)
                clear_temporaries(place)
            clear_temporaries(folder)
        return run

    @staticmethod
    def read(folder: Path) -> Run:
        """The run in ``folder``. Raises InputError if there is none, or its manifest cannot be read."""
        path = folder / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            identity = Identity(**{**manifest["identity"], "targets": tuple(manifest["identity"]["targets"])})
        except OSError as error:
            raise InputError(f"{folder} is not a run folder: cannot read {path.name}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is not the manifest of a run: {error}") from error
        return Run(folder, identity, manifest)

    @property
    def started(self) -> str:
        """When the run was last begun or gone on with: ISO 8601, UTC."""
        return str(self._manifest["sessions"][-1]["started"])

    @property
    def made_with(self) -> str:
        """The version of ebabench of the last session."""
        return str(self._manifest["sessions"][-1]["libraries"].get("ebabench", ""))

    @property
    def unofficial_because(self) -> list[str]:
        """Why the run may not be called official, as ``finish`` found; empty if it may."""
        return list(self._manifest.get("unofficial_because", ["not finished"]))

    def ensemble_path(self, target: str) -> Path:
        """Where the ensemble of a target lies."""
        return self.folder / "ensembles" / f"{target}.npz"

    def load_ensemble(self, target: str) -> Ensemble | None:
        """The ensemble that was kept; None if there is none yet. Raises InputError if it cannot be read."""
        path = self.ensemble_path(target)
        return load_ensemble(path, target) if path.exists() else None

    def save_ensemble(self, ensemble: Ensemble) -> None:
        """Keep an ensemble. Raises RunError that says what was kept."""
        with self._writing():
            write_ensemble(ensemble, self.ensemble_path(ensemble.target))

    def save_record(self, record: Record) -> None:
        """Keep a record. Raises RunError that says what was kept."""
        path = self._record_path(record.target)
        with self._writing():
            replace_file(path, record.to_json())
            self._parsed[record.target] = _stamp(path), record

    def remove_record(self, target: str) -> None:
        """Remove the record of a target, if there is one."""
        self._record_path(target).unlink(missing_ok=True)

    def records(self) -> list[Record]:
        """The records there are, in the order of the suite. Raises InputError if one cannot be read.

        A file is parsed once, and again only after another process replaced it.
        """
        found = []
        for target in self.identity.targets:
            path = self._record_path(target)
            try:
                stamp = _stamp(path)
                if target not in self._parsed or self._parsed[target][0] != stamp:
                    self._parsed[target] = stamp, Record.from_json(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise InputError(f"{path} cannot be read ({error}); remove it to score the target again") from error
            found.append(self._parsed[target][1])
        return found

    def _record_path(self, target: str) -> Path:
        return self.folder / "records" / f"{target}.json"

    def _scored_specs(self) -> list[MetricSpec]:
        """The registered metrics that the records have numbers of."""
        scored = {key for record in self.records() for key in record.metric_versions}
        return [spec for metric in load_metrics().things.values() for spec in metric.specs if spec.key in scored]

    def pending(self, specs: Iterable[MetricSpec]) -> list[str]:
        """Targets to score: without a record, failed before, or scored without these metrics or these versions."""
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
        records = self.records()
        rows = summarise(records, specs)
        because = unofficial(self.identity, records, suite)
        because += [f"not computed: {', '.join(lacking)}"] * bool(lacking)
        with self._writing():
            replace_file(self.folder / "targets.csv", targets_csv(records, specs))
            replace_file(self.folder / "summary.csv", summary_csv(rows))
            self._manifest |= {"official": not because, "unofficial_because": because}
            self._manifest["sessions"][-1]["finished"] = _now()
            self._write_manifest()
        self._rows = rows
        return rows

    def _know(self, references: Mapping[str, str] | None) -> None:
        """Adds references that were not there before."""
        if references is not None:
            self.identity = replace(self.identity, references={**references, **(self.identity.references or {})})
            self._manifest["identity"] = asdict(self.identity)

    def _write_manifest(self) -> None:
        replace_file(self.folder / "manifest.json", json.dumps(self._manifest, indent=1, sort_keys=True) + "\n")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"cannot write {error.filename or self.folder}: {error.strerror}; {self.kept}; "
                "the same command goes on from there"
            ) from error


def unofficial(identity: Identity, records: Sequence[Record], suite: Suite | None) -> list[str]:
    """Why a run may not stand on a leaderboard as official; empty if it may."""
    if suite is None:
        return ["scored against a folder, not a suite"]
    because = [
        f"{name} {asked}, the suite has {own}"
        for name, asked, own in (
            ("samples", identity.samples, suite.samples),
            ("seed", identity.seed, suite.seed),
            ("protocol", identity.protocol, suite.protocol),
            ("energy", identity.energy, suite.energy),
        )
        if asked not in (own, None)  # ensembles from elsewhere say neither; their samples are counted below
    ]
    if identity.samples is None and (
        odd := [record.target for record in records if not record.error and record.n_samples != suite.samples]
    ):
        because.append(f"other than {suite.samples} samples: {', '.join(odd)}")
    by_target = {record.target: record for record in records}
    lacking = [target.name for target in suite.targets if target.name not in by_target]
    failed = [record.target for record in records if record.error]
    if lacking:
        because.append(f"incomplete: not scored: {', '.join(lacking)}")
    if failed:
        because.append(f"incomplete: failed: {', '.join(failed)}")
    if changed := identity.card.get("changed"):
        because.append(f"settings other than the card's: {', '.join(changed)}")
    if identity.random_weights or any(record.random_weights for record in records):
        because.append("random weights: made to test the plumbing")
    return because


def machine() -> dict[str, Any]:
    """Where a run is made: platform, processors, versions of Python and of the libraries that numbers come from."""
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": found,
    }


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is replaced."""
    told = path.stat()
    return told.st_mtime_ns, told.st_ino


def _frame(text: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(io.StringIO(text), float_precision="round_trip")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(identity: Identity) -> Identity:
    """The identity as JSON gives it back, so that it compares equal to one that was read."""
    data = json.loads(json.dumps(asdict(identity)))
    return Identity(**{**data, "targets": tuple(data["targets"])})
