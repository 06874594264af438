"""The shared sampler: a generator and targets in, one checked ensemble or one kept reason a target out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ebabench.contracts import Generator, Provides
from ebabench.errors import InputError, RunError
from ebabench.structures import Atoms, Ensemble, Target

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
    generator: Generator,
    targets: Iterable[Target],
    samples: int,
    seed: int,
    load: Callable[[str], Ensemble | None],
    save: Callable[[Ensemble], None],
    provides: Provides = "heavy",
) -> Iterator[Outcome]:
    """Samples target after target, and gives each outcome as soon as it is kept.

    ``load`` gives an ensemble that an earlier run of the same settings kept, and such a target is not sampled again;
    ``save`` keeps one. Whatever a generator raises, or returns in breach of its contract, is the failure of that one
    target; what ``load`` and ``save`` raise is not caught.
    """
    for target in targets:
        kept = load(target.name)
        if kept is not None:
            yield Outcome(target.name, kept, resumed=True)
            continue
        try:
            ensemble = generator.sample(target, samples, target_seed(seed, target.name))
            check(ensemble, target, samples, provides)
        except Exception as error:
            reason = str(error) if isinstance(error, RunError | InputError) else f"{type(error).__name__}: {error}"
            yield Outcome(target.name, None, reason)
            continue
        save(ensemble)
        yield Outcome(target.name, ensemble)


def check(ensemble: Ensemble, target: Target, samples: int, provides: Provides = "heavy") -> None:
    """Raises RunError unless the ensemble is what was asked for: target, count, finite numbers, the target's atoms.

    Of a model that ``provides`` less than all heavy atoms, the backbone (N, CA, C) or the C-alpha of every residue is
    demanded. The terminal oxygen OXT, which many models leave out, never is.
    """
    if not isinstance(ensemble, Ensemble):
        raise RunError(f"the generator returned {type(ensemble).__name__}, not an Ensemble")
    if ensemble.target != target.name:
        raise RunError(f"the generator returned an ensemble of {ensemble.target}, not of {target.name}")
    if len(ensemble) != samples:
        raise RunError(f"the generator returned {len(ensemble)} conformations, {samples} were asked for")
    bad = np.flatnonzero(~np.isfinite(ensemble.positions).all(axis=(1, 2)))
    if len(bad):
        raise RunError(f"{len(bad)} of {samples} conformations have coordinates that are not finite, first {bad[0]}")
    expected, found = _labels(target.atoms), _labels(ensemble.atoms)
    if len(set(found)) < len(found):
        raise RunError(f"the generator returned atoms twice: {_some(a for a in set(found) if found.count(a) > 1)}")
    demanded = set(_labels(target.atoms, _DEMANDED[provides]))
    missing, extra = demanded - set(found), set(found) - set(expected)
    if missing or extra:
        faults = [f"lacks {_some(missing)}"] * bool(missing) + [f"has in excess {_some(extra)}"] * bool(extra)
        raise RunError(f"the generator returned other atoms than the target's: it {' and '.join(faults)}")


def _labels(atoms: Atoms, demanded: Callable[[str], bool] | None = None) -> list[str]:
    return [
        f"{residue_name}{residue + 1}:{name}"
        for residue, residue_name, name in zip(atoms.residue, atoms.residue_name, atoms.name, strict=True)
        if demanded is None or demanded(str(name))
    ]


def _some(labels: Iterable[str]) -> str:
    ordered = sorted(labels)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
