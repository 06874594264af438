"""A step of alignment against one of plain denoising on as many structures in the same run: the ratio is the result."""

import copy
import dataclasses
import itertools
import statistics
import time
from pathlib import Path

import pytest
import torch
from proteins import STRAND, build

from ebabench.alignment.batches import Example
from ebabench.alignment.diffusion import Edm
from ebabench.alignment.training import TrainConfig, train
from ebabench.models.eba.denoiser import Config, InternalDenoiser
from ebabench.models.eba.internal import Geometry
from ebabench.models.eba.zmatrix import AMINO_ACIDS, SLOTS

FRAMES = 20
SIZES = {  # sequence, placement, residues a step, draws of noise
    "tetrapeptide": ("GASY", "chain", 480, 4),
    "120 residues": ("ACDEFGHIKLMNPQRSTVWY" * 6, "frames", 120 * 10, 1),
}


def untrained(placement: str) -> InternalDenoiser:
    shape = (len(AMINO_ACIDS), len(max(SLOTS.values(), key=len)))
    geometry = Geometry(*(torch.ones(shape) for _ in range(3)), torch.ones(len(AMINO_ACIDS), 6))
    return InternalDenoiser(Config(placement=placement), Edm(), geometry)


def examples(sequence: str, denoiser: InternalDenoiser) -> list[Example]:
    """Noise about a strand, with energies."""
    target = build(sequence, STRAND)
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


@pytest.mark.parametrize("conformations", [2, 5])
@pytest.mark.parametrize("objective", ["eba", "eba-dpo"])
@pytest.mark.parametrize("size", SIZES)
def test_a_step_at_k_structures(benchmark, capsys, tmp_path, size, conformations, objective):
    sequence, placement, residues, draws = SIZES[size]
    denoiser = untrained(placement)
    data = examples(sequence, denoiser)
    common = {"batch_residues": residues, "steps": 9, "conformations": conformations, "draws": draws}
    plain = seconds(denoiser, data, TrainConfig(objective="sft", **common), tmp_path / "sft")
    aligned = benchmark.pedantic(
        seconds, args=(denoiser, data, TrainConfig(objective=objective, **common), tmp_path / "aligned"), rounds=1
    )
    benchmark.extra_info |= {"structures": residues // len(sequence), "ratio": round(aligned / plain, 2)}
    with capsys.disabled():
        print(f"\n{size}, {objective}, K = {conformations}: {1e3 * aligned:.0f} ms a step, {aligned / plain:.2f} x sft")


@pytest.mark.parametrize("crop", [384, 768])
def test_a_step_on_a_crop(benchmark, capsys, tmp_path, crop):
    """One structure of 780 residues, cut."""
    denoiser = untrained("frames")
    data = examples("ACDEFGHIKLMNPQRSTVWY" * 39, denoiser)
    config = TrainConfig(batch_residues=crop, crop=crop, steps=6)
    step = benchmark.pedantic(seconds, args=(denoiser, data, config, tmp_path), rounds=1)
    with capsys.disabled():
        print(f"\n{crop} residues: {step:.2f} s a step")
