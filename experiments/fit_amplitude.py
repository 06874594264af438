"""Fits the one number that a model of fluctuations has: ``python experiments/fit_amplitude.py nma``.

The amplitude whose root mean square fluctuations come nearest to MD's, by least squares over all heavy atoms of all
targets of the validation suite. It is written into the card by hand, with this command beside it.
"""

from __future__ import annotations

import sys
from typing import Protocol

import numpy as np

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.generators.build import build
from ebabench.generators.cards import load_card
from ebabench.generators.protocol import Resources
from ebabench.structures import Reference, Target
from ebabench.structures.arrays import FloatArray
from ebabench.structures.geometry import superpose

SUITE = "peptides-val-v1"


class Fluctuations(Protocol):
    """A generator that can say how much its atoms move, in proportion to its amplitude."""

    def rmsf(self, target: Target) -> FloatArray:
        """Root mean square fluctuation of every atom [N] at an amplitude of 1."""
        ...


def md_rmsf(reference: Reference) -> FloatArray:
    """Root mean square fluctuation [N] over all frames, about their mean, superposed on the native structure."""
    frames = superpose(np.concatenate([replica[:] for replica in reference.replicas]), reference.target.native)
    return np.asarray(np.sqrt(frames.var(0, dtype=np.float64).sum(1)))


def fit(model: Fluctuations, references: list[Reference]) -> float:
    """The amplitude that takes the model's fluctuations nearest to the references', by least squares."""
    ours = np.concatenate([model.rmsf(reference.target) for reference in references])
    theirs = np.concatenate([md_rmsf(reference) for reference in references])
    return float(ours @ theirs / (ours @ ours))


def main(name: str) -> float:
    """The fitted amplitude of a model of the project."""
    suite = load_suite(SUITE)
    reader = reference_reader(suite)
    model: Fluctuations = build(load_card(name), Resources("cpu", reader))  # type: ignore[assignment]
    return fit(model, [reader(target.name) for target in suite.targets])


if __name__ == "__main__":
    print(f"amplitude = {main(sys.argv[1]):.3f}")
