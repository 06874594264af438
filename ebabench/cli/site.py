"""``ebabench site``: boards, models, targets and metrics as pages for a browser."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ebabench.cli.app import app, progress


@app.command()
def site(
    sources: Annotated[
        list[Path], typer.Argument(help="Run folders, folders of run folders, leaderboard CSVs (SUITE.csv).")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the site.")] = Path("site"),
    data: Annotated[Path | None, typer.Option(help="References in the ATLAS layout, if not embedded.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes that draw; one per core by default.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Serve it on this machine until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="With --serve: the port on 127.0.0.1.")] = 8000,
) -> None:
    """Build a static site of leaderboards that works offline, from run folders and published tables."""
    from ebabench.workflows.site import serve_site
    from ebabench.workflows.site import site as build

    command = shlex.join(["ebabench", *sys.argv[1:]])
    with progress() as tell:
        built = build(sources, out, data=data, jobs=jobs, command=command, progress=tell)
    for what, why in built.left_out.items():
        print(f"without a page: {what}: {why}", file=sys.stderr)
    print(f"{built.pages} pages; open {built.folder / 'index.html'}")
    if serve:
        print(f"serving http://127.0.0.1:{port}/ until Ctrl-C", flush=True)
        serve_site(built.folder, port)
