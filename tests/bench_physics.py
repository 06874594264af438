"""Energies against OpenMM's platforms as they come, in the same run on one thread: the ratios are the result."""

import copy
import time

import numpy as np
import openmm
import pytest
from proteins import STRAND, build

from ebabench.physics import evaluation
from ebabench.physics.accelerate import accelerate
from ebabench.physics.evaluation import Calculator, Evaluator
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS

# 33, 327 and 3,891 atoms.
SEQUENCES = {"30 atoms": "AAA", "300 atoms": "ACDEFGHIKLMNPQRSTVWY", "4,000 atoms": "ACDEFGHIKLMNPQRSTVWY" * 12}
PLATFORMS = ("Reference", "CPU")


def seconds(call, at_least=1.0):
    """Processor time of the fastest of repeated calls, one second of them at the least."""
    call()
    times = []
    while sum(times) < at_least:
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def on_platform(system, name):
    properties = {"Threads": "1"} if name == "CPU" else {}
    platform = openmm.Platform.getPlatformByName(name)
    return openmm.Context(system, openmm.VerletIntegrator(0.001), platform, properties)


def evaluation_of(context, positions, *, forces):
    def call():
        context.setPositions(positions)
        context.getState(getEnergy=True, getForces=forces)

    return call


def frames_of(size, count):
    target = build(SEQUENCES[size], STRAND)
    noise = 0.05 * np.random.default_rng(0).standard_normal((count, *target.native.shape))
    return target.atoms, (target.native + noise).astype(np.float32)


def report(benchmark, capsys, what, atoms, ours, theirs):
    per_second = {name: 1 / value for name, value in {"ebabench": ours, **theirs}.items()}
    benchmark.extra_info |= {"atoms": atoms, **per_second}
    shown = ", ".join(f"{name} {value:,.3g}" for name, value in per_second.items())
    times = ", ".join(f"{value / ours:.1f}" for value in theirs.values())
    with capsys.disabled():
        print(f"\n{what}, {atoms} atoms, per second: {shown}; faster {times} times")


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("size", SEQUENCES)
def test_one_evaluation_with_forces(benchmark, capsys, size, protocol):
    target = build(SEQUENCES[size], STRAND)
    template = build_template(target.atoms, PROTOCOLS[protocol])
    positions = template.complete(target.native[None])[0]
    theirs = {
        name: seconds(evaluation_of(on_platform(template.system, name), positions, forces=True)) for name in PLATFORMS
    }
    context = on_platform(accelerate(copy.deepcopy(template.system)), "Reference")
    call = evaluation_of(context, positions, forces=True)
    ours = seconds(call)
    benchmark(call)
    report(benchmark, capsys, f"{protocol}: evaluations", len(positions), ours, theirs)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("size", SEQUENCES)
def test_energies_as_given(benchmark, capsys, size, protocol):
    """Of frames of heavy atoms: hydrogens are placed, and the energy is computed."""
    atoms, frames = frames_of(size, 1 if size == "4,000 atoms" else 100)
    chosen = PROTOCOLS[protocol]
    evaluator = Evaluator(atoms, chosen, minimise=False)
    ours = seconds(lambda: evaluator(frames)) / len(frames)
    benchmark(evaluator, frames)
    template = build_template(atoms, chosen)
    positions = template.complete(frames)[0]
    theirs = {
        name: seconds(evaluation_of(on_platform(template.system, name), positions, forces=False)) for name in PLATFORMS
    }
    report(benchmark, capsys, f"{protocol}: energies as given", len(positions), ours, theirs)


@pytest.mark.parametrize("protocol", ["amber99sbildn-obc", "amber14-gbn2-restrained"])
@pytest.mark.parametrize("size", ["30 atoms", "300 atoms"])
def test_minimised_energies(benchmark, capsys, monkeypatch, size, protocol):
    """The same minimisation with OpenMM's own forces on its platforms."""
    atoms, frames = frames_of(size, 10)
    chosen = PROTOCOLS[protocol]
    evaluator = Evaluator(atoms, chosen, minimise=True)
    ours = seconds(lambda: evaluator(frames)) / len(frames)
    benchmark(evaluator, frames)
    template = build_template(atoms, chosen)
    theirs = {}
    for name in PLATFORMS:
        with monkeypatch.context() as patch:
            patch.setattr(evaluation, "_context", lambda system, _, name=name: on_platform(system, name))
            calculator = Calculator(template, chosen, minimise=True)
        complete = template.complete(frames[:2])
        theirs[name] = seconds(lambda c=calculator, x=complete: [c.evaluate(frame) for frame in x]) / 2
    report(benchmark, capsys, f"{protocol}: minimised energies", template.topology.getNumAtoms(), ours, theirs)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("size", SEQUENCES)
def test_preparation_of_a_molecule(benchmark, size, protocol):
    atoms = build(SEQUENCES[size], STRAND).atoms
    build_template(atoms, PROTOCOLS[protocol])
    benchmark.pedantic(build_template, (atoms, PROTOCOLS[protocol]), rounds=3)
