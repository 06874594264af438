"""The kernels of metrics and energies are compiled while a model samples, by processes of their own.

Numba compiles a kernel when it is first called, and stores the machine code. That takes half a minute after an
installation. A model leaves cores idle meanwhile, and the processes that score would each compile the same.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

import ebabench
from ebabench.scoring.metric import Metric
from ebabench.scoring.score import score_target
from ebabench.structures import Ensemble, Reference, Target
from ebabench.system.cache import cache_dir, keep
from ebabench.system.process_pool import THREADS, cores, environment, workers
from ebabench.system.processor import processor

_FRAMES = 20
_NOISE = 0.01  # angstrom


@contextmanager
def compiled_meanwhile(
    target: Target,
    read: Callable[[], Reference],
    metrics: Sequence[Metric],
    protocol: str,
    energy_protocol: str | None,
) -> Iterator[None]:
    """Compile what scoring needs while the body runs, unless that was done before on this machine.

    When the body ends, this waits until all is compiled, so that no process that scores compiles it again.

    Args:
        target: A target of the suite.
        read: Returns the target's reference. It pickles.
        metrics: Families of metrics. They pickle.
        protocol: How model and reference are paired.
        energy_protocol: How energies are computed, if at all.
    """
    done = cache_dir() / "compiled" / _key(metrics, energy_protocol)
    if done.is_file() or cores() == 1:
        yield
        return
    # Kernels of energies and those of the other metrics, side by side. Only one of the two reads a trajectory: what
    # reads it is compiled, too.
    of_energy = [metric for metric in metrics if any(spec.needs == "energy" for spec in metric.specs)]
    others = [metric for metric in metrics if metric not in of_energy]
    work = []
    if of_energy and energy_protocol:
        work.append(partial(_use, partial(_shaken, target), of_energy, protocol, energy_protocol))
    if others:
        work.append(partial(_use, read, others, protocol, energy_protocol))
    threads = {name: os.environ.get(name) for name in THREADS}
    with workers(len(work)) as pool:
        futures = [pool.submit(one) for one in work]
        with environment(threads):  # the body has as many as ever
            yield
        wait(futures)
        if all(future.exception() is None for future in futures):
            keep(done, "")


def _shaken(target: Target) -> Reference:
    """Return a reference without a trajectory: the native structure, moved a little."""
    noise = np.random.default_rng(1).normal(scale=_NOISE, size=(_FRAMES, *target.native.shape))
    return Reference(target, ((target.native + noise).astype(np.float32),), "none")


def _use(read: Callable[[], Reference], metrics: Sequence[Metric], protocol: str, energy_protocol: str | None) -> None:
    """Score a few frames of MD, moved a little, by the others: every kernel is called once."""
    whole = read()
    replicas = tuple(np.array(replica[:_FRAMES]) for replica in whole.replicas)
    few = Reference(whole.target, replicas, whole.tier, whole.numbers)  # in memory: nothing of it is cached
    noise = np.random.default_rng(0).normal(scale=_NOISE, size=replicas[0].shape)
    model = Ensemble(whole.target.name, whole.target.atoms, (replicas[0] + noise).astype(np.float32))
    score_target(model, few, metrics, protocol=protocol, energy_protocol=energy_protocol, with_floor=False)


def _key(metrics: Sequence[Metric], energy_protocol: str | None) -> str:
    """All that decides what is compiled, and where it is stored."""
    facts = [ebabench.__version__, version("numba"), platform.python_version(), os.environ.get("NUMBA_CACHE_DIR", "")]
    facts += [str(processor()), str(energy_protocol), *(metric.name for metric in metrics)]
    for folder in map(Path, ebabench.__path__):
        for part in ("metrics/kernels", "physics", "io"):
            for path in sorted((folder / part).glob("*.py")):
                with suppress(OSError):
                    facts.append(f"{path}|{path.stat().st_mtime_ns}")
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:32]
