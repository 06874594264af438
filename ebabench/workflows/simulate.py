"""Run the molecular dynamics of a suite's references."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import as_completed
from contextlib import nullcontext
from pathlib import Path

from ebabench.datasets.export import export, take_up
from ebabench.datasets.simulation import simulate as run_one
from ebabench.datasets.suites import Suite, load_suite
from ebabench.errors import EbabenchError, RunError
from ebabench.system.cache import cache_dir
from ebabench.system.process_pool import workers
from ebabench.workflows.cluster import Cluster, connected
from ebabench.workflows.progress import Progress, silent


def simulate(
    suite: str | Suite,
    *,
    targets: Sequence[str] = (),
    jobs: int | None = None,
    cluster: Cluster | None = None,
    out: str | os.PathLike[str] | None = None,
    work: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Path:
    """Run a suite's molecular dynamics, or go on with it, and return the folder that holds it in the ATLAS layout.

    A replica goes on from the work folder. If that has nothing of it, it goes on from the references in ``out``, which
    may be shorter. A replica that another process is simulating is left to it, and counts as failed.

    Args:
        suite: The suite.
        targets: Names; all targets by default.
        jobs: Processes; one per core by default.
        cluster: Simulate on the workers of a Dask cluster, a replica a task; see ``ebabench.run``.
        out: The folder for the references; ``data/SUITE`` by default.
        work: The folder that unfinished simulations go on from; in the cache by default.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: There is no such suite or target, the suite is not simulated, or its settings cannot be: a sequence
            holds other letters than those of the twenty amino acids, or a time is not a multiple of the time step.
        RunError: Simulations failed. The message says where the others are.
    """
    chosen = suite if isinstance(suite, Suite) else load_suite(suite)
    simulations = chosen.simulations(*targets)
    place = Path(work) if work is not None else cache_dir() / "simulations" / chosen.id
    folder = Path(out) if out is not None else Path("data") / chosen.id
    replicas = {one.name: [other for other in simulations if other.name == one.name] for one in simulations}
    waiting = {name: len(of_target) for name, of_target in replicas.items()}
    for one in simulations:
        one.check()
    for one in simulations:
        take_up(one, folder, place)
    failed = []
    progress(chosen.id, 0, len(simulations))
    with (
        connected(cluster, jobs, progress) as (remote, tell),
        nullcontext(remote) if remote is not None else workers(jobs) as pool,
    ):
        futures = {pool.submit(run_one, one, place): one for one in simulations}
        for done, future in enumerate(as_completed(futures), 1):
            one = futures[future]
            try:
                future.result()
            except (ValueError, ArithmeticError, OSError, EbabenchError) as error:
                failed.append(f"{one.name} replica {one.replica}: {error}")
            else:
                waiting[one.name] -= 1
                if not waiting[one.name]:
                    export(replicas[one.name], place, folder)
            tell(chosen.id, done, len(simulations))
    if failed:
        raise RunError(
            f"{len(failed)} of {len(simulations)} simulations failed; {failed[0]}; the others are in {place}",
            code="simulate.failed",
        )
    return folder
