"""Compute potential energies of structures, or of a suite's molecular dynamics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.structures import Reference
from ebabench.workflows.cluster import Cluster, connected
from ebabench.workflows.progress import Progress, silent
from ebabench.workflows.targets import small_digests

if TYPE_CHECKING:
    import pandas as pd

    from ebabench.training.data import Trajectories


def energies(
    files: Sequence[str | os.PathLike[str]],
    forcefield: str,
    *,
    minimise: bool | None = None,
    decompose: bool = False,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the potential energies of conformations, one row per conformation.

    Energies computed before come from the cache. For the columns see `ebabench.physics.files.energy_table`.

    Args:
        files: Structure files, and trajectories with their topology beside them.
        forcefield: The energy protocol, for instance ``"amber99sbildn-obc"``; ``"amber99sbildn-obc@2nm"`` has a cutoff.
        minimise: Whether structures are minimised first; False by default.
        decompose: One row per residue and one column per force term.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: A file cannot be read, or there is no such protocol.
    """
    from ebabench.physics.files import decomposition_table, energy_table

    table = decomposition_table if decompose else energy_table
    return table([Path(file) for file in files], forcefield, minimise=bool(minimise), progress=progress)


def energy_notes(table: pd.DataFrame) -> list[str]:
    """Return what a user should know about the energies in a table of `energies`, one sentence per file and fact.

    They say what of a file is left out, which hydrogens could not be used, and how many heavy atoms were added.
    """
    found: dict[str, None] = {}
    for row in table.itertuples():
        if getattr(row, "left_out", ""):
            found[f"{row.file}: left out: {row.left_out}"] = None
        if str(getattr(row, "hydrogens", "")).startswith("placed anew"):
            found[f"{row.file}: hydrogens {row.hydrogens}"] = None
        if not row.reason and getattr(row, "heavy_atoms_added", None):
            found[f"{row.file}: {row.heavy_atoms_added:.0f} heavy atoms are missing and were added"] = None
    return list(found)


def suite_energies(
    suite: str | Suite,
    *,
    forcefield: str | None = None,
    cutoff_nm: float | None = None,
    minimise: bool | None = None,
    data: str | os.PathLike[str] | None = None,
    targets: Sequence[str] = (),
    stride: int = 1,
    jobs: int | None = None,
    cluster: Cluster | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the potential energies of a suite's molecular dynamics, one row per frame.

    Columns: target, replica, frame (from 0), energy_kj_per_mol, reason (why a frame has no energy).

    Args:
        suite: The suite.
        forcefield: The energy protocol; the suite's by default.
        cutoff_nm: Cutoff of nonbonded terms in nanometre; that of the protocol by default.
        minimise: Whether frames are minimised first; as the protocol does for training by default.
        data: The folder of the references, where they are not embedded.
        targets: Names; all targets by default.
        stride: Every how many frames one is computed.
        jobs: Processes; one per core by default.
        cluster: Compute on the workers of a Dask cluster; see ``ebabench.run``.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        InputError: There is no such suite, target or protocol, or the references cannot be read.
    """
    import pandas as pd

    from ebabench.physics.protocols import get_protocol, with_cutoff
    from ebabench.system.process_pool import workers
    from ebabench.training.data import Trajectories, with_energies

    chosen = suite if isinstance(suite, Suite) else load_suite(suite)
    protocol = forcefield or chosen.energy
    if protocol is None:
        raise InputError(
            f"{chosen.id} names no energy protocol: choose one with --forcefield",
            code="energy.protocol",
            suite=chosen.id,
        )
    protocol = with_cutoff(protocol, cutoff_nm)
    get_protocol(protocol)
    read = reference_reader(chosen, Path(data) if data is not None else None)
    names = [chosen.target(one).name for one in targets] or [one.name for one in chosen.targets]
    of_targets = [Trajectories(one, (read,), stride) for one in names]
    known = small_digests(read, names, strict=True) if cluster is not None else {}
    with (
        connected(cluster, jobs, progress, read, names, known) as (remote, tell),
        nullcontext(remote) if remote is not None else workers(jobs) as pool,
    ):
        found = with_energies(of_targets, protocol, pool, tell, minimise=minimise)
    tables = [_table(one, chosen.frames(one.name) or _frames(read(one.name))) for one in found]
    return pd.concat(tables, ignore_index=True)


def _frames(reference: Reference) -> dict[int, int]:
    """Frames by replica."""
    return {number: len(frames) for number, frames in zip(reference.numbers, reference.replicas, strict=True)}


def _table(one: Trajectories, frames: Mapping[int, int]) -> pd.DataFrame:
    """Energies by replica and frame."""
    import pandas as pd

    assert one.energies is not None
    rows = [(one.name, number, frame) for number, count in frames.items() for frame in range(0, count, one.stride)]
    table = pd.DataFrame(rows, columns=["target", "replica", "frame"])
    reasons = [one.reasons.get(k, "") for k in range(len(rows))]
    return table.assign(energy_kj_per_mol=one.energies, reason=reasons)
