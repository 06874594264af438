"""Sample targets with a generator: one checked ensemble, or the reason of the failure, per target."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from numbers import Integral
from queue import SimpleQueue

import numpy as np

from ebabench.errors import InputError, RunError
from ebabench.generators.cost import Cost, Meter
from ebabench.generators.protocol import Generator, Provides, Stoppable
from ebabench.structures import Atoms, Ensemble, Target
from ebabench.structures.matching import match
from ebabench.system.claims import Claims
from ebabench.system.process_pool import WorkerDiedError, stream
from ebabench.system.registry import cause

_DEMANDED: dict[Provides, Callable[[str], bool]] = {
    "heavy": lambda name: name != "OXT",
    "backbone": lambda name: name in ("N", "CA", "C"),
    "ca": lambda name: name == "CA",
}


@dataclass(frozen=True)
class Outcome:
    """The result of one target.

    Attributes:
        target: The name.
        ensemble: The ensemble, or None if the target failed.
        error: Why it failed.
        resumed: Whether an earlier run had stored the ensemble.
        busy: Whether another process works on the target.
        cost: What the sampling cost here; None if nothing was sampled.
    """

    target: str
    ensemble: Ensemble | None
    error: str | None = None
    resumed: bool = False
    busy: bool = False
    cost: Cost | None = None


def target_seed(seed: int, name: str) -> int:
    """Return the seed of a target, from 0 to 2^31 - 1. It does not depend on the other targets or their order.

    Args:
        seed: Seed of the run.
        name: Name of the target.

    Example:
        >>> target_seed(5000, "KLED") == target_seed(5000, "KLED") != target_seed(5001, "KLED")
        True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:4], "big") >> 1


def check_asked(samples: object, seed: object, least: int = 1) -> tuple[int, int]:
    """Return a number of samples and a seed that a generator can be asked for.

    Args:
        samples: Number of conformations.
        seed: Seed of all random numbers.
        least: The fewest conformations.

    Raises:
        InputError: They are no whole numbers, or too small (``run.settings``).
    """
    whole = all(isinstance(one, Integral) and not isinstance(one, bool) for one in (samples, seed))
    if not whole or samples < least or seed < 0:  # type: ignore[operator]
        raise InputError(
            f"samples {samples!r}, seed {seed!r}: both are whole numbers, with at least {least} "
            f"sample{'s' * (least > 1)} and a seed from 0",
            code="run.settings",
            samples=samples,
        )
    return int(samples), int(seed)  # type: ignore[call-overload]


def sample(
    generators: Sequence[Generator],
    targets: Iterable[Target],
    samples: int,
    seed: int,
    load: Callable[[str], Ensemble | None],
    save: Callable[[Ensemble], None],
    provides: Provides = "heavy",
    claim: Callable[[str], AbstractContextManager[bool]] = lambda _: nullcontext(True),
    devices: Sequence[str] = (),
) -> Iterator[Outcome]:
    """Yield the outcome of each target as soon as its ensemble is stored.

    An exception of a generator, and an ensemble that breaks the contract, fail this target only. Exceptions of ``load``
    and ``save`` are not caught.

    Args:
        generators: The same model, once per device. Several generators work in parallel, each on the next target, and
            outcomes come as they are ready. A single one works in this thread, in the order of ``targets``.
        targets: The targets to sample.
        samples: Number of conformations per target.
        seed: Seed of the run. The seed of a target depends on it and on the target's name only.
        load: Returns the ensemble that an earlier run of the same settings stored, or None.
        save: Stores an ensemble.
        provides: The atoms that the card declares.
        claim: Claims a target while it is sampled, and yields whether it could.
        devices: Where each generator works; "cpu" by default. The cost of the conformations names it.
    """
    where = dict(zip(map(id, generators), devices or ["cpu"] * len(generators), strict=True))

    def one(generator: Generator, target: Target) -> Outcome:
        cost: Cost | None = None

        def make() -> Ensemble:
            nonlocal cost
            meter = Meter(generator, where[id(generator)], alone=len(generators) == 1)
            ensemble = generator.sample(target, samples, target_seed(seed, target.name))
            cost = meter.cost(samples)
            check(ensemble, target, samples, provides)
            return ensemble

        with claim(target.name) as held:
            if not held:
                return Outcome(target.name, None, busy=True)
            made = outcome(target.name, make, load, save)
            return made if made.ensemble is None else replace(made, cost=cost)

    if len(generators) == 1:
        yield from (one(generators[0], target) for target in targets)
    else:
        yield from _side_by_side(generators, one, targets)


def sample_on(
    executor: Executor,
    work: Callable[[str], Outcome],
    names: Sequence[str],
    load: Callable[[str], Ensemble | None],
    claims: Claims,
) -> Iterator[Outcome]:
    """Yield the outcome of each target as soon as its ensemble is stored. An executor's workers sample and store.

    Args:
        executor: The workers. A target that kills every worker that tries it fails.
        work: Samples and stores a target, given its name. It must pickle.
        names: The targets.
        load: Returns the ensemble that an earlier run of the same settings stored, or None.
        claims: What is sampled here is claimed while it is.
    """
    settled: list[Outcome] = []

    def begin(name: str) -> bool:
        if not claims.take(name):
            settled.append(Outcome(name, None, busy=True))
        elif load(name) is not None:
            claims.release(name)
            settled.append(Outcome(name, None, resumed=True))
        else:
            return True
        return False

    try:
        for name, future in stream(executor, work, names, begin):
            yield from settled
            settled.clear()
            try:
                yield future.result()
            except WorkerDiedError as died:
                yield Outcome(name, None, str(died))
            claims.release(name)
        yield from settled
    finally:
        for name in names:
            claims.release(name)


def outcome(
    target: str, make: Callable[[], Ensemble], load: Callable[[str], Ensemble | None], save: Callable[[Ensemble], None]
) -> Outcome:
    """Return the stored ensemble of a target, or make and store it, or the reason why ``make`` failed."""
    kept = load(target)
    if kept is not None:
        return Outcome(target, kept, resumed=True)
    try:
        ensemble = make()
    except (Exception, SystemExit) as error:  # code from outside may also call sys.exit
        return Outcome(target, None, str(error) if isinstance(error, RunError | InputError) else cause(error))
    save(ensemble)
    return Outcome(target, ensemble)


def _side_by_side(
    generators: Sequence[Generator], work: Callable[[Generator, Target], Outcome], targets: Iterable[Target]
) -> Iterator[Outcome]:
    """Yield outcomes of one thread per generator. An exception or interruption stops every Stoppable generator."""
    free: SimpleQueue[Generator] = SimpleQueue()
    for generator in generators:
        free.put(generator)

    def next_free(target: Target) -> Outcome:
        generator = free.get()
        try:
            return work(generator, target)
        finally:
            free.put(generator)

    with ThreadPoolExecutor(len(generators)) as pool:
        futures = [pool.submit(next_free, target) for target in targets]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            for generator in generators:
                if isinstance(generator, Stoppable):
                    generator.stop()
            raise


def check(ensemble: Ensemble, target: Target, samples: int | None, provides: Provides = "heavy") -> None:
    """Check that an ensemble has the right target, number of conformations, atoms, and finite coordinates.

    Args:
        ensemble: What a generator returned.
        target: What it was asked for.
        samples: The number of conformations; None if any number is right.
        provides: The atoms that the card declares.

    Raises:
        RunError: One of these is wrong (``sample.type``, ``sample.target``, ``sample.count``, ``sample.finite``,
            ``sample.atoms``).
    """
    if not isinstance(ensemble, Ensemble):
        raise RunError(f"the generator returned {type(ensemble).__name__}, not an Ensemble", code="sample.type")
    if ensemble.target != target.name:
        raise RunError(
            f"the generator returned an ensemble of {ensemble.target}, not of {target.name}",
            code="sample.target",
            target=ensemble.target,
        )
    if samples is not None:
        check_count(ensemble, samples)
    check_finite(ensemble)
    check_atoms(ensemble, target, provides)


def check_count(ensemble: Ensemble, samples: int) -> None:
    """Check the number of conformations. Raises RunError (``sample.count``)."""
    if len(ensemble) != samples:
        raise RunError(
            f"the generator returned {len(ensemble)} conformations, {samples} were asked for",
            code="sample.count",
            count=len(ensemble),
        )


def check_finite(ensemble: Ensemble) -> None:
    """Check that all positions are finite. Raises RunError (``sample.finite``)."""
    bad = np.flatnonzero(~np.isfinite(ensemble.positions).all(axis=(1, 2)))
    if len(bad):
        count = f"{len(bad)} of {len(ensemble)} conformations"
        raise RunError(
            f"{count} have positions that are not finite, first {bad[0]}", code="sample.finite", frame=int(bad[0])
        )


def check_atoms(ensemble: Ensemble, target: Target, provides: Provides) -> None:
    """Check that the atoms are the target's. Raises RunError (``sample.atoms``).

    A model that declares less than all heavy atoms must have N, CA and C, or the C-alpha, of every residue. The
    terminal oxygen OXT is never required.
    """
    expected, found = _labels(target.atoms), _labels(ensemble.atoms)
    if len(set(found)) < len(found):
        twice = _some(a for a in set(found) if found.count(a) > 1)
        raise RunError(f"the generator returned atoms twice: {twice}", code="sample.atoms", atoms=twice)
    demanded = set(_labels(target.atoms, _DEMANDED[provides]))
    missing, extra = demanded - set(found), set(found) - set(expected)
    if missing or extra:
        faults = [f"lacks {_some(missing)}"] * bool(missing) + [f"has in excess {_some(extra)}"] * bool(extra)
        raise RunError(
            f"the generator returned other atoms than the target's: it {' and '.join(faults)}", code="sample.atoms"
        )


def matched(ensemble: Ensemble, target: Target) -> Ensemble:
    """Return an ensemble with those heavy atoms of the target that it has, in the target's order and with its names.

    Raises:
        RunError: The ensemble is of another sequence (``sample.sequence``).
    """
    try:
        pairs = match(ensemble.atoms, target.atoms)
    except InputError as error:
        raise RunError(
            f"the generator returned other atoms than the target's: {error}", code="sample.sequence", target=target.name
        ) from error
    residue = np.unique(target.atoms.residue[pairs.reference], return_inverse=True)[1].astype(np.int64)
    names = target.atoms.name[pairs.reference], target.atoms.residue_name[pairs.reference]
    return replace(ensemble, atoms=Atoms(*names, residue), positions=ensemble.positions[:, pairs.model])


def _labels(atoms: Atoms, demanded: Callable[[str], bool] | None = None) -> list[str]:
    return [
        f"{residue_name}{residue + 1}:{name}"
        for residue, residue_name, name in zip(atoms.residue, atoms.residue_name, atoms.name, strict=True)
        if demanded is None or demanded(str(name))
    ]


def _some(labels: Iterable[str]) -> str:
    ordered = sorted(labels)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
