"""Energies against OpenMM's platforms as they come, in the same run: the ratios are the result."""

import copy
import time

import numpy as np
import openmm
import pytest
from proteins import STRAND, build

from ebabench.physics.accelerate import accelerate
from ebabench.physics.evaluation import Evaluator
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
def test_one_evaluation(benchmark, capsys, size, protocol):
    target = build(SEQUENCES[size], STRAND)
    template = build_template(target.atoms, PROTOCOLS[protocol])
    positions = template.complete(target.native[None])[0]
    theirs = {name: seconds(in_context(template.system, positions, name)) for name in ("Reference", "CPU")}
    evaluate = in_context(accelerate(copy.deepcopy(template.system)), positions, "Reference")
    ours = seconds(evaluate)
    benchmark(evaluate)
    ratios = {name: round(value / ours, 1) for name, value in theirs.items()}
    benchmark.extra_info |= {"atoms": len(positions), **ratios}
    with capsys.disabled():
        print(f"\n{protocol}, {len(positions)} atoms: {1e3 * ours:.3g} ms; faster than OpenMM's platforms by {ratios}")


@pytest.mark.parametrize("size", ["tetrapeptide", "20 residues"])
def test_minimised_energies_of_frames(benchmark, size):
    target = build(SEQUENCES[size], STRAND)
    noise = 0.05 * np.random.default_rng(0).standard_normal((20, *target.native.shape))
    frames = (target.native + noise).astype(np.float32)
    evaluator = Evaluator(target.atoms, PROTOCOLS["amber99sbildn-obc"], minimise=True)
    evaluator(frames[:1])
    benchmark.extra_info |= {"frames": len(frames), "heavy atoms": len(target.atoms)}
    benchmark(evaluator, frames)
