"""Metrics x pairs -> one Record a target; over targets in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

import numpy as np

from ebabench.contracts import Metric
from ebabench.errors import InputError, RunError
from ebabench.floor import floor_key, load_floor, store_floor
from ebabench.kept import reference_digest
from ebabench.pairing import IndexArray, Pair, make_pair
from ebabench.parallel import workers
from ebabench.records import Figures, Record
from ebabench.structures import Atoms, Ensemble, Reference


@dataclass(frozen=True)
class Job:
    """One target to score.

    Both sides are read where the work is done, so that no arrays travel: the callables must pickle
    (``functools.partial(read_ensemble, path, name)``).
    """

    target: str
    sequence: str
    tier: str
    ensemble: Callable[[], Ensemble]
    reference: Callable[[], Reference]

    def failed(self, reason: str) -> Record:
        """The record of a target that could not be sampled or scored."""
        return Record(self.target, self.sequence, self.tier, 0, 0, float("nan"), {}, error=reason)


def score(
    jobs: Sequence[Job],
    metrics: Sequence[Metric],
    *,
    protocol: str = "corrected",
    energy_protocol: str | None = None,
    with_floor: bool = True,
    executor: Executor | None = None,
    processes: int | None = None,
) -> Iterator[Record]:
    """Records of many targets, each as soon as it is there. A target that fails is a record with ``error``.

    Args:
        jobs: the targets. Nothing is kept of one beyond its record.
        metrics: families of metrics; they must pickle (a module's constant does).
        protocol: see ``score_target``.
        energy_protocol: see ``score_target``.
        with_floor: see ``score_target``.
        executor: where to work; anything with the interface of ``concurrent.futures``. By default, processes.
        processes: how many, where there is no ``executor``; one a core by default, each with a single thread.
    """
    work = partial(_score_job, metrics=metrics, protocol=protocol, energy_protocol=energy_protocol, floor=with_floor)
    if executor is not None:
        for future in as_completed([executor.submit(work, job) for job in jobs]):
            yield future.result()
        return
    pending = sorted(
        jobs, key=lambda job: -len(job.sequence)
    )  # the longest first: none is left to run alone at the end
    while pending:
        lost: set[str] = set()
        with workers(processes) as pool:
            futures: dict[Future[Record], Job] = {pool.submit(work, job): job for job in pending}
            for future in as_completed(futures):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost.add(futures[future].target)
        pending = [job for job in pending if job.target in lost]
        if pending and processes == 1:
            # With a single worker, the first of those that are lost is the one that it died of.
            yield pending.pop(0).failed("the process that scored it died, perhaps for want of memory")
        processes = 1


def score_target(
    ensemble: Ensemble,
    reference: Reference,
    metrics: Sequence[Metric],
    *,
    protocol: str = "corrected",
    energy_protocol: str | None = None,
    with_floor: bool = True,
) -> Record:
    """Score one ensemble against the reference, less the replicas that it was taken from.

    Args:
        ensemble: the model's.
        reference: molecular dynamics of the same target.
        metrics: families of metrics.
        protocol: "corrected" or "alphaflow", see ``ebabench.pairing``.
        energy_protocol: the name of a protocol of ``ebabench.physics`` for metrics of energy; None for none.
        with_floor: also score each replica of the reference (with the atoms and at the number of samples of the
            model) against the others. A reference of a single replica has no floor.

    Raises:
        InputError: model and reference do not fit, or a metric refuses them.
        RunError: a metric breaks its contract.
    """
    pair = make_pair(ensemble, reference, protocol=protocol, energy_protocol=energy_protocol)
    figures = Figures()
    for metric in metrics:
        figures = figures.joined(_measure(metric, pair))
    floor: tuple[Figures, ...] = ()
    if with_floor:
        floor = floor_of(reference, pair.in_reference, len(ensemble), metrics, protocol, energy_protocol)
    return Record(
        target=reference.target.name,
        sequence=reference.target.sequence,
        tier=reference.tier,
        n_samples=len(ensemble),
        n_reference_frames=sum(pair.replica_lengths),
        coverage=pair.coverage,
        metric_versions={spec.key: spec.version for metric in metrics for spec in metric.specs},
        figures=figures,
        floor=floor,
        random_weights=ensemble.random_weights,
    )


def floor_of(
    reference: Reference,
    atoms: IndexArray,
    samples: int,
    metrics: Sequence[Metric],
    protocol: str,
    energy_protocol: str | None,
) -> tuple[Figures, ...]:
    """Each replica as the model against the others, on the reference's ``atoms`` (indices), ``samples`` frames of it.

    The frames are evenly spaced over the replica, its first and last among them; all frames, if it has fewer. Families
    of metrics that were computed before, for any model, are taken from the cache.
    """
    if len(reference.replicas) < 2:
        return ()
    digest, table = reference_digest(reference), _subset(reference.target.atoms, atoms)
    keys = [floor_key(digest, table.digest(), samples, metric, protocol, energy_protocol) for metric in metrics]
    floors = [load_floor(key) or () for key in keys]
    missing = [k for k, floor in enumerate(floors) if not floor]
    for model in _replicas_as_models(reference, atoms, table, samples) if missing else ():
        pair = make_pair(model, reference, protocol=protocol, energy_protocol=energy_protocol)
        for k in missing:
            floors[k] = (*floors[k], _measure(metrics[k], pair))
    for k in missing:
        store_floor(keys[k], floors[k])
    joined = [Figures()] * len(reference.replicas)
    for floor in floors:
        joined = [both.joined(one) for both, one in zip(joined, floor, strict=True)]
    return tuple(joined)


def _replicas_as_models(reference: Reference, atoms: IndexArray, table: Atoms, samples: int) -> Iterator[Ensemble]:
    for number, replica in zip(reference.numbers, reference.replicas, strict=True):
        frames = np.linspace(0, len(replica) - 1, min(samples, len(replica))).round().astype(np.int64)
        yield Ensemble(reference.target.name, table, replica[frames][:, atoms], held_out=(number,))


def _subset(atoms: Atoms, index: IndexArray) -> Atoms:
    """The atoms at ``index``, residues counted anew, since some may be left out."""
    residue = np.unique(atoms.residue[index], return_inverse=True)[1].astype(np.int64)
    return Atoms(atoms.name[index], atoms.residue_name[index], residue)


def _measure(metric: Metric, pair: Pair) -> Figures:
    figures = Figures.of(metric.compute(pair))
    given = {*figures.values, *figures.profiles, *figures.reasons}
    if lacking := [spec.key for spec in metric.specs if not spec.of and spec.key not in given]:
        raise RunError(f"the metrics {metric.name!r} gave no {', '.join(lacking)}")
    return figures


def _score_job(job: Job, metrics: Sequence[Metric], protocol: str, energy_protocol: str | None, floor: bool) -> Record:
    try:
        return score_target(
            job.ensemble(),
            job.reference(),
            metrics,
            protocol=protocol,
            energy_protocol=energy_protocol,
            with_floor=floor,
        )
    except (InputError, RunError) as error:
        return job.failed(str(error))
    except Exception as error:  # one target's failure, whatever it is, must not end the others
        return job.failed(f"{type(error).__name__}: {error}")
