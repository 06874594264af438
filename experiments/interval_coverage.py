"""Measure how often intervals contain the truth, and how often equal models are told apart.

``python experiments/interval_coverage.py`` prints the two tables of docs/explanation/uncertainty.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ebabench.results.aggregation import FEWEST_TARGETS, aggregate, percentiles, resample
from ebabench.results.comparison import compare
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.spec import Aggregate, MetricSpec
from ebabench.structures.arrays import FloatArray

SIZES = (5, 6, 8, 20, 82)
_SIGMA = 1.5  # of the lognormal distribution
_R = 0.6  # the true correlation


@dataclass(frozen=True)
class Case:
    """A population of targets' values, an aggregate, and the aggregate's true value."""

    name: str
    kind: Aggregate
    draw: Callable[[np.random.Generator, int], FloatArray]
    truth: float


def _normal(random: np.random.Generator, targets: int) -> FloatArray:
    return random.normal(size=(targets, 1))


def _lognormal(random: np.random.Generator, targets: int) -> FloatArray:
    return random.lognormal(0, _SIGMA, (targets, 1))


def _correlated(random: np.random.Generator, targets: int) -> FloatArray:
    return random.multivariate_normal((0, 0), ((1, _R), (_R, 1)), targets)


CASES = (
    Case("median, normal", "median", _normal, 0),
    Case("mean, normal", "mean", _normal, 0),
    Case("Pearson's r, normal", "pearson", _correlated, _R),
    Case("median, lognormal", "median", _lognormal, 1),
    Case("mean, lognormal", "mean", _lognormal, float(np.exp(_SIGMA**2 / 2))),
)


def coverage(case: Case, targets: int, repeats: int) -> float:
    """Return the share of repeats in which the 95 % interval contains the true value."""
    assert targets >= FEWEST_TARGETS
    random, counts = np.random.default_rng(targets), resample(targets)
    inside = 0
    for _ in range(repeats):
        data = [tuple((float(x),) for x in row) for row in case.draw(random, targets)]
        low, high = percentiles(aggregate(case.kind, data, counts))
        inside += low <= case.truth <= high
    return inside / repeats


def false_verdicts(kind: Aggregate, targets: int, repeats: int) -> tuple[float, float]:
    """Return how often one of two equal models is better: by the interval alone, and by interval and test together."""
    random = np.random.default_rng(targets)
    metric = MetricSpec("x", 1, "", "", "lower", kind, "ca", "")
    interval_only = both = 0
    for _ in range(repeats):
        a, b = (_run(name, values) for name, values in zip("ab", random.normal(size=(2, targets)), strict=True))
        (row,) = compare(a, b, [metric])
        interval_only += row.low > 0 or row.high < 0
        both += bool(row.winner)
    return interval_only / repeats, both / repeats


def _run(model: str, values: FloatArray) -> Any:
    """What ``compare`` reads of a run, without a folder."""
    identity = SimpleNamespace(model=model, suite="", tier="", protocol="", energy=None, references=None)
    records = [Record(str(k), "", "", 2, 2, 1.0, {}, MetricValues({"x": float(x)})) for k, x in enumerate(values)]
    return SimpleNamespace(folder=model, identity=identity, records=lambda: records)


def tables(sizes: tuple[int, ...], repeats: int) -> str:
    """Return both tables as Markdown."""
    lines = ["| targets | " + " | ".join(case.name for case in CASES) + " |", "| --- |" + " --- |" * len(CASES)]
    for size in sizes:
        lines.append(f"| {size} | " + " | ".join(f"{coverage(case, size, repeats):.1%}" for case in CASES) + " |")
    lines += ["", "| targets | median: interval alone | both | mean: interval alone | both |", "| --- |" + " --- |" * 4]
    for size in sizes:
        rates = [rate for kind in ("median", "mean") for rate in false_verdicts(kind, size, repeats)]
        lines.append(f"| {size} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    chosen = parser.parse_args()
    print(tables(tuple(chosen.sizes), chosen.repeats))
