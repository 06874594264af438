"""``ebabench inspect``: what would be read of an output folder; ``ebabench targets``: what to generate."""

from __future__ import annotations

import json as json_text
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ebabench.cli.app import app, progress, show
from ebabench.errors import InputError, RunError

if TYPE_CHECKING:
    from ebabench.workflows.inspect import Inspected, Inspection

_COLUMNS = ("target", "layout", "files", "conformations", "chains", "residues", "atoms", "hydrogens", "weights", "fits")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="The output folder of a generator, or one file of it.")],
    suite: Annotated[str | None, typer.Option(help="The suite whose targets these are.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Or any references, as `ebabench score` takes them.")] = None,
    chain: Annotated[str | None, typer.Option(help="The protein chain that is meant, where there are several.")] = None,
    modified_as_parent: Annotated[
        bool, typer.Option("--modified-as-parent", help="Take modified residues for their parents (SEP for SER).")
    ] = False,
    temperature: Annotated[int | None, typer.Option(help="In kelvin, of mdCATH's references.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what would be read of a generator's output, from which files, and what would be refused."""
    from ebabench.workflows.inspect import inspect as look

    with progress(shown=not json) as tell:
        found = look(
            path,
            suite,
            reference=reference,
            chain=chain,
            modified_as_parent=modified_as_parent,
            temperature=temperature,
            progress=tell,
        )
    if json:
        print(json_text.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    else:
        _show(found)
    refused = [one for one in found.targets if one.target and one.refused]
    if refused:
        first = refused[0]
        raise RunError(
            f"{len(refused)} of {len(found.targets)} would be refused; {first.target}: {first.refused}",
            code="inspect.refused",
        )


def _show(found: Inspection) -> None:
    show(found.path, _COLUMNS, [_row(one) for one in found.targets])
    for one in found.targets:
        name = one.target or "no target"
        for path, number, reason in _grouped(one.left_out):
            print(f"{name}: left out: {path}{number}: {reason}")
        if one.rejected:
            said = ", ".join(f"{number} {reason}" for reason, number in one.rejected.items())
            print(f"{name}: left out: {sum(one.rejected.values())} frames that the generator rejects ({said})")
        for note in one.notes:
            print(f"{name}: {note}")
        if one.refused:
            print(f"{name}: refused: {one.refused}" + f" ({one.files[0]})" * (not one.target))
    for path, number, reason in _grouped(found.left_out):
        print(f"left out: {path}{number}: {reason}")
    if found.missing:
        print(f"no files of {len(found.missing)} targets: {', '.join(found.missing)}")


def _row(one: Inspected) -> tuple[str, ...]:
    effective = f"{one.effective_samples:.1f} effective" if one.weights else "equal"
    cells = (one.conformations, one.chains, one.residues, one.atoms, one.hydrogens)
    fits = ", ".join(one.fits)
    texts = ["–" if cell in (None, "") else str(cell) for cell in cells]
    weights = "–" if one.conformations is None else effective
    backbone = " (backbone)" * bool(one.backbone_only)
    texts[3] += backbone
    return (one.target or "–", one.layout, str(len(one.files)), *texts, weights, fits or "–")


def _grouped(left_out: tuple[tuple[str, str], ...]) -> list[tuple[str, str, str]]:
    """Return the first file of each reason, and how many more have it."""
    counts = Counter(reason for _, reason in left_out)
    first = {reason: path for path, reason in reversed(left_out)}
    return [(first[reason], f" and {count - 1} more" * (count > 1), reason) for reason, count in counts.items()]


class Form(StrEnum):
    """The formats of requests."""

    FASTA = "fasta"
    CSV = "csv"
    JSON = "json"
    BOLTZ = "boltz"
    AF3 = "af3"
    BIOEMU = "bioemu"


@app.command()
def targets(
    suite: Annotated[str, typer.Option(help="A suite of `ebabench list suites`.")],
    form: Annotated[Form, typer.Option("--format", help="One file, or (boltz, af3) one file per target.")] = Form.FASTA,
    out: Annotated[
        Path | None, typer.Option(help="The file, or the folder of files; to the screen by default.")
    ] = None,
) -> None:
    """Export what to generate for a suite, in the format that a generator takes."""
    from ebabench.workflows.export_targets import export_targets, target_files

    if out is not None:
        written = export_targets(suite, form.value, out)
        print(f"wrote {len(written)} file{'s' * (len(written) != 1)}: {', '.join(map(str, written[:3]))}")
        return
    files = target_files(suite, form.value)
    if form in (Form.BOLTZ, Form.AF3):
        raise InputError(f"--format {form.value} is one file per target: give --out, a folder", code="targets.out")
    print(next(iter(files.values())), end="")
