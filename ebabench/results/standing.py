"""What a run is worth on a leaderboard: official, unofficial, incomplete, claimed, or nothing at all.

Nothing is taken from what a run folder says of itself in its manifest or tables. What counts are the records, each of
which has a digest of itself, of its ensemble, of its reference and of the run's identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebabench.errors import InputError
from ebabench.io.npz import load_ensemble
from ebabench.results.identity import unofficial
from ebabench.results.runs import Run
from ebabench.scoring.records import Record
from ebabench.system.names import name_fault

if TYPE_CHECKING:
    from ebabench.datasets.suites import Suite

OFFICIAL, UNOFFICIAL, INCOMPLETE, CLAIMED, QUOTED = "official", "unofficial", "incomplete", "claimed", "quoted"


@dataclass(frozen=True)
class Standing:
    """The status of a row, and why it is not official."""

    status: str
    because: tuple[str, ...]


def refusal(run: Run, suite: Suite) -> str:
    """Return why a run may not stand on the leaderboard of ``suite``, marked or not; empty if it may."""
    identity, records = run.identity, run.records()
    others = sorted({record.tier for record in records if record.tier != suite.tier})
    fault = name_fault(identity.model)
    untrained = identity.random_weights or any(record.random_weights for record in records)
    changed = identity.suite_digest not in ("", suite.digest())
    faults = {
        f"its name is no name of a row: {fault}": fault,
        f"is a run of {identity.suite or identity.folder}, not of {suite.id}": identity.suite != suite.id,
        f"{suite.id} was changed since it was made: a changed suite needs a new id": changed,
        f"scored against {', '.join(others)}; {suite.id} is {suite.tier}: tiers are never mixed": others,
        "made with random weights, to test the plumbing: never ranked": untrained,
        "is not finished; the same command goes on with it": not (run.folder / "summary.csv").exists(),
        "none of its targets was scored": all(record.error for record in records),
    }
    return next((fault for fault, found in faults.items() if found), "") or _contradiction(run, records)


def standing(run: Run, suite: Suite) -> Standing:
    """Return what a run is worth that ``refusal`` does not refuse."""
    records = run.records()
    because = list(dict.fromkeys([*unofficial(run.identity, records, suite), *run.unofficial_because]))
    scored = [record for record in records if not record.error]
    if len(scored) < len(suite.targets):
        return Standing(INCOMPLETE, tuple(because))
    if untraced := _untraced(run, scored):
        return Standing(CLAIMED, (*untraced, *because))
    return Standing(UNOFFICIAL if because else OFFICIAL, tuple(because))


def _untraced(run: Run, records: Sequence[Record]) -> list[str]:
    """Why the figures cannot be traced to what they were made of."""
    found = []
    if unsaid := [record.target for record in records if not record.inputs]:
        found.append(f"cannot be traced: records of an earlier version: {', '.join(unsaid)}")
    if not run.identity.suite_digest or run.identity.references is None:
        found.append("cannot be traced: made by an earlier version, which did not say what suite and references were")
    here = [record for record in records if run.ensemble_path(record.target).exists()]
    gone = [record.target for record in records if record not in here]
    if gone and (here or not run.identity.ensembles):  # those from elsewhere are not kept
        found.append(f"cannot be traced: the ensembles are not there: {', '.join(gone)}")
    others = [record.target for record in here if record.inputs and not _made_of(run, record)]
    if others:
        found.append(f"cannot be traced: the records are not of these ensembles: {', '.join(others)}")
    return found


def _made_of(run: Run, record: Record) -> bool:
    try:
        return load_ensemble(run.ensemble_path(record.target), record.target).digest() == record.inputs.get("ensemble")
    except InputError:
        return False


def _contradiction(run: Run, records: Sequence[Record]) -> str:
    """What a run folder says in two ways."""
    for record in records:
        if not record.inputs:
            continue
        if record.inputs.get("run") != run.identity.digest():
            return f"the record of {record.target} is of another run, or the manifest was changed"
        known = run.identity.references
        if (known or {}).get(record.target, record.inputs.get("reference")) != record.inputs.get("reference"):
            return f"the record of {record.target} is of another reference than the run"
    return ""
