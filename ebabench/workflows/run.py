"""Sample a suite with a model, and score the ensembles."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebabench.datasets import DEFAULT_SUITE
from ebabench.datasets.layout import check_there
from ebabench.datasets.references import References
from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.datasets.targets import target_of
from ebabench.errors import InputError
from ebabench.generators.build import build, code_digest
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Resources
from ebabench.generators.sampling import check_asked, sample_on
from ebabench.generators.sampling import sample as sample_all
from ebabench.results.identity import Identity
from ebabench.results.runs import Run
from ebabench.scoring.metric import Metric
from ebabench.scoring.selection import Selection, select_metrics
from ebabench.structures import Target
from ebabench.system.devices import parse_devices
from ebabench.workflows.cluster import Cluster, connected, sampler
from ebabench.workflows.compiling import compiled_meanwhile
from ebabench.workflows.md_time import md_time_if_stored
from ebabench.workflows.models import check_random_weights, model_card, model_devices
from ebabench.workflows.progress import Progress, silent
from ebabench.workflows.publish import LEADERBOARDS, publish
from ebabench.workflows.session import Session
from ebabench.workflows.targets import (
    digest_here,
    remember_digests,
    select_targets,
    small_digests,
    targets_here,
    without_md,
)

if TYPE_CHECKING:
    from ebabench.system.cluster import ClusterExecutor


def run(
    model: str | os.PathLike[str] | Card,
    suite: str | Suite = DEFAULT_SUITE,
    *,
    targets: Sequence[str] | str | None = None,
    shard: str | None = None,
    samples: int | None = None,
    seed: int | None = None,
    data: str | os.PathLike[str] | None = None,
    metrics: Iterable[str | Metric] | str | Metric | None = None,
    energy: bool = True,
    device: str = "cpu",
    batch_size: int | None = None,
    random_weights: bool = False,
    settings: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    cluster: Cluster | None = None,
    out: str | os.PathLike[str] | None = None,
    leaderboards: str | os.PathLike[str] | None = LEADERBOARDS,
    progress: Progress = silent,
) -> Run:
    """Sample a suite with a model, score the ensembles, and return the run.

    The run folder is resumed where it was stopped: nothing is computed twice but ``Metric`` objects. Several
    processes may work on one run folder: each leaves the others' targets alone. A suite of which some references
    are not here is run on the others. ``run.remarks`` says what was left out, and ``run.check()`` raises if a
    target failed.

    Args:
        model: A name of ``ebabench.list_models()``, the path of a card, or a card.
        suite: A name of ``ebabench.list_suites()``, the path of a suite, or a suite.
        targets: Names of the targets of this session; all by default. The run is incomplete until all are scored.
        shard: "i/n" for every n-th target from the i-th on, so that n sessions share the targets.
        samples: Conformations per target; the suite's by default.
        seed: Seed of the run; the suite's by default.
        data: The folder of the references in the layout of ATLAS, where they are not embedded.
        metrics: Keys, families or ``Metric`` objects; all by default.
        energy: False leaves out the metrics that need energies.
        device: "cpu", "cuda", "cuda:1"; or several that share the targets, as in "cuda:0,cuda:1".
        batch_size: Conformations computed at once. Half as many are tried whenever memory runs out. Where it changes
            samples (of workers), the run is unofficial with another number than the card's.
        random_weights: Do without the checkpoints, to test the plumbing (workers only). Such a run is never ranked.
        settings: Replacements for sampling settings of the card. The run is then unofficial.
        jobs: Processes that score; one per core by default.
        executor: Scores in place of processes: anything with the interface of ``concurrent.futures``.
        cluster: Sample and score on the workers of a Dask cluster: "local:N", the address of a scheduler, its scheduler
            file, or a TOML file for dask-jobqueue (``pip install ebabench[cluster]``).
        out: The run folder; ``runs/SUITE/MODEL-sSEED-nSAMPLES`` by default.
        leaderboards: The folder of the leaderboard that gets the run's row; None for no leaderboard.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: Wrong usage or input; nothing was done.
        RunError: Something cannot be written. The message says what is kept.

    Example:
        >>> import ebabench, tempfile
        >>> options = {"samples": 5, "metrics": ["pairwise_rmsd"], "leaderboards": None, "jobs": 1}
        >>> run = ebabench.run("static", "peptides-v1", out=tempfile.mkdtemp(), **options)
        >>> len(run.targets), "pairwise_rmsd" in run.summary.index
        (8, True)
    """
    selection = select_metrics(metrics, energy=energy)
    plan = _plan(model, suite, targets, shard, samples, seed, data, device, batch_size, random_weights, settings, out)
    with plan.connected(cluster, jobs, progress) as (workers, tell):
        here = workers is None and executor is None and jobs != 1
        with plan.compiling(selection) if here else nullcontext():
            session = plan.sampled(workers, tell)
        session.score(selection, jobs, workers or executor)
    remember_digests(plan.read, session.run.identity.references or {})
    if session.suite is not None:
        md_time_if_stored(session.run, session.suite, plan.read)
    if leaderboards is not None and session.suite is not None:
        publish(session.run, session.suite, leaderboards)
    return session.run


def sample(
    model: str | os.PathLike[str] | Card,
    suite: str | Suite = DEFAULT_SUITE,
    *,
    targets: Sequence[str] | str | None = None,
    shard: str | None = None,
    samples: int | None = None,
    seed: int | None = None,
    data: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    random_weights: bool = False,
    settings: Mapping[str, Any] | None = None,
    cluster: Cluster | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Run:
    """Sample a suite with a model, and return the run, which is not scored.

    A suite whose MD is simulated from sequences needs none of it here: the atoms of a target follow from its sequence.
    ``ebabench.run`` with the same arguments continues the run, where there is MD.

    Args:
        model: A name of ``ebabench.list_models()``, the path of a card, or a card.
        suite: A name of ``ebabench.list_suites()``, the path of a suite, or a suite.
        targets: Names of the targets of this session; all by default. The run is incomplete until all are scored.
        samples: Conformations per target; the suite's by default.
        seed: Seed of the run; the suite's by default.
        data: The folder of the references in the layout of ATLAS, if they are not embedded.
        device: "cpu", "cuda", "cuda:1"; or several that share the targets, as in "cuda:0,cuda:1".
        batch_size: Conformations computed at once.
        random_weights: Do without the checkpoints, to test the plumbing (workers only).
        settings: Replacements for sampling settings of the card. The run is then unofficial.
        shard: "i/n" for every n-th target from the i-th on, so that n sessions share the targets.
        cluster: Sample on the workers of a Dask cluster; see ``ebabench.run``.
        out: The run folder; ``runs/SUITE/MODEL-sSEED-nSAMPLES`` by default.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: Wrong usage or input; nothing was done.
        RunError: Something cannot be written. The message says what is kept.

    Example:
        >>> import ebabench, tempfile
        >>> run = ebabench.sample("static", samples=2, out=tempfile.mkdtemp())
        >>> len(run.load_ensemble("IDRH"))
        2
    """
    plan = _plan(
        model,
        suite,
        targets,
        shard,
        samples,
        seed,
        data,
        device,
        batch_size,
        random_weights,
        settings,
        out,
        scored=False,
    )
    with plan.connected(cluster, None, progress) as (workers, tell):
        return plan.sampled(workers, tell).run


@dataclass(frozen=True)
class _Plan:
    """What is to be sampled, checked as far as that costs little."""

    card: Card
    suite: Suite
    read: References
    asked: Sequence[Target]
    remarks: Sequence[str]
    identity: Identity
    folder: Path
    device: str
    batch_size: int | None
    samples: int
    seed: int

    def connected(
        self, cluster: Cluster | None, jobs: int | None, progress: Progress
    ) -> AbstractContextManager[tuple[ClusterExecutor | None, Progress]]:
        """See ``ebabench.workflows.cluster.connected``."""
        if cluster is not None and len(parse_devices(self.device)) > 1:
            raise InputError(
                f"--device {self.device}: on a cluster each worker has one device: give cuda",
                code="cluster.device",
                device=self.device,
            )
        names = [target.name for target in self.asked if self.read.has(target.name)]
        return connected(cluster, jobs, progress, self.read, names, self.identity.references)

    def compiling(self, selection: Selection) -> AbstractContextManager[None]:
        """See ``ebabench.workflows.compiling``."""
        shortest = min(self.asked, key=lambda target: len(target.sequence))
        metrics = [metric for metric in selection.metrics if metric.name not in selection.own]
        read = partial(self.read, shortest.name)
        return compiled_meanwhile(shortest, read, metrics, self.identity.protocol, self.identity.energy)

    def sampled(self, workers: ClusterExecutor | None, progress: Progress) -> Session:
        """Return the session of the run after all targets were sampled."""
        devices = model_devices(self.card, self.device) if workers is None else []
        generators = [build(self.card, self._on(one)) for one in devices]
        made_by = code_digest(self.card)
        run = Run.open(self.folder, self.identity, partial(digest_here, self.read))
        run.remarks += self.remarks
        sequences = {target.name: target.sequence for target in self.asked}
        session = Session(run, self.read, self.suite, sequences, progress)
        if workers is None:
            outcomes = sample_all(
                generators,
                self.asked,
                self.samples,
                self.seed,
                run.load_ensemble,
                run.save_ensemble,
                self.card.provides,
                session.claims.hold,
                devices,
            )
        else:
            target = partial(target_of, self.suite, self.read)
            work = sampler(self.card, self._on(self.device), target, run, self.samples, self.seed)
            fit = workers.using(GPU=1) if self.device.startswith("cuda") else workers
            outcomes = sample_on(fit, work, list(sequences), run.load_ensemble, session.claims)
        session.keep("sampling", outcomes, made_by)
        return session

    def _on(self, device: str) -> Resources:
        return Resources(device, self.read, self.batch_size, self.folder / "logs", self.identity.random_weights)


def _plan(
    model: str | os.PathLike[str] | Card,
    suite: str | Suite,
    targets: Sequence[str] | str | None,
    shard: str | None,
    samples: int | None,
    seed: int | None,
    data: str | os.PathLike[str] | None,
    device: str,
    batch_size: int | None,
    random_weights: bool,
    settings: Mapping[str, Any] | None,
    out: str | os.PathLike[str] | None,
    *,
    scored: bool = True,
) -> _Plan:
    chosen = suite if isinstance(suite, Suite) else load_suite(suite)
    card = model_card(model, settings).with_batch_size(batch_size)
    check_random_weights(card, random_weights)
    parse_devices(device)
    built = not scored and chosen.simulation is not None  # where there is no MD
    place = Path(data) if data is not None else None
    if built:
        check_there(place)
    read = reference_reader(chosen, place, required=not built)
    wanted = select_targets(read.names, targets, shard)
    names, remarks = (wanted, without_md(read, wanted)) if built else targets_here(read, wanted, bool(targets))
    asked = [target_of(chosen, read, name) for name in names]
    count, start = check_asked(
        chosen.samples if samples is None else samples, chosen.seed if seed is None else seed, least=2
    )
    identity = Identity(
        model=card.name,
        suite=chosen.id,
        suite_digest=chosen.digest(),
        tier=chosen.tier,
        targets=tuple(target.name for target in chosen.targets),
        samples=count,
        seed=start,
        protocol=chosen.protocol,
        energy=chosen.energy,
        card=card.facts(),
        references=small_digests(read, [name for name in names if read.has(name)], strict=True),
        random_weights=random_weights,
    )
    folder = Path(out) if out is not None else _folder(card, chosen, count, start, random_weights)
    return _Plan(card, chosen, read, asked, remarks, identity, folder, device, batch_size, count, start)


def _folder(card: Card, suite: Suite, samples: int, seed: int, random_weights: bool) -> Path:
    name = f"{card.name}-s{seed}-n{samples}" + "-random-weights" * random_weights
    return Path("runs") / suite.id / name
