"""``ebabench run``, and its two halves ``sample`` and ``score``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app, progress, show_table
from ebabench.datasets.layout import folder_tier
from ebabench.datasets.references import read_reference, reference_names
from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.errors import InputError, RunError
from ebabench.generators.build import build
from ebabench.generators.cards import Card, load_card
from ebabench.generators.protocol import Resources
from ebabench.scoring.metric import METRICS, Metric
from ebabench.scoring.reference_cache import reference_digest
from ebabench.scoring.spec import MetricSpec
from ebabench.structures import Reference, Target

if TYPE_CHECKING:
    from ebabench.generators.sampling import Outcome
    from ebabench.results.runs import Identity, Run
    from ebabench.scoring.score import Job

Reader = Callable[[str], Reference]

_Model = Annotated[str, typer.Option(help="A model of `ebabench list models`, or the path of a card.")]
_SuiteId = Annotated[str, typer.Option(help="A suite of `ebabench list suites`.")]
_Samples = Annotated[int | None, typer.Option(min=2, help="Conformations a target; the suite's own by default.")]
_Seed = Annotated[int | None, typer.Option(help="The suite's own by default.")]
_Jobs = Annotated[int | None, typer.Option(min=1, help="Processes that score; one a core by default.")]
_Data = Annotated[Path | None, typer.Option(help="References in the ATLAS layout, where they are not embedded.")]
_Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1; or several, as in cuda:0,cuda:1.")]
_Batch = Annotated[int | None, typer.Option(min=1, help="Conformations at once; halved whenever memory runs out.")]
_Random = Annotated[
    bool, typer.Option("--random-weights", help="Without checkpoints, to test the plumbing: never ranked.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE, in place of the card's setting: the row is then unofficial."),
]
_Out = Annotated[Path | None, typer.Option(help="The run folder; runs/SUITE/MODEL-sSEED-nSAMPLES by default.")]
_Boards = Annotated[Path, typer.Option(help="Where leaderboards are kept.")]
_BOARDS = Path("leaderboards")


@app.command()
def run(
    model: _Model,
    suite: _SuiteId = "peptides-v1",
    samples: _Samples = None,
    seed: _Seed = None,
    jobs: _Jobs = None,
    data: _Data = None,
    device: _Device = "cpu",
    batch_size: _Batch = None,
    random_weights: _Random = False,
    settings: _Set = None,
    out: _Out = None,
    leaderboards: _Boards = _BOARDS,
) -> None:
    """Samples a suite with a model, scores what it gives, and brings the leaderboard up to date."""
    chosen = load_suite(suite)
    card = card_with(model, settings)
    folder, reader, _ = _sample(card, chosen, samples, seed, data, device, batch_size, random_weights, out)
    _score(folder, reader, chosen, jobs)
    _place(folder, chosen, leaderboards)
    _complain(folder, _failures(folder))


@app.command()
def sample(
    model: _Model,
    suite: _SuiteId = "peptides-v1",
    samples: _Samples = None,
    seed: _Seed = None,
    data: _Data = None,
    device: _Device = "cpu",
    batch_size: _Batch = None,
    random_weights: _Random = False,
    settings: _Set = None,
    out: _Out = None,
) -> None:
    """Samples a suite with a model; `ebabench run` with the same settings goes on from there."""
    folder, _, failed = _sample(
        card_with(model, settings), load_suite(suite), samples, seed, data, device, batch_size, random_weights, out
    )
    _complain(folder, failed)
    print(f"ensembles are in {folder.folder / 'ensembles'}")


@app.command()
def score(
    ensembles: Annotated[Path, typer.Option(help="A folder with one ensemble a target: PDB, XTC, npz or mmCIF files.")],
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/SUITE/NAME by default.")] = None,
    name: Annotated[str | None, typer.Option(help="What the row is called.")] = None,
    model: Annotated[str | None, typer.Option(help="Or the card whose converter reads the folder.")] = None,
    suite: Annotated[str | None, typer.Option(help="The suite whose targets these are.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Or any references, in the ATLAS layout.")] = None,
    data: _Data = None,
    protocol: Annotated[str | None, typer.Option(help="corrected or alphaflow; the suite's by default.")] = None,
    jobs: _Jobs = None,
    leaderboards: _Boards = _BOARDS,
) -> None:
    """Scores ensembles from elsewhere against a suite, or against any references in the ATLAS layout."""
    from ebabench.io.structure_files import find_ensembles
    from ebabench.results.runs import Identity, Run, files_digest

    if (suite is None) == (reference is None):
        raise InputError("give either --suite or --reference")
    if (name is None) == (model is None):
        raise InputError("give either --name or --model")
    card = load_card(model) if model is not None else None
    files = find_ensembles(ensembles) if card is None else None
    chosen = load_suite(suite) if suite is not None else None
    reader: Reader
    if chosen is not None:
        reader, known, tier = reference_reader(chosen, data), [target.name for target in chosen.targets], chosen.tier
    else:
        assert reference is not None
        known = reference_names(reference)
        tier = folder_tier(reference, known)
        reader = partial(read_reference, reference, tier=tier)
    if files is not None:
        lacking, other = [name for name in known if name not in files], [name for name in files if name not in known]
        if not (known := [target for target in known if target in files]):
            raise InputError(f"{ensembles}: holds {_few(other)}, but the references are of other targets")
        if lacking:
            print(f"not scored, for {ensembles} has no ensembles of them: {_few(lacking)}")
        if other:
            print(f"left out, for no reference is of these: {_few(other)}")
    identity = Identity(
        model=card.name if card else str(name),
        suite=chosen.id if chosen else str(reference),
        tier=tier,
        targets=tuple(known),
        samples=None,
        seed=None,
        protocol=protocol or (chosen.protocol if chosen else "corrected"),
        energy=chosen.energy if chosen else None,
        card=card.facts() if card else {},
        ensembles=files_digest({target: files[target] for target in known} if files else {"": ensembles}),
        references=_digests(reader, known),
    )
    place = chosen.id if chosen else Path(identity.suite).resolve().name
    folder = Run.open(out or Path("runs") / place / identity.model, identity)
    if card is not None:
        from ebabench.generators.converters import convert

        targets = [reader(target).target for target in known]
        outcomes = convert(card, ensembles, targets, folder.load_ensemble, folder.save_ensemble)
        _keep(folder, reader, targets, outcomes, "converting")
    _score(folder, reader, chosen, jobs, files)
    if chosen is not None:
        _place(folder, chosen, leaderboards)
    _complain(folder, _failures(folder))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + f" and {len(names) - 5} more" * (len(names) > 5)


def card_with(model: str, settings: Sequence[str] | None) -> Card:
    """The card of a model, with what ``--set`` changes. Raises InputError."""
    changes = dict(text.partition("=")[::2] for text in settings or ())
    if wrong := [text for text in settings or () if "=" not in text]:
        raise InputError(f"--set {wrong[0]}: not of the form KEY=VALUE")
    return load_card(model).with_settings(changes)


def _sample(
    card: Card,
    suite: Suite,
    samples: int | None,
    seed: int | None,
    data: Path | None,
    device: str,
    batch_size: int | None,
    random_weights: bool,
    out: Path | None,
) -> tuple[Run, Reader, dict[str, str]]:
    """The run, what reads its references, and why targets failed."""
    from ebabench.generators.sampling import sample as sample_all
    from ebabench.results.runs import Run

    if random_weights and card.environment.kind != "worker":
        raise InputError(
            f"--random-weights: {card.name} runs {card.environment.kind}; only workers build such networks"
        )
    reader = reference_reader(suite, data)
    targets, digests = [], {}
    for name in (target.name for target in suite.targets):
        reference = reader(name)
        targets.append(reference.target)
        digests[name] = reference_digest(reference)
    seed = suite.seed if seed is None else seed
    identity = _identity(card, suite, samples or suite.samples, seed, random_weights, digests)
    assert identity.samples is not None
    assert identity.seed is not None
    name = f"{card.name}-s{identity.seed}-n{identity.samples}" + "-random-weights" * random_weights
    out = out or Path("runs") / suite.id / name
    generators = [
        build(card, Resources(one, reader, batch_size, out / "logs", random_weights)) for one in devices(device)
    ]
    folder = Run.open(out, identity)
    outcomes = sample_all(
        generators,
        targets,
        identity.samples,
        identity.seed,
        folder.load_ensemble,
        folder.save_ensemble,
        card.provides,
    )
    return folder, reader, _keep(folder, reader, targets, outcomes, "sampling")


def devices(text: str) -> list[str]:
    """The devices in ``cuda:0,cuda:1``. Raises InputError for what is none."""
    found = text.split(",")
    for one in found:
        if not re.fullmatch(r"cpu|cuda(:\d+)?|mps", one):
            raise InputError(f"--device {text}: {one!r} is none of cpu, cuda, cuda:0, cuda:1, ..., mps")
    return found


def _keep(
    folder: Run, reader: Reader, targets: Sequence[Target], outcomes: Iterator[Outcome], doing: str
) -> dict[str, str]:
    """Keeps why targets failed, as records, and gives it."""
    sequences = {target.name: target.sequence for target in targets}
    failed = {}
    with _interruptible(folder), progress() as bar:
        task = bar.add_task(doing, total=len(targets))
        for outcome in outcomes:
            if outcome.error is not None:
                failed[outcome.target] = outcome.error
                job = _job(folder, reader, outcome.target, sequences[outcome.target])
                folder.save_record(job.failed(outcome.error))
            bar.advance(task)
    return failed


def _identity(
    card: Card, suite: Suite, samples: int, seed: int, random_weights: bool, references: Mapping[str, str]
) -> Identity:
    from ebabench.results.runs import Identity

    return Identity(
        model=card.name,
        suite=suite.id,
        tier=suite.tier,
        targets=tuple(target.name for target in suite.targets),
        samples=samples,
        seed=seed,
        protocol=suite.protocol,
        energy=suite.energy,
        card=card.facts(),
        references=references,
        random_weights=random_weights,
    )


def _digests(reader: Reader, targets: Iterable[str]) -> dict[str, str]:
    """What the references are; one that cannot be read fails its target when that is scored, not the others."""
    found = {}
    for target in targets:
        with suppress(InputError):
            found[target] = reference_digest(reader(target))
    return found


def _score(
    folder: Run, reader: Reader, suite: Suite | None, processes: int | None, files: dict[str, Path] | None = None
) -> None:
    from ebabench.results.leaderboard import print_summary
    from ebabench.scoring.score import score as score_all

    metrics, specs = _metrics()
    jobs = []
    for name in folder.pending(specs):
        path = files[name] if files is not None else folder.ensemble_path(name)
        if path.exists():
            sequence = suite.target(name).sequence if suite else reader(name).target.sequence
            jobs.append(_job(folder, reader, name, sequence, path if files is not None else None))
    settings = folder.identity
    with _interruptible(folder), progress() as bar:
        task = bar.add_task("scoring", total=len(jobs))
        for record in score_all(
            jobs, metrics, protocol=settings.protocol, energy_protocol=settings.energy, processes=processes
        ):
            folder.save_record(record)
            bar.advance(task)
    rows = folder.finish(specs, suite)
    show_table(print_summary(rows, f"{settings.model} on {settings.suite}: {folder.folder}"))


def _job(folder: Run, reader: Reader, name: str, sequence: str, path: Path | None = None) -> Job:
    from ebabench.io.structure_files import load_ensemble, read_ensemble
    from ebabench.scoring.score import Job

    ensemble = partial(read_ensemble, path, name) if path else partial(load_ensemble, folder.ensemble_path(name), name)
    return Job(name, sequence, folder.identity.tier, ensemble, partial(reader, name))


def _metrics() -> tuple[list[Metric], list[MetricSpec]]:
    metrics = [METRICS.load(name) for name in METRICS]
    return metrics, [spec for metric in metrics for spec in metric.specs]


def _place(folder: Run, suite: Suite, leaderboards: Path) -> None:
    from ebabench.results.leaderboard import rebuild, refusal
    from ebabench.results.report import write_report
    from ebabench.results.runs import Run

    finished = Run.read(folder.folder)
    if why := refusal(finished, suite):
        print(f"not on the leaderboard: {why}")
        return
    write_report(rebuild(suite, [finished], _metrics()[1], leaderboards), suite, leaderboards)
    print(f"the leaderboard is {leaderboards / suite.id}.csv")


def _failures(folder: Run) -> dict[str, str]:
    return {record.target: record.error for record in folder.records() if record.error is not None}


def _complain(folder: Run, failed: Mapping[str, str]) -> None:
    """Raises RunError if targets failed: what was asked for was not all done."""
    for target, reason in failed.items():
        raise RunError(
            f"{len(failed)} of {len(folder.identity.targets)} targets failed, "
            f"{target}: {reason.removeprefix(f'{target}: ')}; "
            f"the others are kept in {folder.folder}, and the same command tries again"
        )


@contextmanager
def _interruptible(folder: Run) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        kept = [len(list((folder.folder / kind).glob("[!.]*"))) for kind in ("ensembles", "records")]
        raise RunError(
            f"interrupted; kept in {folder.folder}: {kept[0]} ensembles and {kept[1]} records; the same command goes on"
        ) from error
