"""A step of alignment against one of plain denoising on as many structures in the same run: the ratio is the result."""

import copy
import dataclasses
import itertools
import statistics
import time
from pathlib import Path

import pytest
import torch
from proteins import build

from ebabench.models.eba.denoiser import Config, InternalDenoiser
from ebabench.models.eba.internal import Geometry
from ebabench.models.eba.zmatrix import AMINO_ACIDS, SLOTS
from ebabench.training.batches import Example
from ebabench.training.diffusion import Edm
from ebabench.training.loop import TrainConfig, train

FRAMES = 20
SIZES = {  # sequence, placement, structures a step, draws of noise
    "tetrapeptide": ("GASY", "chain", 128, 4),
    "120 residues": ("ACDEFGHIKLMNPQRSTVWY" * 6, "frames", 16, 2),
}
VARIANTS = {
    "eba": {},
    "eba, crossed": {"crossed": True},
    "eba, anchor on all levels": {"anchor": 1.0, "anchor_sigma": 0.0},
    "eba, anchor below 0.2": {"anchor": 1.0, "anchor_sigma": 0.2},
    "eba, reference": {"reference": True},
    "eba-dpo": {"objective": "eba-dpo"},
}


def untrained(placement: str) -> InternalDenoiser:
    shape = (len(AMINO_ACIDS), len(max(SLOTS.values(), key=len)))
    geometry = Geometry(*(torch.ones(shape) for _ in range(3)), torch.ones(len(AMINO_ACIDS), 6))
    return InternalDenoiser(Config(placement=placement), Edm(), geometry)


def examples(sequence: str, denoiser: InternalDenoiser) -> list[Example]:
    """Noise about a helix, with energies: a strand of 780 residues does not fit into a PDB file's columns."""
    target = build(sequence)
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(FRAMES, *target.native.shape, generator=generator)
    prepared = denoiser.prepare(target, target.native + noise.numpy())
    energies = 10 * torch.randn(FRAMES, generator=generator)
    return [Example(dataclasses.replace(prepared, target=name), energies) for name in "abcd"]


def seconds(denoiser: InternalDenoiser, data: list[Example], config: TrainConfig, folder: Path) -> float:
    """Median CPU time of a step on one thread, which other load does not touch."""
    stamps: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(copy.deepcopy(denoiser), data, config, folder, {}, lambda *_: stamps.append(time.process_time()))
    torch.set_num_threads(threads)
    return statistics.median(b - a for a, b in itertools.pairwise(stamps[2:]))


@pytest.fixture(scope="module", params=SIZES)
def plain(request, tmp_path_factory):
    """A size: its denoiser, data and settings, and how long a step of plain denoising takes."""
    sequence, placement, structures, draws = SIZES[request.param]
    denoiser = untrained(placement)
    data = examples(sequence, denoiser)
    common = {"batch_residues": structures * len(sequence), "steps": 8, "draws": draws}
    folder = tmp_path_factory.mktemp("plain")
    return request.param, denoiser, data, common, seconds(denoiser, data, TrainConfig(**common), folder)


@pytest.mark.parametrize("conformations", [2, 8])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_at_k_structures(benchmark, capsys, tmp_path, plain, conformations, variant):
    size, denoiser, data, common, sft = plain
    config = TrainConfig(**{"objective": "eba", "conformations": conformations, **common, **VARIANTS[variant]})
    aligned = benchmark.pedantic(seconds, args=(denoiser, data, config, tmp_path), rounds=1)
    benchmark.extra_info |= {"structures": SIZES[size][2], "ratio": round(aligned / sft, 2)}
    with capsys.disabled():
        print(f"\n{size}, {variant}, K = {conformations}: {1e3 * aligned:.0f} ms a step, {aligned / sft:.2f} x sft")


@pytest.mark.parametrize("crop", [384, 768])
def test_a_step_on_a_crop(benchmark, capsys, tmp_path, crop):
    """One structure of 780 residues, cut, against a whole one of that length."""
    denoiser = untrained("frames")
    long = "ACDEFGHIKLMNPQRSTVWY" * 39
    common = {"batch_residues": crop, "steps": 6}
    whole = seconds(denoiser, examples(long[:crop], denoiser), TrainConfig(**common), tmp_path / "whole")
    config = TrainConfig(crop=crop, **common)
    step = benchmark.pedantic(seconds, args=(denoiser, examples(long, denoiser), config, tmp_path / "cut"), rounds=1)
    benchmark.extra_info["ratio"] = round(step / whole, 2)
    with capsys.disabled():
        print(f"\ncrop of {crop} residues: {step:.2f} s a step, {step / whole:.2f} x a whole structure of that length")
