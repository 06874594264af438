"""Metrics x pairs -> one Record a target; over targets in parallel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial, reduce
from typing import TypeVar

import numpy as np

from ebabench.errors import InputError, RunError
from ebabench.scoring.metric import Metric, computed
from ebabench.scoring.noise_floor import floor_key, load_floor, store_floor
from ebabench.scoring.pair import Pair, make_pair
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.reference_cache import reference_digest
from ebabench.structures import Atoms, Ensemble, Reference
from ebabench.structures.arrays import IndexArray, evenly_spaced
from ebabench.structures.validation import validate_held_out, validate_replicas
from ebabench.system.process_pool import WorkerDiedError, cores, stream, workers
from ebabench.system.registry import cause

_Result = TypeVar("_Result")


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
    uncached: Collection[str] = (),
    begin: Callable[[Job], bool] = lambda _: True,
) -> Iterator[Record]:
    """Records of many targets, each as soon as it is there. A target that fails is a record with ``error``.

    Args:
        jobs: the targets. Nothing is kept of one beyond its record.
        metrics: families of metrics; they must pickle (a module's constant does).
        protocol: see ``score_target``.
        energy_protocol: see ``score_target``.
        with_floor: see ``score_target``.
        executor: where to work; anything with the interface of ``concurrent.futures``. By default, processes.
        processes: how many, where there is no ``executor``; one a core by default. Where targets are fewer, each is
            worked on by several threads, and a single one by this process.
        uncached: see ``score_pair``.
        begin: called before a job is begun, in this process; a job for which it returns False is left out.
    """
    work = partial(
        _score_job,
        metrics=metrics,
        protocol=protocol,
        energy_protocol=energy_protocol,
        floor=with_floor,
        uncached=uncached,
    )
    # The longest first: none is left to run alone at the end.
    pending = sorted(jobs, key=lambda job: -len(job.sequence))
    if executor is not None:
        for job, future in stream(executor, work, pending, begin):
            try:
                yield future.result()
            except WorkerDiedError as died:
                yield job.failed(str(died))
        return
    processes = processes or cores()
    if len(jobs) == 1:
        if begin(jobs[0]):
            yield _alone(partial(work, threads=processes), jobs[0])
        return
    threads = max(processes // max(len(jobs), 1), 1)
    while pending:
        settled: set[str] = set()
        lost: list[Job] = []

        def begins(job: Job, settled: set[str] = settled) -> bool:
            if not begin(job):
                settled.add(job.target)
            return job.target not in settled

        with workers(processes) as pool, suppress(BrokenProcessPool):
            for job, future in stream(pool, partial(work, threads=threads), pending, begins):
                try:
                    record = future.result()
                except BrokenProcessPool:
                    lost.append(job)
                    continue
                settled.add(job.target)
                yield record
        pending = [job for job in pending if job.target not in settled]
        if lost and processes == 1:
            # With a single worker, the job that was lost is the one that it died of.
            pending.remove(lost[0])
            yield lost[0].failed("the process that scored it died, perhaps for want of memory")
        processes = 1


def score_target(
    ensemble: Ensemble,
    reference: Reference,
    metrics: Sequence[Metric],
    *,
    protocol: str = "corrected",
    energy_protocol: str | None = None,
    with_floor: bool = True,
    threads: int = 1,
    uncached: Collection[str] = (),
) -> Record:
    """Return the record of one ensemble, scored against a reference.

    The replicas that the ensemble was taken from are left out of the reference.

    Args:
        ensemble: The model's conformations.
        reference: Molecular dynamics of the same target.
        metrics: Families of metrics.
        protocol: "corrected" or "alphaflow", see ``ebabench.scoring.pair``.
        energy_protocol: Name of a protocol of ``ebabench.physics`` for metrics of energy; None for none.
        with_floor: See ``score_pair``.
        threads: See ``score_pair``.
        uncached: See ``score_pair``.

    Raises:
        InputError: Ensemble and reference do not fit, or a metric refuses them.
        RunError: A metric breaks its contract.
    """
    pair = make_pair(ensemble, reference, protocol=protocol, energy_protocol=energy_protocol)
    return score_pair(pair, ensemble, reference, metrics, with_floor=with_floor, threads=threads, uncached=uncached)


def score_pair(
    pair: Pair,
    ensemble: Ensemble,
    reference: Reference,
    metrics: Sequence[Metric],
    *,
    with_floor: bool = True,
    threads: int = 1,
    uncached: Collection[str] = (),
) -> Record:
    """Return the record of a pair.

    Args:
        pair: The ensemble beside the reference.
        ensemble: The ensemble of the pair.
        reference: The reference of the pair, with all its replicas.
        metrics: Families of metrics.
        with_floor: Also score each replica of the reference against the other replicas, with the atoms and at the
            number of samples of the model. A reference of one replica has no floor.
        threads: The number of families and of replicas that are computed at once. It is one where there is an energy
            protocol: energies have their own ways to use a machine.
        uncached: Names of families whose floor is neither read from the cache nor stored there.

    Raises:
        InputError: A metric refuses the pair; a replica does not move, or is another's copy; the ensemble holds
            replicas out from which it was not taken.
        RunError: A metric breaks its contract.
    """
    validate_replicas(reference)
    validate_held_out(ensemble, reference)
    keys = _floor_keys(pair, reference, metrics) if with_floor and len(reference.replicas) > 1 else []
    cached = [metric.name not in uncached for metric in metrics]
    floors = [(load_floor(key) or () if found else ()) for key, found in zip(keys, cached, strict=False)]
    missing = [k for k, floor in enumerate(floors) if not floor]
    many = threads if pair.energy_protocol is None else 1
    replicas = range(len(reference.replicas)) if missing else ()
    pairs = [pair, *_in_order([partial(replica_pair, k, pair, reference) for k in replicas], many)]
    # The last families take longest: they are begun first, and none is left to run alone at the end.
    asked = [(one, k) for one in range(len(pairs)) for k in reversed(missing if one else range(len(metrics)))]
    tasks = [partial(measure, [metrics[k]], pairs[one]) for one, k in asked]
    found = {at: figures for at, (figures,) in zip(asked, _in_order(tasks, many), strict=True)}
    for k in missing:
        floors[k] = tuple(found[one, k] for one in range(1, len(pairs)))
        if cached[k]:
            store_floor(keys[k], floors[k])
    return Record(
        target=reference.target.name,
        sequence=reference.target.sequence,
        tier=reference.tier,
        n_samples=len(ensemble),
        n_reference_frames=sum(pair.replica_lengths),
        coverage=pair.coverage,
        metric_versions={spec.key: spec.version for metric in metrics for spec in metric.specs},
        figures=_joined([found[0, k] for k in range(len(metrics))]),
        floor=tuple(_joined(replica) for replica in zip(*floors, strict=True)),
        random_weights=ensemble.random_weights,
        batch_size=ensemble.batch_size,
        effective_samples=ensemble.effective_samples,
        duplicates=pair.duplicates,
        notes=ensemble.notes + tuple(f"reference: {note}" for note in reference.notes),
        missing_residues=len(reference.target.atoms.select("CA")) - len(pair.ca),
        inputs={"ensemble": ensemble.digest(), "reference": reference_digest(reference)},
    )


def _floor_keys(pair: Pair, reference: Reference, metrics: Sequence[Metric]) -> list[str]:
    """One a family of metrics: what was computed before, for any model, is taken from the cache."""
    digest, atoms = reference_digest(reference), subset(reference.target.atoms, pair.in_reference).digest()
    return [floor_key(digest, atoms, len(pair), metric, pair.protocol, pair.energy_protocol) for metric in metrics]


def replica_pair(k: int, pair: Pair, reference: Reference) -> Pair:
    """Return a replica as the model beside the others, with the atoms and at the number of samples of ``pair``.

    Its frames are evenly spaced, the first and last among them; all frames, if it has fewer.
    """
    replica, atoms = reference.replicas[k], pair.in_reference
    frames = evenly_spaced(len(replica), len(pair))
    model = Ensemble(
        reference.target.name,
        subset(reference.target.atoms, atoms),
        replica[frames][:, atoms],
        held_out=(reference.numbers[k],),
    )
    try:
        return make_pair(
            model, reference, protocol=pair.protocol, energy_protocol=pair.energy_protocol, aligned=pair.aligned
        )
    except InputError as error:
        file = f" ({reference.files[k]})" if reference.files else ""
        told = f"the reference, replica {reference.numbers[k]}{file}: {error}"
        raise InputError(told, code=error.code, **error.named) from error


def subset(atoms: Atoms, index: IndexArray) -> Atoms:
    """The atoms at ``index``, residues counted anew, since some may be left out."""
    residue = np.unique(atoms.residue[index], return_inverse=True)[1].astype(np.int64)
    return Atoms(atoms.name[index], atoms.residue_name[index], residue)


def measure(metrics: Sequence[Metric], pair: Pair) -> list[MetricValues]:
    """Return what each family of metrics says of a pair.

    Raises:
        InputError: A family refuses the pair.
        RunError: A family fails, or breaks its contract (``ebabench.scoring.metric.computed``).
    """
    return [_measured(metric, pair) for metric in metrics]


def _measured(metric: Metric, pair: Pair) -> MetricValues:
    if pair.weights is None or metric.honours_weights:
        return computed(metric, pair)
    why = f"the metrics {metric.name!r} do not honour statistical weights"
    return MetricValues(reasons={spec.key: why for spec in metric.specs if not spec.of})


def _joined(families: Sequence[MetricValues]) -> MetricValues:
    return reduce(MetricValues.joined, families, MetricValues())


def _in_order(tasks: Sequence[Callable[[], _Result]], threads: int) -> list[_Result]:
    """The tasks' results, by some threads; the first failure in order ends the rest."""
    pool = ThreadPoolExecutor(threads)
    try:
        return [future.result() for future in [pool.submit(task) for task in tasks]]
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def single_threaded_libraries() -> Iterator[None]:
    """Limit numerical libraries to one thread, as in the processes that score many targets."""
    import scipy.linalg  # noqa: F401  (its BLAS is another than NumPy's, and has to be there to be limited)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def _alone(work: Callable[[Job], Record], job: Job) -> Record:
    """Here, as no other process need be started for a single target."""
    with single_threaded_libraries():
        return work(job)


def _score_job(
    job: Job,
    metrics: Sequence[Metric],
    protocol: str,
    energy_protocol: str | None,
    floor: bool,
    uncached: Collection[str],
    threads: int = 1,
) -> Record:
    try:
        return score_target(
            job.ensemble(),
            job.reference(),
            metrics,
            protocol=protocol,
            energy_protocol=energy_protocol,
            with_floor=floor,
            threads=threads,
            uncached=uncached,
        )
    except (InputError, RunError) as error:
        return job.failed(str(error))
    except (Exception, SystemExit) as error:  # one target's failure, whatever it is, must not end the others
        return job.failed(cause(error))
