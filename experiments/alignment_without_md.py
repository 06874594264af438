"""Whether energies of sequences without MD teach what those of the training peptides teach.

``python experiments/alignment_without_md.py --out alignment-without-md --figures docs/figures`` aligns the shipped
`sft` as `eba` is aligned (``ALIGNED`` of ``alignment_seeds.py``) on its own samples of the 1,000 peptides that it was
trained on, of 1,000 sequences without MD, and of both, with three seeds of the alignment each. It scores them on the
validation suite, and writes ``alignment-without-md-SUITE.csv`` and ``alignment-without-md-SUITE.svg`` by the tests of
``alignment_seeds.py``. The steps of training are as many for every row. A run that was stopped is resumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ablation import Row
from alignment_seeds import ALIGNED, SEEDS, made, seeded, write
from alignment_v2 import ROWS, TRAINING, VALIDATION

BASE, SEQUENCES = "sft", "peptides-sequences-v2"
WITHOUT, BOTH = f"{ALIGNED}-without-md", f"{ALIGNED}-both"


def chain(seed: int, training: str = TRAINING, sequences: str = SEQUENCES) -> dict[str, Row]:
    """Return the rows of one seed (from 1)."""
    aligned = replace(next(row for row in ROWS if row.name == ALIGNED), start=BASE, own=BASE)
    suites = {ALIGNED: (training,), WITHOUT: (sequences,), BOTH: (training, sequences)}
    rows = {name: replace(aligned, name=name, suites=chosen) for name, chosen in suites.items()}
    return {BASE: Row(BASE)} | {name: seeded(row, seed, tuple(suites)) for name, row in rows.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all rows of all seeds, then the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, samples and runs")
    parser.add_argument("--figures", type=Path, required=True, help="folder for the table and the figure")
    parser.add_argument("--suite", default=VALIDATION, help="what the rows are scored on")
    chosen = parser.parse_args(arguments)
    each = made(chosen.out, [chain(seed) for seed in range(1, SEEDS + 1)], chosen.suite)
    write(each, [(WITHOUT, ALIGNED), (BOTH, ALIGNED)], chosen.figures / f"alignment-without-md-{chosen.suite}")


if __name__ == "__main__":
    main()
