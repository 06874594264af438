"""Draw the sequences of ``peptides-sequences-v2`` from the names that MDGen trains on.

``python experiments/draw_sequences.py mdgen/splits > peptides-sequences-v2.toml`` writes the suite. ``splits`` is a
folder of MDGen's repository (Jing et al., arXiv:2409.17808; https://github.com/bjing2016/mdgen). A sequence that MDGen
validates or tests on, or that another suite of peptides has, is not drawn.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ebabench.datasets.suites import load_suite, suite_ids

SUITE = "peptides-sequences-v2"
COUNT, SEED = 1000, 12
_HEAD = """\
# 1,000 of the names that MDGen trains on in implicit solvent, without any that it validates or tests on in either
# solvent and any of the other suites of peptides: numpy.random.default_rng(12).choice(sorted, 1000), in the order
# drawn. `python experiments/draw_sequences.py mdgen/splits` writes this file. There is no MD of them here.
id = "peptides-sequences-v2"
title = "Training tetrapeptides of MDGen without MD"
split = "train"
family = "peptides"
tier = "md-implicit"
protocol = "corrected"
energy = "amber14-gbn2-restrained"
samples = 250
seed = 80000
targets = [
"""
_TAIL = """\
]

[simulation]
temperature_k = 350.0
nanoseconds = 3.3
frame_ps = 50.0
replicas = 1
forcefield = ["amber14-all.xml", "implicit/gbn2.xml"]
friction_per_ps = 0.3
"""


def drawn(splits: Path) -> list[str]:
    """Return the sequences in the order drawn."""
    taken = {
        name
        for split in ("val", "test")
        for solvent in ("4AA", "4AA_implicit")
        for name in _names(splits, solvent, split)
    }
    for suite in suite_ids():
        if suite.startswith("peptides-") and suite != SUITE:
            taken |= {target.sequence for target in load_suite(suite).targets}
    left = sorted(set(_names(splits, "4AA_implicit", "train")) - taken)
    chosen: list[str] = np.random.default_rng(SEED).choice(left, COUNT, replace=False).tolist()
    return chosen


def _names(splits: Path, solvent: str, split: str) -> Iterator[str]:
    with (splits / f"{solvent}_{split}.csv").open(encoding="utf-8", newline="") as file:
        yield from (row["name"] for row in csv.DictReader(file))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("splits", type=Path, help="the folder `splits` of MDGen's repository")
    names = drawn(parser.parse_args(arguments).splits)
    targets = "".join(f'    {{ name = "{name}", sequence = "{name}" }},\n' for name in names)
    print(_HEAD + targets + _TAIL, end="")


if __name__ == "__main__":
    main()
