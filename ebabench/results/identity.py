"""The identity of a run: what makes it this run and no other, and whether it may be called official."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ebabench.errors import InputError
from ebabench.scoring.records import Record
from ebabench.system.fields import Name
from ebabench.system.files import open_regular
from ebabench.system.schema import first_fault

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite

_NOT_DIGESTED = ("references",)  # each record has that of its own reference


@dataclass(frozen=True)
class Identity:
    """What makes a run this run and no other. Runs of equal identity have equal records.

    Attributes:
        model: Name of the row.
        suite: The suite's id; empty where references are those of a folder.
        tier: Kind of the references.
        targets: Names of the targets, in the suite's order.
        samples: Conformations per target; None where ensembles from elsewhere do not say.
        seed: Seed of the run; None where ensembles from elsewhere do not say.
        protocol: How pairs are superposed.
        energy: The energy protocol; None for none.
        card: The model's card as plain data, with the settings that were changed; empty for ensembles from elsewhere.
        ensembles: Digest of ensembles from elsewhere (``files_digest``); empty for those that a model samples.
        references: Digest of every target's reference (``reference_digest``), of those that there are; None where a
            manifest of an earlier version does not say.
        random_weights: The model was run without its checkpoints, to test the plumbing.
        suite_digest: ``Suite.digest``; empty in manifests of earlier versions.
        folder: The folder of the references, where they are not those of a suite.
        reading: How files from elsewhere are read, where it is not the default (``chain``, ``modified_as_parent``,
            ``temperature``).
    """

    model: Name
    suite: str
    tier: str
    targets: tuple[Name, ...]
    samples: int | None
    seed: int | None
    protocol: str
    energy: str | None
    card: Mapping[str, Any] = field(default_factory=dict)
    ensembles: str = ""
    references: Mapping[str, str] | None = None
    random_weights: bool = False
    suite_digest: str = ""
    folder: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def card_digest(self) -> str:
        """Return the SHA-256 of the card, checkpoints' hashes included; empty without a card."""
        return _sha256(self.card) if self.card else ""

    def digest(self) -> str:
        """Return the SHA-256 of the identity but for the references, in hex. Every record has it."""
        digested = {name: value for name, value in asdict(self).items() if name not in _NOT_DIGESTED}
        if not self.reading:
            del digested["reading"]  # which identities of earlier versions lack
        return _sha256(digested)

    def plain(self) -> Identity:
        """Return the identity as JSON gives it back, so that it compares equal to one that was read."""
        data = json.loads(json.dumps(asdict(self)))
        return Identity(**{**data, "targets": tuple(data["targets"])})

    @staticmethod
    def of(data: Any) -> Identity:
        """Return the identity in a manifest, of this or an earlier version.

        Raises:
            ValueError: It is none; the message names the field.
        """
        try:
            found: Identity = _IDENTITY.validate_python(data)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from error
        if found.folder or found.suite_digest or found.tier not in ("folder", "atlas-analysis"):
            return found
        # Earlier versions wrote the folder into the place of the suite's id.
        of_folder = found.tier == "folder" or any(mark in found.suite for mark in "/\\.")
        return Identity(**{**vars(found), "suite": "", "folder": found.suite}) if of_folder else found

    def differences(self, asked: Identity) -> list[str]:
        """Return what another identity has otherwise: ``name: ours there, theirs asked``."""
        found = []
        for name in (item.name for item in fields(self)):
            ours, theirs = getattr(self, name), getattr(asked, name)
            if name == "references":
                found += _other_references(ours, theirs)
            elif ours == theirs or (name == "suite_digest" and not ours):  # an earlier version did not say
                continue
            elif name == "suite_digest":
                found.append(f"the suite {self.suite} was changed since")
            elif name in ("card", "ensembles", "targets"):
                found.append(f"other {name}")
            else:
                found.append(f"{name}: {ours} there, {theirs} asked")
        return found


_IDENTITY: TypeAdapter[Identity] = TypeAdapter(Identity)


def changed_references(one: Mapping[str, str] | None, other: Mapping[str, str] | None) -> list[str]:
    """Return the targets of which both know the reference, and know another one (digests by target)."""
    return sorted(name for name, digest in (one or {}).items() if (other or {}).get(name, digest) != digest)


def _other_references(ours: Mapping[str, str] | None, theirs: Mapping[str, str] | None) -> list[str]:
    if (ours is None) != (theirs is None):
        return ["an earlier version of ebabench made it, which did not say what the references were"]
    changed = changed_references(ours, theirs)
    return [f"other references of {', '.join(changed)}"] if changed else []


def files_below(path: Path) -> tuple[Path, ...]:
    """Return the files below a folder in the order of their paths; a file itself."""
    return tuple(one for one in sorted(path.rglob("*")) if one.is_file()) if path.is_dir() else (path,)


def files_digest(files: Mapping[str, Iterable[Path]]) -> str:
    """Return the SHA-256 of the names and contents of files.

    Args:
        files: The files of each target, in reading order.

    Raises:
        InputError: A file cannot be read, or is a pipe or a device (``file.broken``).
    """
    digest = hashlib.sha256()
    for name, paths in sorted(files.items()):
        for path in paths:
            try:
                digest.update(f"{name}|{path.name}|{path.stat().st_size}|".encode("utf-8", "surrogateescape"))
                with open_regular(path) as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise InputError(f"{path}: {error.strerror}", code="file.broken", file=str(path)) from error
    return digest.hexdigest()


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
    if cut := [record.target for record in records if record.missing_residues]:
        because.append(f"residues are missing: {', '.join(cut)}")
    if changed := identity.card.get("changed"):
        because.append(f"settings other than the card's: {', '.join(changed)}")
    batch = identity.card.get("sampling", {}).get("batch_size")
    if batch is not None and (
        fewer := [r.target for r in records if r.batch_size is not None and r.batch_size < min(batch, r.n_samples)]
    ):
        because.append(f"computed in smaller batches than {batch}, for want of memory: {', '.join(fewer)}")
    if identity.random_weights or any(record.random_weights for record in records):
        because.append("random weights: made to test the plumbing")
    return because


def _sha256(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
