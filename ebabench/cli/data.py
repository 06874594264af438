"""``ebabench simulate`` and ``ebabench energy``: references and energies made here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app, progress
from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError, RunError
from ebabench.structures import Reference

if TYPE_CHECKING:
    import pandas as pd

    from ebabench.training.data import Trajectories


@app.command()
def simulate(
    suite: Annotated[str, typer.Option(help="The suite whose references are made.")],
    target: Annotated[list[str] | None, typer.Option(help="Only this target; may be given more than once.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the ATLAS layout is written; data/SUITE by default.")] = None,
    work: Annotated[Path | None, typer.Option(help="Where simulations go on from; in the cache by default.")] = None,
) -> None:
    """Runs a suite's molecular dynamics, or goes on with it, and writes it in the ATLAS layout."""
    from concurrent.futures import as_completed

    from ebabench.datasets.export import export
    from ebabench.datasets.simulation import simulate as run_one
    from ebabench.system.cache import cache_dir
    from ebabench.system.process_pool import workers

    chosen = load_suite(suite)
    simulations = chosen.simulations(*target or ())
    work = work or cache_dir() / "simulations" / chosen.id
    out = out or Path("data") / chosen.id
    left = {one.name: [other for other in simulations if other.name == one.name] for one in simulations}
    failed = []
    with workers(jobs) as pool, progress() as bar:
        task = bar.add_task(chosen.id, total=len(simulations))
        futures = {pool.submit(run_one, one, work): one for one in simulations}
        waiting = {name: len(replicas) for name, replicas in left.items()}
        for future in as_completed(futures):
            one = futures[future]
            try:
                future.result()
            except (ValueError, ArithmeticError) as error:
                failed.append(f"{one.name} replica {one.replica}: {error}")
            else:
                waiting[one.name] -= 1
                if not waiting[one.name]:
                    export(left[one.name], work, out)
            bar.advance(task)
    if failed:
        raise RunError(f"{len(failed)} of {len(simulations)} simulations failed; {failed[0]}; the others are in {work}")
    print(f"{len(left)} targets of {chosen.id} are in {out}")


@app.command()
def energy(
    files: Annotated[
        list[Path] | None, typer.Argument(help="PDB or mmCIF, plain or gzipped, one or more structures each.")
    ] = None,
    forcefield: Annotated[
        str | None, typer.Option(help="The energy protocol, for instance amber99sbildn-obc; a suite's own by default.")
    ] = None,
    minimise: Annotated[
        bool | None, typer.Option(help="Minimise first. By default files are taken as given, and suites as trained on.")
    ] = None,
    decompose: Annotated[bool, typer.Option("--decompose", help="One row a residue, one column a force term.")] = False,
    suite: Annotated[str | None, typer.Option(help="In place of files: the molecular dynamics of a suite.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --suite: its references in the ATLAS layout, or a folder with them as SUITE."),
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="With --suite: only this target; may be repeated.")] = None,
    stride: Annotated[int, typer.Option(min=1, help="With --suite: every how many frames are computed.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="With --suite: processes; one a core by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="The CSV file; to the screen by default.")] = None,
) -> None:
    """Potential energies as CSV, one row a structure. What was computed is kept, and not computed again."""
    for file in files or ():
        if not file.is_file():
            raise InputError(f"{file}: no such file")
    if out is not None and not out.parent.is_dir():
        raise InputError(f"--out: there is no folder {out.parent}")
    if bool(files) == (suite is not None):
        raise InputError("give either files or --suite")
    from ebabench.physics.energy import decomposition_table, energy_table

    if suite is not None:
        if decompose:
            raise InputError("--decompose is for files")
        table = _suite_energies(suite, forcefield, minimise, data, target or [], stride, jobs)
    elif forcefield is None:
        raise InputError("--forcefield: name the energy protocol")
    else:
        table = (decomposition_table if decompose else energy_table)(files or [], forcefield, minimise)
    text = table.to_csv(index=False)
    if out is None:
        print(text, end="")
    else:
        from ebabench.system.files import replace_file

        replace_file(out, text)
    without = table[table["reason"] != ""]
    for row in without.itertuples():
        raise RunError(f"{len(without)} of {len(table)} rows have no energy, {row[1]}: {row.reason}")


def _suite_energies(
    name: str,
    forcefield: str | None,
    minimise: bool | None,
    folder: Path | None,
    only: list[str],
    stride: int,
    jobs: int | None,
) -> pd.DataFrame:
    """One row a frame: target, replica, frame (from 0), energy_kj_per_mol, reason; computed by several processes."""
    import pandas as pd

    from ebabench.datasets.suites import reference_reader
    from ebabench.physics.protocols import get_protocol
    from ebabench.system.process_pool import workers
    from ebabench.training.data import Trajectories, with_energies

    suite = load_suite(name)
    protocol = forcefield or suite.energy
    if protocol is None:
        raise InputError(f"{suite.id} names no energy protocol: choose one with --forcefield")
    get_protocol(protocol)
    read = reference_reader(suite, folder)
    names = [suite.target(one).name for one in only] or [one.name for one in suite.targets]
    with workers(jobs) as pool, progress() as bar:
        task = bar.add_task(f"{suite.id} {protocol}", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        data = [Trajectories(one, (read,), stride) for one in names]
        found = with_energies(data, protocol, pool, on_progress, minimise=minimise)
    tables = [_table(one, suite.frames(one.name) or _frames(read(one.name))) for one in found]
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
