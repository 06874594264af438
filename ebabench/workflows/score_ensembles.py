"""Score a folder of ensembles from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path

from ebabench.datasets.layout import folder_tier
from ebabench.datasets.references import References, reference_names
from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.generators.cards import CARDS, Card
from ebabench.io.structure_files import find_ensembles
from ebabench.results.identity import Identity, files_digest
from ebabench.results.runs import Run
from ebabench.scoring.metric import Metric
from ebabench.scoring.selection import select_metrics
from ebabench.system.names import check_name
from ebabench.workflows.models import model_card
from ebabench.workflows.progress import Progress, silent
from ebabench.workflows.publish import LEADERBOARDS, publish
from ebabench.workflows.session import Session
from ebabench.workflows.targets import digest_here, few, select_targets, small_digests, targets_here


def score_ensembles(
    ensembles: str | os.PathLike[str],
    *,
    suite: str | Suite | None = None,
    reference: str | os.PathLike[str] | None = None,
    name: str | None = None,
    model: str | os.PathLike[str] | Card | None = None,
    targets: Sequence[str] | None = None,
    shard: str | None = None,
    data: str | os.PathLike[str] | None = None,
    metrics: Iterable[str | Metric] | None = None,
    energy: bool = True,
    protocol: str | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    leaderboards: str | os.PathLike[str] | None = LEADERBOARDS,
    progress: Progress = silent,
) -> Run:
    """Score a folder with one ensemble per target, and return the run. ``run.check()`` raises if a target failed.

    Args:
        ensembles: A folder with one file or sub-folder per target, or what the converter of ``model`` reads.
        suite: The suite of the targets; or else
        reference: any references, in the layout of ATLAS.
        name: Name of the row; or else
        model: the model whose card names a converter.
        targets: Names of the targets of this session; all by default. The run is incomplete until all are scored.
        shard: "i/n" for every n-th target from the i-th on, so that n sessions share the targets.
        data: The folder of the suite's references, where they are not embedded.
        metrics: Keys, families or ``Metric`` objects; all by default.
        energy: False leaves out the metrics that need energies.
        protocol: "corrected", "alphaflow" or "symmetric"; the suite's by default.
        jobs: Processes that score; one per core by default.
        executor: Scores in place of processes: anything with the interface of ``concurrent.futures``.
        out: The run folder; ``runs/SUITE/NAME`` by default.
        leaderboards: The folder of the leaderboard that gets the row of a run on a suite; None for no leaderboard.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: Wrong usage or input; nothing was done.
        RunError: Something cannot be written. The message says what is kept.
    """
    if (suite is None) == (reference is None):
        raise InputError("give either --suite or --reference", code="score.reference")
    if (name is None) == (model is None):
        raise InputError("give either --name or --model", code="score.name")
    if name is not None and check_name(name, "--name") in CARDS:
        raise InputError(
            f"--name {name}: that is a model of `ebabench list models`, and these are ensembles from elsewhere: "
            "call them otherwise",
            code="score.name_taken",
            name=name,
        )
    selection = select_metrics(metrics, energy=energy)
    folder = Path(ensembles)
    card = model_card(model) if model is not None else None
    files = find_ensembles(folder) if card is None else None
    chosen = load_suite(suite) if isinstance(suite, str) else suite
    read = _references(chosen, reference, data)
    known, remarks = list(read.names), list[str]()
    if files is not None:
        known, remarks = _with_both_sides(folder, files, known)
    names, missing = targets_here(read, select_targets(known, targets, shard), bool(targets))
    identity = Identity(
        model=card.name if card else str(name),
        suite=chosen.id if chosen else "",
        suite_digest=chosen.digest() if chosen else "",
        folder="" if chosen else str(reference),
        tier=read.tier,
        targets=tuple(known),
        samples=None,
        seed=None,
        protocol=protocol or (chosen.protocol if chosen else "corrected"),
        energy=chosen.energy if chosen else None,
        card=card.facts() if card else {},
        ensembles=files_digest({target: files[target] for target in known} if files else {"": folder}),
        references=small_digests(read, names, strict=False),
    )
    place = chosen.id if chosen else Path(identity.folder).resolve().name
    made = Run.open(
        Path(out) if out is not None else Path("runs") / place / identity.model, identity, partial(digest_here, read)
    )
    made.remarks += [*remarks, *missing]
    session = Session(made, read, chosen, _sequences(read, chosen, names), progress, files)
    if card is not None:
        from ebabench.generators.converters import convert

        asked = [read.target(target) for target in names]
        session.keep("converting", convert(card, folder, asked, made.load_ensemble, made.save_ensemble))
    session.score(selection, jobs, executor)
    if chosen is not None and leaderboards is not None:
        publish(made, chosen, leaderboards)
    return made


def _references(
    suite: Suite | None, reference: str | os.PathLike[str] | None, data: str | os.PathLike[str] | None
) -> References:
    if suite is not None:
        return reference_reader(suite, Path(data) if data is not None else None)
    assert reference is not None
    folder = Path(reference)
    names = reference_names(folder)
    return References(folder, names, folder_tier(folder, names))


def _sequences(read: References, suite: Suite | None, names: Sequence[str]) -> dict[str, str]:
    """Sequence by target; empty for a target whose reference cannot be read, which then fails when it is scored."""
    if suite is not None:
        return {name: suite.target(name).sequence for name in names}
    found = dict.fromkeys(names, "")
    for name in names:
        with suppress(InputError):
            found[name] = read.target(name).sequence
    return found


def _with_both_sides(folder: Path, files: dict[str, Path], known: list[str]) -> tuple[list[str], list[str]]:
    """The targets that have both sides, and remarks on those that do not."""
    lacking, other = [name for name in known if name not in files], [name for name in files if name not in known]
    if not (found := [target for target in known if target in files]):
        raise InputError(
            f"{folder}: holds {few(other)}, but the references are of other targets", code="score.targets", file=folder
        )
    remarks = [f"not scored, for {folder} has no ensembles of them: {few(lacking)}"] * bool(lacking)
    remarks += [f"left out, for no reference is of these: {few(other)}"] * bool(other)
    return found, remarks
