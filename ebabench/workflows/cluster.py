"""Where a workflow computes: the processes of this machine, or the workers of a cluster."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import ebabench
from ebabench.datasets.references import References
from ebabench.errors import EbabenchError, InputError
from ebabench.generators.build import build
from ebabench.generators.cards import Card
from ebabench.generators.protocol import Generator, Resources
from ebabench.generators.sampling import Outcome, sample
from ebabench.results.manifest import machine
from ebabench.results.runs import Run
from ebabench.scoring.reference_cache import reference_digest
from ebabench.structures import Target
from ebabench.workflows.models import model_devices
from ebabench.workflows.progress import Progress

if TYPE_CHECKING:
    from ebabench.system.cluster import ClusterExecutor

Cluster = str | os.PathLike[str]
"""``local:N``, the address of a Dask scheduler, its scheduler file, or a TOML file for dask-jobqueue."""


@contextmanager
def connected(
    cluster: Cluster | None,
    jobs: int | None,
    progress: Progress,
    read: References | None = None,
    names: Sequence[str] = (),
    known: Mapping[str, str] | None = None,
) -> Iterator[tuple[ClusterExecutor | None, Progress]]:
    """Connect to a cluster for the body, and check that its workers are fit.

    Args:
        cluster: The cluster; None for none.
        jobs: The processes that a user asked for, which a cluster has of its own.
        progress: The caller's progress.
        read: The references that workers read.
        names: The targets whose references are read.
        known: Digests of references, by target. Of the others, atoms and size are compared.

    Yields:
        The executor, None without a cluster; and progress that names the dashboard.

    Raises:
        InputError: See ``ebabench.system.cluster.connect``; dask is not installed (``cluster.missing``), or ``jobs`` is
            given, too (``cluster.jobs``).
    """
    if cluster is None:
        yield None, progress
        return
    if jobs is not None:
        raise InputError("--jobs is for this machine's processes: give --cluster or --jobs", code="cluster.jobs")
    try:
        from ebabench.system.cluster import connect
    except ImportError as error:
        raise InputError(
            f"--cluster needs dask: pip install 'ebabench[cluster]' ({error})", code="cluster.missing"
        ) from error
    progress("waiting for workers", 0, 1)
    expected = {name: (known or {}).get(name) or _outline(read, name) for name in names if read is not None}
    with connect(cluster, partial(_fault, _installation(), read, expected)) as executor:
        yield executor, partial(_tell, progress, executor.dashboard)


def _tell(progress: Progress, dashboard: str, what: str, done: int, total: int) -> None:
    progress(f"{what} ({dashboard})", done, total)


def _fault(installed: Mapping[str, str], read: References | None, expected: Mapping[str, str]) -> str:
    """Return why this process may not do the work of another one, or nothing."""
    own = _installation()
    for name in sorted(installed.keys() | own.keys()):
        if installed.get(name) != own.get(name):
            return f"it has {name} {own.get(name, '(none)')}, and here is {installed.get(name, '(none)')}"
    for name, digest in expected.items():
        assert read is not None
        try:
            found = reference_digest(read(name)) if ":" not in digest else _outline(read, name)
        except (EbabenchError, OSError) as error:
            return f"it cannot read the reference of {name} ({error}): workers need the same files by the same path"
        if found != digest:
            return f"it reads another reference of {name}: workers need the same files by the same path"
    return ""


def _outline(read: References | None, name: str) -> str:
    """What is known of a large reference before its trajectories are read: size and atoms."""
    assert read is not None
    files = read.files(name)
    return f"{files.size}:{files.target.atoms.digest()}:{files.target.native.tobytes().hex()[:64]}"


@cache
def _installation() -> dict[str, str]:
    """Versions of all that makes numbers, ebabench by its source."""
    digest = hashlib.sha256()
    for name, path in sorted(_sources()):
        digest.update(f"{name}|".encode() + path.read_bytes())
    own = f"{ebabench.__version__} (source {digest.hexdigest()[:12]})"
    facts = machine()
    return {**facts["libraries"], "ebabench": own, "python": facts["python"]}


def _sources() -> Iterator[tuple[str, Path]]:
    """The code by its name in the package, which is the same in a clone and in an installation."""
    own, *others = map(Path, ebabench.__path__)
    for folder in (own, *(one / room for one in others for room in ("metrics", "models"))):
        home = own if folder == own else folder.parent
        yield from ((str(path.relative_to(home)), path) for path in folder.rglob("*.py"))


# What follows runs on a worker.

_loaded: dict[str, Generator] = {}


def sampler(
    card: Card, resources: Resources, target: Callable[[str], Target], run: Run, samples: int, seed: int
) -> Callable[[str], Outcome]:
    """Return a callable that samples and stores a target on a worker, given its name. A worker loads the model once."""
    return partial(_sample, uuid4().hex, card, resources, target, run.folder, samples, seed)


def _sample(
    key: str,
    card: Card,
    resources: Resources,
    target: Callable[[str], Target],
    folder: Path,
    samples: int,
    seed: int,
    name: str,
) -> Outcome:
    if key not in _loaded:
        _loaded.clear()
        model_devices(card, resources.device)
        _loaded[key] = build(card, resources)
    run, device = Run.read(folder), resources.device
    (made,) = sample(
        [_loaded[key]],
        [target(name)],
        samples,
        seed,
        run.load_ensemble,
        run.save_ensemble,
        card.provides,
        devices=[device],
    )
    return replace(made, ensemble=None)  # which is in the run folder: only names travel
