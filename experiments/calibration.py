"""Measure how often verdicts and flags are wrong, on models that are made of MD and are therefore equal.

``python experiments/calibration.py`` prints the tables of docs/explanation/calibration.md: about ten minutes of
processor time, a third of it for the energies of the frames of MD, which are then stored. Two kinds of equal models are
drawn from the references of a suite: frames drawn at random (no sampling error but that of their number), and windows
of consecutive frames (as wrong as short MD is). Targets are independent of each other, so that a pair of models is made
by drawing one of the draws of every target for each side.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from ebabench.datasets.suites import Suite, load_suite, reference_reader
from ebabench.results.comparison import EQUIVALENT, Difference, compare
from ebabench.results.flags import marks
from ebabench.scoring.convergence import slowest_torsion
from ebabench.scoring.metric import Metric
from ebabench.scoring.records import MetricValues, Record
from ebabench.scoring.score import score_target, single_threaded_libraries
from ebabench.scoring.selection import select_metrics
from ebabench.structures import Ensemble, Reference

FAMILIES = ("flexibility", "distances", "torsions", "slow_torsions", "energy")
BESIDE = ("energy_w1", "energy_w1_trimmed")
"""Metrics that are judged one by one, beside the primary metrics of the suite, which are also judged together."""
Draws = dict[str, list[Record]]
"""Target -> the records of equal models."""


def draws(suite: Suite, kind: str, count: int, window_ns: float, seed: int) -> Draws:
    """Return the records of ``count`` equal models per target.

    Args:
        suite: A suite whose references are embedded.
        kind: "frames" drawn at random from all replicas, or "windows" of consecutive frames of one replica.
        count: How many models.
        window_ns: Length of a window.
        seed: Seed of the draws.
    """
    read, metrics = reference_reader(suite), select_metrics(FAMILIES).metrics
    found: Draws = {}
    for one in suite.targets:
        reference = read(one.name)
        random = np.random.default_rng([seed, *one.name.encode()])
        frame_ns = suite.frame_ns(one.name)
        assert frame_ns is not None
        models = [_model(reference, kind, suite.samples, round(window_ns / frame_ns), random) for _ in range(count)]
        found[one.name] = [_scored(model, reference, metrics, suite.energy) for model in models]
    return found


def _model(reference: Reference, kind: str, samples: int, window: int, random: np.random.Generator) -> Ensemble:
    if kind == "frames":
        every = [(k, f) for k, frames in enumerate(reference.replicas) for f in range(len(frames))]
        chosen = sorted(random.choice(len(every), samples, replace=False))
        positions = np.stack([np.asarray(reference.replicas[every[i][0]][every[i][1]]) for i in chosen])
    else:
        replica = reference.replicas[random.integers(len(reference.replicas))]
        start = int(random.integers(len(replica) - window + 1))
        inside = start + np.linspace(0, window - 1, min(samples, window)).round().astype(np.int64)
        positions = np.asarray(replica[inside])
    return Ensemble(reference.target.name, reference.target.atoms, positions)


def _scored(model: Ensemble, reference: Reference, metrics: Sequence[Metric], energy: str | None = None) -> Record:
    with single_threaded_libraries():
        record = score_target(model, reference, metrics, energy_protocol=energy)
    return replace(record, figures=MetricValues(record.figures.values), floor=tuple(map(_values, record.floor)))


def _values(figures: MetricValues) -> MetricValues:
    return MetricValues(figures.values)


def pair(made: Draws, keys: Sequence[str], random: np.random.Generator, shift: float = 0.0) -> list[Difference]:
    """Return the comparison of two equal models, or of one that is worse by ``shift`` times the noise floor.

    Args:
        made: The records of equal models.
        keys: The metrics that are compared together.
        random: Draws a record of every target for each side.
        shift: How many floors are added to the first side.
    """
    sides: list[list[Record]] = [[], []]
    for records in made.values():
        for side, k in zip(sides, random.choice(len(records), 2, replace=False), strict=True):
            side.append(records[k])
    if shift:
        sides[0] = [_worse(record, keys, shift) for record in sides[0]]
    return compare(_run("a", sides[0]), _run("b", sides[1]), select_metrics(keys).specs)


def _worse(record: Record, keys: Sequence[str], shift: float) -> Record:
    moved = {key: shift * float(np.mean([one.values[key] for one in record.floor])) for key in keys}
    values = {key: value + moved.get(key, 0) for key, value in record.figures.values.items()}
    return replace(record, figures=MetricValues(values))


def _run(model: str, records: list[Record]) -> Any:
    """What ``compare`` reads of a run, without a folder."""
    told = {"suite": "", "folder": "", "tier": "", "protocol": "", "energy": None, "references": None}
    identity = SimpleNamespace(model=model, suite_digest="", **told)
    return SimpleNamespace(folder=model, identity=identity, records=lambda: records)


Compared = tuple[list[list[Difference]], list[list[Difference]]]
"""The comparisons of pairs of equal models, and of pairs of which the first is worse by the noise floor."""


def compared(made: Draws, keys: Sequence[str], pairs: int, seed: int) -> Compared:
    """Return the comparisons of ``pairs`` equal models, and of half as many where one is worse.

    Args:
        made: The records of equal models.
        keys: The metrics that are compared together.
        pairs: How many pairs of equal models.
        seed: Seed of the draws.
    """
    random = np.random.default_rng(seed)
    equal = [pair(made, keys, random) for _ in range(pairs)]
    return equal, [pair(made, keys, random, shift=1.0) for _ in range(pairs // 2)]


def verdict_rates(equal: list[list[Difference]], apart: list[list[Difference]]) -> dict[str, float]:
    """Return the shares of pairs with each verdict."""
    rows, moved = [row for found in equal for row in found], [row for found in apart for row in found]
    return {
        "any of the four called better": _share(any(row.winner for row in found) for found in equal),
        "one metric, p not adjusted": _share(bool(_by_itself(row)) for row in rows),
        "one metric, adjusted p": _share(bool(row.winner) for row in rows),
        "interval leaves out 0": _share(bool(row.leader) for row in rows),
        "equal models called equivalent": _share(row.verdict == EQUIVALENT for row in rows),
        "called equivalent when worse by the floor": _share(row.equivalent for row in moved),
        "called worse when worse by the floor": _share(row.winner == "b" for row in moved),
    }


def rates_by_metric(equal: list[list[Difference]], apart: list[list[Difference]]) -> dict[str, tuple[float, float]]:
    """Return for each metric by itself how often one of two equal models is called better, and a worse one worse."""
    return {
        key: (
            _share(bool(_by_itself(row)) for found in equal for row in found if row.spec.key == key),
            _share(_by_itself(row) == "b" for found in apart for row in found if row.spec.key == key),
        )
        for key in (row.spec.key for row in equal[0])
    }


def _by_itself(row: Difference) -> str:
    """The model that is called better where one metric is compared and no other."""
    return row.leader if row.p <= 0.05 else ""


def _share(found: Iterable[bool]) -> float:
    told = list(found)
    return sum(told) / len(told)


def flag_rates(made: Draws) -> Counter[str]:
    """Return how many models of each target are flagged, by kind of flag; flags of the reference are left out."""
    words = ("collapsed", "copies", "weighted")
    every = [marks(record) for records in made.values() for record in records]
    return Counter(word for own in every for word in words if any(word in mark for mark in own))


def shuffled(reference: Reference, random: np.random.Generator) -> Reference:
    """Return the reference with its blocks of two correlation times dealt to replicas at random.

    Its replicas are samples of one distribution with the correlations of the MD: any disagreement is chance.
    """
    slow = slowest_torsion(reference)
    assert slow is not None
    lengths = [len(frames) for frames in reference.replicas]
    size = max(1, min(round(2 * slow.frames), min(lengths) // 4))
    whole = np.concatenate([np.asarray(frames[:]) for frames in reference.replicas])
    blocks = [np.arange(start, min(start + size, len(whole))) for start in range(0, len(whole), size)]
    order = np.concatenate([blocks[k] for k in random.permutation(len(blocks))])
    parts = np.split(order, np.cumsum(lengths)[:-1])
    return Reference(reference.target, tuple(whole[part] for part in parts), reference.tier)


def reference_flags(suite: Suite, repeats: int, seed: int) -> list[str]:
    """Return one line per target: the flags of its reference, and how often they are raised once it is shuffled."""
    read, metrics = reference_reader(suite), select_metrics(("flexibility", "distribution", "slow_torsions")).metrics
    lines = []
    for one in suite.targets:
        reference, random = read(one.name), np.random.default_rng([seed, *one.name.encode()])
        model = _model(reference, "frames", suite.samples, 0, random)
        slow = slowest_torsion(reference)
        assert slow is not None
        own = [mark for mark in marks(_scored(model, reference, metrics)) if "disagree" in mark]
        again = [
            [mark for mark in marks(_scored(model, shuffled(reference, random), metrics)) if "disagree" in mark]
            for _ in range(repeats)
        ]
        alpha, torsion = (
            sum(any(mark.startswith(word) for mark in found) for found in again)
            for word in ("replicas disagree (", "replicas disagree in torsions")
        )
        told = f"{slow.torsion} | {slow.samples:.1f} | {'; '.join(own) or '–'}"
        lines.append(f"| {one.name} | {told} | {alpha} of {repeats} | {torsion} of {repeats} |")
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="peptides-v1")
    parser.add_argument("--models", type=int, default=32, help="equal models per target and kind")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--window", type=float, default=2.0, help="ns of a window")
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    suite = load_suite(chosen.suite)
    made = {kind: draws(suite, kind, chosen.models, chosen.window, chosen.seed) for kind in ("frames", "windows")}
    rates: dict[str, dict[str, float]] = {}
    single: dict[str, dict[str, tuple[float, float]]] = {}
    for kind, found in made.items():
        primary = compared(found, suite.primary, chosen.pairs, chosen.seed)
        rates[kind] = verdict_rates(*primary)
        single[kind] = rates_by_metric(*primary) | rates_by_metric(*compared(found, BESIDE, chosen.pairs, chosen.seed))
    print(f"| verdict | random frames | windows of {chosen.window:g} ns |\n| --- | --- | --- |")
    for name in rates["frames"]:
        print(f"| {name} | {rates['frames'][name]:.1%} | {rates['windows'][name]:.1%} |", flush=True)
    print("\n| metric by itself | frames: equal | frames: worse by the floor | windows: equal | windows: worse |")
    print("| --- | --- | --- | --- | --- |")
    for key in single["frames"]:
        told = [f"{rate:.1%}" for kind in ("frames", "windows") for rate in single[kind][key]]
        print(f"| `{key}` | {' | '.join(told)} |", flush=True)
    total = chosen.models * len(suite.targets)
    print("\n| flag | random frames | windows |\n| --- | --- | --- |")
    flags = {kind: flag_rates(found) for kind, found in made.items()}
    for word in ("collapsed", "copies", "weighted"):
        print(f"| {word} | {flags['frames'][word] / total:.1%} | {flags['windows'][word] / total:.1%} |")
    print("\n| target | slowest torsion | T / 2 tau | flags | shuffled: replicas disagree | in torsions |")
    print("| --- | --- | --- | --- | --- | --- |")
    print("\n".join(reference_flags(suite, chosen.shuffles, chosen.seed)), flush=True)


if __name__ == "__main__":
    main()
