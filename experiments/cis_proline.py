"""Count peptide bonds before proline that cross between trans and cis in the MD of a suite.

``python experiments/cis_proline.py SUITE [--data DIR]`` says how many bonds there are, how long their MD is in all, and
how many changes it has, by the frames that are stored. Default: the MD that is embedded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reference_convergence import is_cis_before_proline

from ebabench.datasets.references import read_reference
from ebabench.datasets.suites import load_suite, reference_reader


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("--data", type=Path, help="references; those of the package by default")
    chosen = parser.parse_args()
    suite = load_suite(chosen.suite)
    references = reference_reader(suite, chosen.data)
    bonds, nanoseconds, changes = 0, 0.0, []
    for name in references.here():
        if "P" not in suite.target(name).sequence[1:]:
            continue
        reference = read_reference(references.root, name, suite.tier)
        for replica, simulation in zip(reference.replicas, suite.simulations(name), strict=True):
            cis = is_cis_before_proline(reference.target, replica[:])
            bonds += cis.shape[1]
            nanoseconds += cis.shape[1] * (len(replica) - 1) * simulation.frame_ps / 1000
            changes += [name] * int((cis[1:] != cis[:-1]).sum())
    print(f"{suite.id}: {bonds} bonds before proline, {nanoseconds:.0f} ns in all, {len(changes)} changes {changes}")


if __name__ == "__main__":
    main()
