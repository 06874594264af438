"""``ebabench simulate`` and ``ebabench energy``: references and energies made here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress
from ebabench.errors import InputError, RunError

_Cluster = Annotated[
    str | None,
    typer.Option(help="Dask workers in place of processes: local:N, tcp://host:8786, a scheduler file, or a TOML."),
]


@app.command()
def simulate(
    suite: Annotated[str, typer.Option(help="The suite whose references are made.")],
    target: Annotated[list[str] | None, typer.Option(help="Only this target; may be given more than once.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    cluster: _Cluster = None,
    out: Annotated[Path | None, typer.Option(help="Where the ATLAS layout is written; data/SUITE by default.")] = None,
    work: Annotated[Path | None, typer.Option(help="Where simulations go on from; in the cache by default.")] = None,
) -> None:
    """Run a suite's molecular dynamics, or go on with it, and write it in the ATLAS layout."""
    from ebabench.datasets.suites import load_suite
    from ebabench.workflows.simulate import simulate as simulate_suite

    chosen = load_suite(suite)
    with progress() as tell:
        folder = simulate_suite(
            chosen, targets=target or (), jobs=jobs, cluster=cluster, out=out, work=work, progress=tell
        )
    print(f"{len(set(target or ())) or len(chosen.targets)} targets of {chosen.id} are in {folder}")


@app.command()
def energy(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Structure files, or trajectories with their topology beside them.")
    ] = None,
    forcefield: Annotated[
        str | None, typer.Option(help="The energy protocol, for instance amber99sbildn-obc; a suite's own by default.")
    ] = None,
    minimise: Annotated[
        bool | None, typer.Option(help="Minimise first. By default files are taken as given, and suites as trained on.")
    ] = None,
    cutoff_nm: Annotated[
        float | None, typer.Option(help="Cutoff of nonbonded terms in nm, without a periodic box; none by default.")
    ] = None,
    decompose: Annotated[bool, typer.Option("--decompose", help="One row per residue, one column per force term.")] = (
        False
    ),
    suite: Annotated[str | None, typer.Option(help="In place of files: the molecular dynamics of a suite.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --suite: its references in the ATLAS layout, or a folder with them as SUITE."),
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="With --suite: only this target; may be repeated.")] = None,
    stride: Annotated[int, typer.Option(min=1, help="With --suite: every how many frames are computed.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="With --suite: processes; one per core by default.")] = None,
    cluster: _Cluster = None,
    out: Annotated[Path | None, typer.Option(help="The CSV file; to the screen by default.")] = None,
) -> None:
    """Print potential energies as CSV, one row per conformation. Energies computed before come from the cache."""
    from ebabench.physics.protocols import with_cutoff
    from ebabench.workflows.energy import energies, energy_notes, suite_energies

    if out is not None and not out.parent.is_dir():
        raise InputError(f"--out: there is no folder {out.parent}", code="usage.out", folder=out.parent)
    if bool(files) == (suite is not None):
        raise InputError("give either files or --suite", code="usage.source")
    if cluster is not None and suite is None:
        raise InputError("--cluster is for --suite", code="usage.cluster")
    if suite is not None:
        if decompose:
            raise InputError("--decompose is for files", code="usage.decompose")
        with progress() as tell:
            table = suite_energies(
                suite,
                forcefield=forcefield,
                cutoff_nm=cutoff_nm,
                minimise=minimise,
                data=data,
                targets=target or (),
                stride=stride,
                jobs=jobs,
                cluster=cluster,
                progress=tell,
            )
    elif forcefield is None:
        raise InputError("--forcefield: name the energy protocol", code="usage.forcefield")
    else:
        protocol = with_cutoff(forcefield, cutoff_nm)
        with progress() as tell:
            table = energies(files or [], protocol, minimise=minimise, decompose=decompose, progress=tell)
    text = table.to_csv(index=False)
    if out is None:
        print(text, end="")
    else:
        from ebabench.system.files import replace_file

        replace_file(out, text)
    for note in energy_notes(table):
        print(note, file=sys.stderr)
    without = table[table["reason"] != ""]
    for row in without.itertuples():
        raise RunError(
            f"{len(without)} of {len(table)} rows have no energy, {row[1]}: {row.reason}", code="energy.missing"
        )
