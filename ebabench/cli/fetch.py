"""``ebabench fetch``: references and ensembles that others published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app
from ebabench.errors import InputError, RunError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Report = Callable[[int, int | None], None]
Work = Callable[[str, Report], None]

fetch = typer.Typer(help="Fetches what others published: molecular dynamics, and models' ensembles.")
app.add_typer(fetch, name="fetch")


class Split(StrEnum):
    """The splits of ATLAS."""

    TEST = "test"
    VAL = "val"
    TRAIN = "train"


class Tier(StrEnum):
    """The archives of ATLAS: 10,001 frames a replica, or 1,001."""

    PROTEIN = "protein"
    ANALYSIS = "analysis"


@fetch.command()
def atlas(
    split: Annotated[Split, typer.Option(help="Which chains: those of the suite atlas-SPLIT-v1.")],
    tier: Annotated[Tier, typer.Option(help="10,001 frames a replica, or 1,001 of them.")] = Tier.PROTEIN,
    mirror: Annotated[str | None, typer.Option(help="Another server with the same paths.")] = None,
    data: Annotated[Path | None, typer.Option(help="Where they go; data/atlas-TIER by default.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Only this chain; may be given more than once.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Chains fetched at a time.")] = 4,
) -> None:
    """Fetch molecular dynamics of ATLAS, or go on with it, verify it and pin it (CC BY-NC 4.0)."""
    from ebabench.datasets.atlas import BASE, LICENCE, LOCK, check_tier, fetch_chain
    from ebabench.datasets.suites import load_suite

    suite, kind = load_suite(f"atlas-{split.value}-v1"), f"atlas-{tier.value}"
    chosen = {one.name: one.sequence for one in ([suite.target(name) for name in target] if target else suite.targets)}
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise InputError(f"--mirror {mirror}: begins with neither http:// nor https://")
    root = data or Path("data") / kind
    check_tier(root, kind)
    root.mkdir(parents=True, exist_ok=True)
    print(LICENCE)

    def one(chain: str, report: Report) -> None:
        fetch_chain(root, chain, chosen[chain], kind, mirror or BASE, report)

    if failed := _all(kind, list(chosen), one, jobs):
        first, reason = next(iter(failed.items()))
        raise RunError(
            f"{len(failed)} of {len(chosen)} chains are missing ({', '.join(failed)}); {first}: {reason}; "
            f"the others are in {root}, and the same command goes on"
        )
    print(f"{len(chosen)} chains of {kind} are in {root}, verified, and pinned in {root / LOCK}")


@fetch.command()
def ensembles(
    model: Annotated[str, typer.Argument(help="A model of `ebabench list models`, or the path of a card.")],
    suite: Annotated[str, typer.Option(help="The suite that they are of.")] = "atlas-test-v1",
    out: Annotated[Path | None, typer.Option(help="Where they go; data/ensembles/SUITE/MODEL by default.")] = None,
) -> None:
    """Fetch the ensembles that a model's authors published, for `ebabench score` to measure."""
    from ebabench.datasets.published_ensembles import fetch_ensembles, published
    from ebabench.datasets.suites import load_suite
    from ebabench.generators.cards import load_card

    card, chosen = load_card(model), load_suite(suite)
    source = published(card, chosen.id)
    root = out or Path("data") / "ensembles" / chosen.id / card.name
    sequences = {target.name: target.sequence for target in chosen.targets}
    print(f"{card.name}: {card.licence}; {card.paper}")
    found: list[str] = []

    def one(_: str, report: Report) -> None:
        found.extend(fetch_ensembles(root, source, sequences, report))

    if failed := _all(chosen.id, [card.name], one, jobs=1):
        raise RunError(f"{failed[card.name]}; what arrived whole is kept, the same command goes on from it")
    print(f"ensembles of {len(found)} of {len(sequences)} targets are in {root}")
    where = f"--ensembles {root} --suite {suite} --data DIR --out runs/{chosen.id}/{card.name}-published"
    print(f"ebabench score --model {model} {where}")
    if lacking := [name for name in sequences if name not in found]:
        raise RunError(f"{source.url} has no ensemble of {', '.join(lacking)}; the others are in {root}")


def _all(title: str, names: Sequence[str], work: Work, jobs: int) -> dict[str, str]:
    """Do the work for every name, some at a time; why it failed, by name."""
    from ebabench.system.download import UnreachableError

    failed: dict[str, str] = {}
    with _progress() as bar, _threads(jobs) as (pool, stop):
        overall = bar.add_task(title, total=len(names), state=f"0 of {len(names)}")

        def one(name: str) -> None:
            stop.check()
            task = bar.add_task(name, total=None, state="")
            try:
                work(name, stop.guard(_teller(bar, task)))
            finally:
                bar.remove_task(task)

        futures = {pool.submit(one, name): name for name in names}
        for done, future in enumerate(as_completed(futures), 1):
            try:
                future.result()
            except UnreachableError as error:
                raise RunError(f"{error}; what was finished is kept, the same command goes on from it") from error
            except RunError as error:
                failed[futures[future]] = str(error)
            state = f"{done} of {len(names)}" + f", {len(failed)} failed" * bool(failed)
            bar.update(overall, completed=done, state=state)
    return {name: failed[name] for name in names if name in failed}


def _teller(bar: Progress, task: TaskID) -> Report:
    def tell(here: int, total: int | None) -> None:
        of = f" of {total / 1e6:.0f}" if total else ""
        bar.update(task, completed=here, total=total, state=f"{here / 1e6:.0f}{of} MB")

    return tell


class _Stop:
    """Ends threads at their next report, since nothing else does."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        self._asked.set()

    def check(self) -> None:
        if self._asked.is_set():
            raise RunError("interrupted")

    def guard(self, report: Report) -> Report:
        def guarded(here: int, total: int | None) -> None:
            self.check()
            report(here, total)

        return guarded


@contextmanager
def _threads(jobs: int) -> Iterator[tuple[ThreadPoolExecutor, _Stop]]:
    """Threads that are told to end when the body does not end well."""
    stop = _Stop()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield pool, stop
        except BaseException:
            stop.ask()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _progress() -> Progress:
    """A bar for everything and one for each download, on the error stream; silent where that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
