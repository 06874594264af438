"""The shared sampler: a generator and targets in, one checked ensemble or one kept reason a target out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from queue import SimpleQueue

import numpy as np

from ebabench.errors import InputError, RunError
from ebabench.generators.protocol import Generator, Provides, Stoppable
from ebabench.structures import Atoms, Ensemble, Target
from ebabench.structures.matching import match
from ebabench.system.registry import cause

_DEMANDED: dict[Provides, Callable[[str], bool]] = {
    "heavy": lambda name: name != "OXT",
    "backbone": lambda name: name in ("N", "CA", "C"),
    "ca": lambda name: name == "CA",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one target: its ensemble, or why there is none. ``resumed``: it was there before."""

    target: str
    ensemble: Ensemble | None
    error: str | None = None
    resumed: bool = False


def target_seed(seed: int, name: str) -> int:
    """The seed of one target, from the run's; it does not depend on the other targets or their order."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:4], "big") >> 1


def sample(
    generators: Sequence[Generator],
    targets: Iterable[Target],
    samples: int,
    seed: int,
    load: Callable[[str], Ensemble | None],
    save: Callable[[Ensemble], None],
    provides: Provides = "heavy",
) -> Iterator[Outcome]:
    """Samples all targets, and gives each outcome as soon as it is kept.

    Whatever a generator raises, or returns in breach of its contract, is the failure of that one target; what ``load``
    and ``save`` raise is not caught.

    Args:
        generators: the same model, once for each device. Several work at the same time, each on the next target that
            is left, and outcomes come as they are ready; one works in this thread, in the order of ``targets``.
        targets: what is sampled.
        samples: how many conformations of each.
        seed: the run's; every target has its own, which depends on this and its name only.
        load: gives an ensemble that an earlier run of the same settings kept; such a target is not sampled again.
        save: keeps one.
        provides: the atoms that the model says it gives.
    """

    def one(generator: Generator, target: Target) -> Outcome:
        def make() -> Ensemble:
            ensemble = generator.sample(target, samples, target_seed(seed, target.name))
            check(ensemble, target, samples, provides)
            return ensemble

        return outcome(target.name, make, load, save)

    if len(generators) == 1:
        yield from (one(generators[0], target) for target in targets)
    else:
        yield from _side_by_side(generators, one, targets)


def outcome(
    target: str, make: Callable[[], Ensemble], load: Callable[[str], Ensemble | None], save: Callable[[Ensemble], None]
) -> Outcome:
    """What was kept of a target, else what ``make`` gives, which is kept, else why it raised."""
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
    """A thread a generator; an exception, an interruption as well, stops those that can be stopped."""
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
    """Raises RunError unless the ensemble is what was asked for: target, count, finite numbers, the target's atoms.

    ``samples`` is None where any number will do.
    """
    if not isinstance(ensemble, Ensemble):
        raise RunError(f"the generator returned {type(ensemble).__name__}, not an Ensemble")
    if ensemble.target != target.name:
        raise RunError(f"the generator returned an ensemble of {ensemble.target}, not of {target.name}")
    if samples is not None:
        check_count(ensemble, samples)
    check_finite(ensemble)
    check_atoms(ensemble, target, provides)


def check_count(ensemble: Ensemble, samples: int) -> None:
    """Raises RunError unless there are as many conformations as were asked for."""
    if len(ensemble) != samples:
        raise RunError(f"the generator returned {len(ensemble)} conformations, {samples} were asked for")


def check_finite(ensemble: Ensemble) -> None:
    """Raises RunError for NaN and infinite positions."""
    bad = np.flatnonzero(~np.isfinite(ensemble.positions).all(axis=(1, 2)))
    if len(bad):
        count = f"{len(bad)} of {len(ensemble)} conformations"
        raise RunError(f"{count} have positions that are not finite, first {bad[0]}")


def check_atoms(ensemble: Ensemble, target: Target, provides: Provides) -> None:
    """Raises RunError unless the atoms are the target's.

    Of a model that ``provides`` less than all heavy atoms, the backbone (N, CA, C) or the C-alpha of every residue is
    demanded. The terminal oxygen OXT, which many models leave out, never is.
    """
    expected, found = _labels(target.atoms), _labels(ensemble.atoms)
    if len(set(found)) < len(found):
        raise RunError(f"the generator returned atoms twice: {_some(a for a in set(found) if found.count(a) > 1)}")
    demanded = set(_labels(target.atoms, _DEMANDED[provides]))
    missing, extra = demanded - set(found), set(found) - set(expected)
    if missing or extra:
        faults = [f"lacks {_some(missing)}"] * bool(missing) + [f"has in excess {_some(extra)}"] * bool(extra)
        raise RunError(f"the generator returned other atoms than the target's: it {' and '.join(faults)}")


def matched(ensemble: Ensemble, target: Target) -> Ensemble:
    """The target's heavy atoms that an ensemble has, in the target's order and under its names; the others left out.

    Raises RunError for another sequence.
    """
    try:
        pairs = match(ensemble.atoms, target.atoms)
    except InputError as error:
        raise RunError(f"the generator returned other atoms than the target's: {error}") from error
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
