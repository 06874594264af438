"""Golden numbers: what every metric said of a small frozen case, with the version of the metric that said it.

After a version was raised on purpose, ``python tests/regression/goldens.py`` writes the new ones. It refuses numbers
that moved under an unchanged version.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np

from ebabench.datasets.references import read_reference, reference_names
from ebabench.io.structure_files import read_ensemble
from ebabench.results.aggregation import summarise
from ebabench.scoring.metric import METRICS
from ebabench.scoring.records import Record
from ebabench.scoring.score import score_target

HERE = Path(__file__).parent
FILE = HERE / "goldens.json"
PROTOCOLS = ("corrected", "alphaflow")

Goldens = dict[str, dict[str, float | int | None]]
"""``protocol/target/metric`` (target "suite" for aggregates) -> version, and value (None where undefined)."""


def compute() -> Goldens:
    """The numbers of today: a hendecapeptide and two tetrapeptides at 600 K as the model, at 300 K as the reference."""
    metrics = [METRICS.load(name) for name in METRICS]
    specs = [spec for metric in metrics for spec in metric.specs]
    versions = {spec.key: spec.version for spec in specs}
    found: Goldens = {}
    for protocol in PROTOCOLS:
        records = [_record(name, metrics, protocol) for name in reference_names(HERE / "reference")]
        for record in records:
            for key in sorted({**record.figures.values, **record.figures.profiles}):
                numbers = record.figures.numbers(key)
                value = float(np.mean(numbers)) if numbers else math.nan
                found[f"{protocol}/{record.target}/{key}"] = _golden(versions[key], value)
        for row in summarise(records, specs):
            for name, value in (("", row.estimate.value), (" low", row.estimate.low), (" high", row.estimate.high)):
                found[f"{protocol}/suite/{row.spec.key}{name}"] = _golden(row.spec.version, value)
    return found


def faults(golden: Goldens, found: Goldens) -> list[str]:
    """What is wrong: numbers that moved without a new version, versions without new numbers, numbers not there."""
    wrong = []
    for name in sorted(golden.keys() | found.keys()):
        if name not in found:
            wrong.append(f"{name}: is no longer computed")
        elif name not in golden:
            wrong.append(f"{name}: has no golden number")
        elif found[name]["version"] != golden[name]["version"]:
            wrong.append(f"{name}: is of version {found[name]['version']}, its golden of {golden[name]['version']}")
        elif not _same(name, found[name]["value"], golden[name]["value"]):
            wrong.append(
                f"{name}: moved from {golden[name]['value']} to {found[name]['value']} "
                f"under the same version {golden[name]['version']}"
            )
    return wrong


def read() -> Goldens:
    """The goldens that are kept."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def _record(name: str, metrics: list, protocol: str) -> Record:
    return score_target(
        read_ensemble(HERE / "model" / f"{name}.npz", name),
        read_reference(HERE / "reference", name, "frozen"),
        metrics,
        protocol=protocol,
        energy_protocol="amber99sbildn-obc",
        with_floor=False,
    )


def _golden(version: int, value: float) -> dict[str, float | int | None]:
    return {"version": version, "value": None if math.isnan(value) else value}


def _same(name: str, one: float | None, other: float | None) -> bool:
    """Equal up to rounding of other machines: a minimised energy has less in common than a distance."""
    if one is None or other is None:
        return one is other
    tolerance = 2e-2 if "energy" in name else 1e-5
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * 1e-2)


def main() -> str | None:
    """Writes the goldens of today; the message says why not."""
    golden, found = read(), compute()
    if moved := [fault for fault in faults(golden, found) if "moved" in fault]:
        return "\n".join([*moved, "Raise the version of these metrics first."])
    FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return None


if __name__ == "__main__":
    sys.exit(main())
