"""``ebabench simulate`` and ``ebabench energy``: references and energies made here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress
from ebabench.errors import InputError, RunError
from ebabench.suites import load_suite


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

    from ebabench.cache import cache_dir
    from ebabench.datasets.export import export
    from ebabench.datasets.simulate import simulate as run_one
    from ebabench.parallel import workers

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
    files: Annotated[list[Path], typer.Argument(help="PDB or mmCIF, plain or gzipped, one or more structures each.")],
    forcefield: Annotated[str, typer.Option(help="The energy protocol, for instance amber99sbildn-obc.")],
    minimise: Annotated[
        bool | None, typer.Option(help="Minimise first; structures are taken as given by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The CSV file; to the screen by default.")] = None,
) -> None:
    """Potential energies as CSV: file, energy_kj_per_mol, one row a structure."""
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file")
    if out is not None and not out.parent.is_dir():
        raise InputError(f"--out: there is no folder {out.parent}")
    from ebabench.physics.energy import energy_table

    table = energy_table(files, forcefield, minimise)
    text = table.to_csv(index=False)
    if out is None:
        print(text, end="")
    else:
        from ebabench.atomic import write_atomic

        write_atomic(out, text)
    without = table[table["energy_kj_per_mol"].isna()]
    for row in without.itertuples():
        raise RunError(f"{len(without)} of {len(table)} structures have no energy, {row.file}: {row.reason}")
