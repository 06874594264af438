"""Score a folder of ensembles from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from ebabench.datasets.reference_layouts import find_references
from ebabench.datasets.references import References
from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.generators.build import code_digest
from ebabench.generators.cards import CARDS, Card
from ebabench.io.layouts import Found, find_sources, read_source
from ebabench.io.layouts.telling import told
from ebabench.results.identity import Identity, files_below, files_digest
from ebabench.results.runs import Run
from ebabench.scoring.metric import Metric
from ebabench.scoring.selection import select_metrics
from ebabench.system.names import check_name
from ebabench.workflows.cluster import Cluster, connected
from ebabench.workflows.md_time import md_time_if_stored
from ebabench.workflows.models import model_card
from ebabench.workflows.progress import Progress, silent
from ebabench.workflows.publish import LEADERBOARDS, publish
from ebabench.workflows.session import Elsewhere, Session
from ebabench.workflows.targets import digest_here, few, remember_digests, select_targets, small_digests, targets_here

_Path = str | os.PathLike[str]


def score_ensembles(
    ensembles: _Path,
    *,
    suite: str | Suite | None = None,
    reference: _Path | None = None,
    name: str | None = None,
    model: _Path | Card | None = None,
    targets: Sequence[str] | str | None = None,
    shard: str | None = None,
    data: _Path | None = None,
    chain: str | None = None,
    modified_as_parent: bool = False,
    temperature: int | None = None,
    metrics: Iterable[str | Metric] | str | Metric | None = None,
    energy: bool = True,
    protocol: str | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    cluster: Cluster | None = None,
    out: _Path | None = None,
    leaderboards: _Path | None = LEADERBOARDS,
    progress: Progress = silent,
) -> Run:
    """Score a folder of ensembles, and return the run. ``run.check()`` raises if a target failed.

    Args:
        ensembles: The output folder of a generator (``ebabench.inspect`` shows what is read), one file of it, or what
            the converter of ``model`` reads.
        suite: The suite of the targets; or else
        reference: any references, in a layout of ``find_references``.
        name: Name of the row; or else
        model: the model whose card names a converter.
        targets: Names of the targets of this session; all by default. The run is incomplete until all are scored.
        shard: "i/n" for every n-th target from the i-th on, so that n sessions share the targets.
        data: The folder of the suite's references, where they are not embedded.
        chain: The identifier of the protein chain that is meant, in files that have several.
        modified_as_parent: Take a modified residue for the amino acid that it derives from (SEP for SER).
        temperature: In kelvin, of mdCATH's references.
        metrics: Keys, families or ``Metric`` objects; all by default.
        energy: False leaves out the metrics that need energies.
        protocol: "corrected", "alphaflow" or "symmetric"; the suite's by default.
        jobs: Processes that score; one per core by default.
        executor: Scores in place of processes: anything with the interface of ``concurrent.futures``.
        cluster: Score on the workers of a Dask cluster; see ``ebabench.run``.
        out: The run folder; ``runs/SUITE/NAME`` by default.
        leaderboards: The folder of the leaderboard that gets the row of a run on a suite; None for no leaderboard.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: Wrong usage or input; nothing was done.
        RunError: Something cannot be written. The message says what is kept.

    Example:
        >>> import ebabench, tempfile
        >>> sampled = ebabench.sample("static", "peptides-v1", samples=5, out=tempfile.mkdtemp())
        >>> options = {"metrics": ["pairwise_rmsd"], "out": tempfile.mkdtemp(), "leaderboards": None, "jobs": 1}
        >>> run = ebabench.score_ensembles(sampled.folder / "ensembles", suite="peptides-v1", name="mine", **options)
        >>> len(run.targets)
        8
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
    if temperature is not None and reference is None:
        raise InputError("--temperature is for --reference", code="score.temperature")
    if model is not None and (chain is not None or modified_as_parent):
        raise InputError("--chain and --modified-as-parent are for --name", code="score.reading")
    selection = select_metrics(metrics, energy=energy)
    folder = Path(ensembles)
    card = model_card(model) if model is not None else None
    chosen = load_suite(suite) if isinstance(suite, str) else suite
    how: dict[str, Any] = {"chain": chain, "modified_as_parent": modified_as_parent}
    read = _references(chosen, reference, data, {"temperature": temperature, **how})
    known, remarks = list(read.names), list[str]()
    if card is None:
        sequences = _sequences(read, chosen, known)
        found = find_sources(folder, sequences)
        remarks = _checked(folder, found, known)
        known = [name for name in known if name in found.sources]
        files = {name: found.sources[name].files for name in known}
        elsewhere = {
            name: Elsewhere(partial(read_source, source, name, **how), told(source), str(source))
            for name, source in found.sources.items()
        }
    else:
        files, elsewhere = {"": files_below(folder)}, None
    names, missing = targets_here(read, select_targets(known, targets, shard), bool(targets))
    if card is not None:
        sequences = _sequences(read, chosen, names)
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
        ensembles=files_digest(files),
        references=small_digests(read, names, strict=False),
        reading={key: value for key, value in {"temperature": temperature, **how}.items() if value},
    )
    place = chosen.id if chosen else Path(identity.folder).resolve().stem
    with connected(cluster, jobs, progress, read, names, identity.references) as (workers, tell):
        made = Run.open(
            Path(out) if out is not None else Path("runs") / place / identity.model,
            identity,
            partial(digest_here, read),
        )
        made.remarks += [*remarks, *missing]
        asked = {name: sequences[name] for name in names}
        session = Session(made, read, chosen, asked, tell, elsewhere, source=str(folder))
        if card is not None:
            from ebabench.generators.converters import convert

            those = [read.target(target) for target in names]
            outcomes = convert(card, folder, those, made.load_ensemble, made.save_ensemble)
            session.keep("converting", outcomes, code_digest(card))
        session.score(selection, jobs, workers or executor)
    remember_digests(read, session.run.identity.references or {})
    if chosen is not None:
        md_time_if_stored(made, chosen, read)
    if chosen is not None and leaderboards is not None:
        publish(made, chosen, leaderboards)
    return made


def _references(suite: Suite | None, reference: _Path | None, data: _Path | None, how: Mapping[str, Any]) -> References:
    if suite is not None:
        return reference_reader(suite, Path(data) if data is not None else None)
    assert reference is not None
    return find_references(Path(reference), **how)


def _sequences(read: References, suite: Suite | None, names: Sequence[str]) -> dict[str, str]:
    """Sequence by target; empty for a target whose reference cannot be read, which then fails when it is scored.

    Raises:
        InputError: No reference can be read.
    """
    if suite is not None:
        return {name: suite.target(name).sequence for name in names}
    found, faults = dict.fromkeys(names, ""), []
    for name in names:
        try:
            found[name] = read.target(name).sequence
        except InputError as error:
            faults.append(error)
    if faults and len(faults) == len(names):
        raise faults[0]
    return found


def _checked(folder: Path, found: Found, known: Sequence[str]) -> list[str]:
    """Return remarks on what is not scored. Raises InputError if nothing is, or if a source has a fault."""
    others = [source.names[0] for source in found.strangers]
    if not found.sources:
        raise InputError(
            f"{folder}: holds {few(others)}, but the references are of other targets ({few(known)}): neither names "
            "nor sequences fit",
            code="score.targets",
            file=folder,
        )
    for source in found.sources.values():
        if source.fault is not None:
            raise source.fault
    lacking = [name for name in known if name not in found.sources]
    remarks = [f"not scored, for {folder} has no ensembles of them: {few(lacking)}"] * bool(lacking)
    return remarks + [f"left out, for no reference is of these: {few(others)}"] * bool(others)
