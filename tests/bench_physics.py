"""Energies against OpenMM's platforms as they come, in the same run: the ratios are the result."""

import time

import numpy as np
import openmm
import pytest
from openmm import app
from proteins import STRAND, build

from ebabench.physics.accelerate import accelerate, read_terms
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS

SEQUENCES = {"tetrapeptide": "GASY", "20 residues": "ACDEFGHIKLMNPQRSTVWY", "240 residues": "ACDEFGHIKLMNPQRSTVWY" * 12}


def seconds(evaluate, at_least=1.0):
    """The fastest of repeated calls, one second of them at the least."""
    evaluate()
    times = []
    while sum(times) < at_least:
        began = time.perf_counter()
        evaluate()
        times.append(time.perf_counter() - began)
    return min(times)


def in_context(system, positions, platform):
    properties = {"Threads": "1"} if platform == "CPU" else {}
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(platform), properties
    )

    def evaluate():
        context.setPositions(positions)
        context.getState(getEnergy=True, getForces=True)

    return evaluate


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("size", SEQUENCES)
def test_one_evaluation(benchmark, size, protocol):
    target = build(SEQUENCES[size], STRAND)
    template = build_template(target.atoms, PROTOCOLS[protocol])
    positions = template.complete(target.native[None])[0]
    theirs = {name: seconds(in_context(template.system, positions, name)) for name in ("Reference", "CPU")}
    system = accelerate(openmm.XmlSerializer.clone(template.system))
    ours = seconds(in_context(system, positions, "Reference"))
    benchmark.extra_info |= {"atoms": len(positions)}
    benchmark.extra_info |= {f"times faster than {name}": round(value / ours, 1) for name, value in theirs.items()}
    benchmark(in_context(system, positions, "Reference"))
