"""``ebabench run``, and its two halves ``sample`` and ``score``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app, pairs, progress, show_text
from ebabench.datasets import DEFAULT_SUITE

if TYPE_CHECKING:
    from ebabench.results.runs import Run

_Model = Annotated[str, typer.Option(help="A model of `ebabench list models`, or the path of a card.")]
_SuiteId = Annotated[str, typer.Option(help="A suite of `ebabench list suites`.")]
_Samples = Annotated[
    int | None, typer.Option(metavar="N", min=2, help="Conformations per target; the suite's own by default.")
]
_Seed = Annotated[int | None, typer.Option(metavar="N", min=0, help="The suite's own by default.")]
_Jobs = Annotated[int | None, typer.Option(metavar="N", min=1, help="Processes that score; one per core by default.")]
_Data = Annotated[Path | None, typer.Option(help="References in the ATLAS layout, where they are not embedded.")]
_Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1; or several, as in cuda:0,cuda:1.")]
_Batch = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Conformations at once; halved whenever memory runs out.")
]
_Random = Annotated[
    bool, typer.Option("--random-weights", help="Without checkpoints, to test the plumbing: never ranked.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PAIR", help="KEY=VALUE, in place of the card's setting: the row is then unofficial."
    ),
]
_Target = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this target; may be given more than once.")
]
_Shard = Annotated[str | None, typer.Option(help="i/n: every n-th target from the i-th on; n sessions share them.")]
_Metric = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this metric or family; may be given more than once.")
]
_Energy = Annotated[bool, typer.Option(help="Whether metrics of energy are computed.")]
_Out = Annotated[
    Path | None, typer.Option(help="The run folder; by default one in runs/, named by suite, model, seed and samples.")
]
_Chain = Annotated[str | None, typer.Option(help="The protein chain that is meant, in files that have several.")]
_Modified = Annotated[
    bool, typer.Option("--modified-as-parent", help="Take modified residues for their parents (SEP for SER).")
]
_All = Annotated[bool, typer.Option("--all", help="Print all metrics, not only those of the suite's short table.")]
_Temperature = Annotated[int | None, typer.Option(help="In kelvin: which of mdCATH's simulations are the reference.")]
_Boards = Annotated[Path, typer.Option(help="Where the leaderboards of your runs lie.")]
_Cluster = Annotated[
    str | None,
    typer.Option(help="Dask workers in place of processes: local:N, tcp://host:8786, a scheduler file, or a TOML."),
]
_BOARDS = Path("runs/leaderboards")


@app.command()
def run(
    model: _Model,
    suite: _SuiteId = DEFAULT_SUITE,
    target: _Target = None,
    shard: _Shard = None,
    samples: _Samples = None,
    seed: _Seed = None,
    metric: _Metric = None,
    energy: _Energy = True,
    jobs: _Jobs = None,
    cluster: _Cluster = None,
    data: _Data = None,
    device: _Device = "cpu",
    batch_size: _Batch = None,
    random_weights: _Random = False,
    settings: _Set = None,
    out: _Out = None,
    leaderboards: _Boards = _BOARDS,
    everything: _All = False,
) -> None:
    """Sample a suite with a model, score the ensembles, and bring the leaderboard up to date."""
    from ebabench.workflows.run import run as run_model

    with progress() as tell:
        made = run_model(
            model,
            suite,
            targets=target,
            shard=shard,
            samples=samples,
            seed=seed,
            data=data,
            metrics=metric,
            energy=energy,
            device=device,
            batch_size=batch_size,
            random_weights=random_weights,
            settings=pairs("--set", settings),
            jobs=jobs,
            cluster=cluster,
            out=out,
            leaderboards=leaderboards,
            progress=tell,
        )
    _show(made, everything, suite, metric or ())


@app.command()
def sample(
    model: _Model,
    suite: _SuiteId = DEFAULT_SUITE,
    target: _Target = None,
    shard: _Shard = None,
    samples: _Samples = None,
    seed: _Seed = None,
    data: _Data = None,
    device: _Device = "cpu",
    batch_size: _Batch = None,
    random_weights: _Random = False,
    settings: _Set = None,
    cluster: _Cluster = None,
    out: _Out = None,
) -> None:
    """Sample a suite with a model, MD or none; `ebabench run` with the same settings goes on where there is MD."""
    from ebabench.workflows.run import sample as sample_model

    with progress() as tell:
        made = sample_model(
            model,
            suite,
            targets=target,
            shard=shard,
            samples=samples,
            seed=seed,
            data=data,
            device=device,
            batch_size=batch_size,
            random_weights=random_weights,
            settings=pairs("--set", settings),
            cluster=cluster,
            out=out,
            progress=tell,
        )
    for remark in made.remarks:
        print(remark)
    made.check()
    print(f"ensembles are in {made.folder / 'ensembles'}")


@app.command()
def score(
    ensembles: Annotated[
        Path, typer.Option(help="The output folder of a generator, or a file; `ebabench inspect` shows what is read.")
    ],
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/SUITE/NAME by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the row.")] = None,
    model: Annotated[str | None, typer.Option(help="Or the card whose converter reads the folder.")] = None,
    suite: Annotated[str | None, typer.Option(help="The suite whose targets these are.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Or any references: as ATLAS, mdCATH, Timewarp or MDGen lay them out, or listed in a TOML."),
    ] = None,
    target: _Target = None,
    shard: _Shard = None,
    data: _Data = None,
    chain: _Chain = None,
    modified_as_parent: _Modified = False,
    temperature: _Temperature = None,
    protocol: Annotated[
        str | None, typer.Option(help="corrected, alphaflow or symmetric; the suite's by default.")
    ] = None,
    metric: _Metric = None,
    energy: _Energy = True,
    jobs: _Jobs = None,
    cluster: _Cluster = None,
    leaderboards: _Boards = _BOARDS,
    everything: _All = False,
) -> None:
    """Score ensembles from elsewhere against a suite, or against any references."""
    from ebabench.workflows.score_ensembles import score_ensembles

    with progress() as tell:
        made = score_ensembles(
            ensembles,
            suite=suite,
            reference=reference,
            name=name,
            model=model,
            targets=target,
            shard=shard,
            data=data,
            chain=chain,
            modified_as_parent=modified_as_parent,
            temperature=temperature,
            metrics=metric,
            energy=energy,
            protocol=protocol,
            jobs=jobs,
            cluster=cluster,
            out=out,
            leaderboards=leaderboards,
            progress=tell,
        )
    _show(made, everything, suite, metric or ())


def _show(made: Run, everything: bool, suite: str | None, asked: Sequence[str]) -> None:
    """Print the summary and the remarks. Raises RunError if a target failed."""
    from ebabench.datasets.suites import load_suite
    from ebabench.results.text import short_summary, summary_table

    rows = made.rows
    short = short_summary(rows, load_suite(suite).family if suite else "")
    more = [row for row in rows if row.spec.key in asked and row not in short]
    shown = rows if everything else [*short, *more]
    show_text(summary_table(rows, shown, f"{made.identity.model} on {made.identity.suite or made.identity.folder}"))
    print("floor: one more replica of MD, scored as the model is")
    if len(shown) < len(rows):
        print(f"{len(shown)} of {len(rows)} metrics; --all shows all")
    print(f"all figures are in {made.folder / 'summary.csv'}")
    for remark in made.remarks:
        print(remark)
    made.check()
