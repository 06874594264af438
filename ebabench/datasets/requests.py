"""What to generate for a suite, in the formats that generators take.

``fasta``, ``csv`` and ``json`` are one file. ``bioemu`` is a shell script with one command per target. ``boltz`` and
``af3`` are one input file per target, for a folder.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

from ebabench.datasets.suites import Suite
from ebabench.errors import unknown

PER_TARGET = ("boltz", "af3")
"""The formats of one file per target."""
_AF3_PER_SEED = 5
_LINE = 60


def requests(suite: Suite, form: str) -> dict[str, str]:
    """Return the files that ask for a suite, by their names.

    Args:
        suite: The suite.
        form: The format: ``fasta``, ``csv``, ``json``, ``bioemu``, ``boltz`` or ``af3``.

    Raises:
        InputError: There is no such format (``unknown.format``).

    Example:
        >>> from ebabench.datasets.suites import load_suite
        >>> files = requests(load_suite("peptides-v1"), "fasta")
        >>> list(files), files["peptides-v1.fasta"].splitlines()[:2]
        (['peptides-v1.fasta'], ['>GAPF', 'GAPF'])
    """
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    return FORMATS[form](suite)


def _fasta(suite: Suite) -> dict[str, str]:
    records = [
        "\n".join([f">{target.name}", *(target.sequence[k : k + _LINE] for k in range(0, len(target.sequence), _LINE))])
        for target in suite.targets
    ]
    return {f"{suite.id}.fasta": "\n".join(records) + "\n"}


def _csv(suite: Suite) -> dict[str, str]:
    """``name`` and ``seqres`` are the columns that AlphaFlow, ESMFlow, ConfDiff and MDGen read."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("name", "seqres", "length", "samples", "released"))
    for target in suite.targets:
        rows.writerow((target.name, target.sequence, len(target.sequence), suite.samples, target.released or ""))
    return {f"{suite.id}.csv": text.getvalue()}


def _json(suite: Suite) -> dict[str, str]:
    targets = [{"name": target.name, "sequence": target.sequence} for target in suite.targets]
    whole = {"suite": suite.id, "samples": suite.samples, "seed": suite.seed, "targets": targets}
    return {f"{suite.id}.json": json.dumps(whole, indent=1) + "\n"}


def _bioemu(suite: Suite) -> dict[str, str]:
    """``python -m bioemu.sample``, as its README has it."""
    commands = [
        f"python -m bioemu.sample --sequence {target.sequence} --num_samples {suite.samples} --output_dir {target.name}"
        for target in suite.targets
    ]
    return {f"{suite.id}.sh": "\n".join(["set -e", *commands]) + "\n"}


def _boltz(suite: Suite) -> dict[str, str]:
    """The YAML input of Boltz-1 and Boltz-2 (docs/prediction.md of its repository)."""
    return {
        f"{target.name}.yaml": f"version: 1\nsequences:\n  - protein:\n      id: A\n      sequence: {target.sequence}\n"
        for target in suite.targets
    }


def _af3(suite: Suite) -> dict[str, str]:
    """The JSON input of AlphaFold 3 (docs/input.md of its repository); each seed gives five samples."""
    seeds = list(range(1, math.ceil(suite.samples / _AF3_PER_SEED) + 1))
    files = {}
    for target in suite.targets:
        whole: dict[str, Any] = {
            "name": target.name,
            "modelSeeds": seeds,
            "sequences": [{"protein": {"id": "A", "sequence": target.sequence}}],
            "dialect": "alphafold3",
            "version": 1,
        }
        files[f"{target.name}.json"] = json.dumps(whole, indent=1) + "\n"
    return files


FORMATS: dict[str, Callable[[Suite], dict[str, str]]] = {
    "fasta": _fasta,
    "csv": _csv,
    "json": _json,
    "boltz": _boltz,
    "af3": _af3,
    "bioemu": _bioemu,
}
"""What makes the files of each format."""
