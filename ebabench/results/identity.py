"""What makes a run this run and no other, and whether it may be called official."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebabench.scoring.records import Record

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite


@dataclass(frozen=True)
class Identity:
    """What makes a run this run and no other. Runs of equal identity have equal records.

    Attributes:
        model: Name of the model, or of a row of ensembles from elsewhere.
        suite: Id of the suite, or the reference folder.
        tier: Kind of the references.
        targets: Names of all targets of the run.
        samples: Conformations per target; None where ensembles from elsewhere do not say.
        seed: Seed of the run; None where ensembles from elsewhere do not say.
        protocol: "corrected" or "alphaflow".
        energy: The energy protocol, if there is one.
        card: The model's card as plain data; empty for ensembles from elsewhere.
        ensembles: Digest of ensembles from elsewhere (``files_digest``); empty for ensembles that a model samples.
        references: Digests of the references that are known so far (``reference_cache.reference_digest``), by target;
            None where a manifest of an earlier version does not say.
        random_weights: Whether the model is run without its checkpoints, to test the plumbing.
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

    @staticmethod
    def of(data: Mapping[str, Any]) -> Identity:
        """Return the identity in plain data. Raises TypeError or KeyError if it is none."""
        return Identity(**{**data, "targets": tuple(data["targets"])})

    def plain(self) -> Identity:
        """Return the identity as JSON gives it back, so that it compares equal to one that was read."""
        return Identity.of(json.loads(json.dumps(asdict(self))))

    def card_digest(self) -> str:
        """Return the SHA-256 of the card, checkpoints' hashes included; empty without a card."""
        return hashlib.sha256(json.dumps(self.card, sort_keys=True).encode()).hexdigest() if self.card else ""

    def differences(self, asked: Identity) -> list[str]:
        """Return what another identity has otherwise, in words: ``name: ours there, theirs asked``."""
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
    """Return the targets of which both sides know the reference, but not the same one (digests by target)."""
    return sorted(name for name, digest in (one or {}).items() if (other or {}).get(name, digest) != digest)


def _other_references(ours: Mapping[str, str] | None, theirs: Mapping[str, str] | None) -> list[str]:
    if (ours is None) != (theirs is None):
        return ["an earlier version of ebabench made it, which did not say what the references were"]
    changed = changed_references(ours, theirs)
    return [f"other references of {', '.join(changed)}"] if changed else []


def files_digest(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 of the names and contents of files. A folder counts as all files in it."""
    digest = hashlib.sha256()
    for name, root in sorted(files.items()):
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file():
                digest.update(f"{name}|{path.name}|{path.stat().st_size}|".encode())
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def unofficial(identity: Identity, records: Sequence[Record], suite: Suite | None) -> list[str]:
    """Return why a run may not stand on a leaderboard as official, one reason each; empty if it may."""
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
