"""Energies within backbone basins: populations stay with the reference model."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.structures import Reference
from ebabench.system.registry import folder
from ebabench.training.basins import joint_basins
from ebabench.training.batches import Batches, Example
from ebabench.training.config import TrainConfig
from ebabench.training.data import Trajectories
from ebabench.training.denoiser import Prepared
from ebabench.training.diffusion import Edm
from ebabench.training.loss import Loss
from ebabench.training.stage import Stage, align

BETA = 0.3
RANDOM = np.random.default_rng(11)


def reference(name: str) -> Reference:
    return reference_reader(load_suite("peptides-train-v1"))(name)


def test_conformations_share_a_basin_if_every_residue_does() -> None:
    molecule = reference("RKMMAAAAA")
    atoms, frames = molecule.target.atoms, np.asarray(molecule.replicas[0][:40])
    turned = frames @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32) + 7
    mirrored = frames * np.array([1, 1, -1], np.float32)  # phi and psi change sign: alpha becomes left-handed
    basin = joint_basins(atoms, np.concatenate([frames, turned, mirrored]))
    assert (basin[:40] == basin[40:80]).all()
    assert (basin[:40] != basin[80:]).all()
    assert 1 < len(np.unique(basin[:40])) <= 40


def test_a_dipeptide_has_one_basin() -> None:
    molecule = reference("RKMMAAAAA").target
    rows = molecule.atoms.residue < 2
    assert not joint_basins(molecule.atoms.take(np.flatnonzero(rows)), molecule.native[None, rows]).any()


def trajectories(frames: slice | list[int], energies: np.ndarray) -> Trajectories:
    molecule = reference("RKMMAAAAA")
    chosen = replace(molecule, replicas=(np.asarray(molecule.replicas[0])[frames],))
    return Trajectories("RKMMAAAAA", (lambda _name: chosen,), 1, energies)


def first_slope(data: Trajectories, out: Path) -> float:
    """The norm of the gradient in the first step, where the network is its own reference."""
    config = TrainConfig(
        **{"objective": "eba", "reference": True, "within_basins": True, "beta": BETA, "alpha_t": 20.0},
        **{"conformations": 4, "batch_residues": 256, "steps": 1, "precision": "float32"},
    )
    start = folder("ebabench.models.eba") / "checkpoints" / "sft-v1" / "model.safetensors"
    stage = Stage("compact", ("peptides-train-v1",), 1, start, "", energy="amber99sbildn-obc")
    align(stage, [data], config, out)
    with (out / "log.csv").open() as file:
        return float(next(csv.DictReader(file))["grad_norm"])


def test_training_compares_within_basins(tmp_path: Path) -> None:
    """A shift of all energies of a basin is no preference."""
    molecule = reference("RKMMAAAAA")
    basin = joint_basins(molecule.target.atoms, np.asarray(molecule.replicas[0])[:60])
    energies, shift = RANDOM.normal(size=60) * 20, 300.0 * basin  # float32 holds them to 1e-4 kJ/mol
    first = first_slope(trajectories(slice(60), energies), tmp_path / "first")
    assert first > 1
    assert first_slope(trajectories(slice(60), energies + shift), tmp_path / "second") == pytest.approx(first, rel=2e-3)
    assert first_slope(trajectories(slice(60), shift), tmp_path / "third") < 1e-3


def test_the_conformations_of_a_comparison_share_a_basin_and_all_are_drawn_alike() -> None:
    basins = torch.tensor([0] * 12 + [1] * 6 + [2] * 2)
    points = torch.arange(20.0).view(20, 1, 1)
    example = Example(Prepared("AAAA", points, {"mask": torch.ones(1, 1, 1)}), torch.zeros(20), basins=basins)
    batches = Batches([example], 4, lambda _length: 2000)
    picked = batches.draw(torch.Generator().manual_seed(1)).coordinates[..., 0, 0].long()
    assert (basins[picked] == basins[picked[:, :1]]).all()
    assert {len(set(row)) for row in picked[basins[picked[:, 0]] < 2].tolist()} == {4}
    assert {len(set(row)) for row in picked[basins[picked[:, 0]] == 2].tolist()} == {2}
    counts = torch.bincount(picked.flatten(), minlength=20)
    assert counts.sum() == 8000
    assert float((counts / 8000 - 1 / 20).abs().max()) < 0.01  # five standard deviations
    distinct = Batches([replace(example, basins=None)], 4, lambda _length: 2000)
    picked = distinct.draw(torch.Generator().manual_seed(1)).coordinates[..., 0, 0]
    assert all(len(set(row)) == 4 for row in picked.tolist())


def test_conformations_that_are_alone_in_their_basins_teach_nothing(tmp_path: Path) -> None:
    molecule = reference("RKMMAAAAA")
    basin = joint_basins(molecule.target.atoms, np.asarray(molecule.replicas[0]))
    alone = np.sort(np.unique(basin, return_index=True)[1])[:4].tolist()
    with pytest.raises(InputError) as raised:
        first_slope(trajectories(alone, np.arange(4.0)), tmp_path / "out")
    assert raised.value.code == "training.no_basin"


class Squares:
    """A denoiser whose loss is the square of its one coordinate."""

    process = Edm(sigma_data=1.0)
    network = torch.nn.Linear(1, 1)

    def loss(self, coordinates: Tensor, _condition: Any, _level: Tensor, _noise: Tensor) -> Tensor:
        return coordinates[..., 0] ** 2


def test_the_anchor_denoises_what_the_energies_leave() -> None:
    """A conformation of enormous energy has no weight in the anchor."""
    points = torch.tensor([2.0, 5.0]).view(2, 1, 1)
    example = Example(Prepared("AAAA", points, {"mask": torch.ones(1, 1, 1)}), torch.tensor([0.0, 1e5]))
    example = replace(example, basins=torch.zeros(2, dtype=torch.long))

    def value(anchor: float, within: bool) -> float:
        settings = {"objective": "eba", "reference": True, "anchor": anchor, "anchor_sigma": 0.0, "exponent": 0.0}
        config = TrainConfig(**settings, within_basins=within, batch_residues=64, precision="float32")
        return float(Loss(Squares(), [example], config, "cpu")(0, 0))  # type: ignore[arg-type]

    assert value(1.0, True) - value(0.0, True) == pytest.approx(2.0**2)
    assert value(1.0, False) - value(0.0, False) == pytest.approx((2.0**2 + 5.0**2) / 2)


class Loud(Squares):
    """A denoiser whose losses differ above a noise level of 0.5 only."""

    def loss(self, coordinates: Tensor, condition: Any, level: Tensor, noise: Tensor) -> Tensor:
        return super().loss(coordinates, condition, level, noise) * (level > 0.5)[:, None]


def test_what_differs_at_high_noise_is_not_compared_below_it() -> None:
    """Below the level the conformations are alike to the network: the value is that of a network without opinion."""
    points = torch.tensor([2.0, 5.0]).view(2, 1, 1)
    example = Example(Prepared("AAAA", points, {"mask": torch.ones(1, 1, 1)}), torch.tensor([0.0, 1.0]))

    def value(alpha_t: float, below: float) -> float:
        config = TrainConfig(
            **{"objective": "eba", "alpha_t": alpha_t, "objective_sigma": below},
            **{"batch_residues": 1024, "precision": "float32", "draws": 8},
        )
        return float(Loss(Loud(), [example], config, "cpu")(0, 0))  # type: ignore[arg-type]

    assert value(5.0, 0.5) == pytest.approx(value(0.0, 0.0), rel=1e-6)
    assert value(5.0, 0.0) > 2 * value(0.0, 0.0)
    assert value(5.0, 1e6) == value(5.0, 0.0)


def test_an_objective_without_comparison_has_no_basins() -> None:
    with pytest.raises(InputError) as raised:
        TrainConfig(objective="sft", within_basins=True)
    assert (raised.value.code, raised.value.named["setting"]) == ("setting.value", "within_basins")
