"""The density of a model's own samples: closed forms, and what residual energies make of them."""

import math
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.errors import InputError
from ebabench.models.eba.denoiser import InternalDenoiser
from ebabench.models.eba.internal import CHANNELS, TORSION_CHANNELS
from ebabench.structures import Target
from ebabench.system.registry import folder
from ebabench.training import density
from ebabench.training.batches import Example
from ebabench.training.config import TrainConfig
from ebabench.training.denoiser import Prepared
from ebabench.training.density import _signs, by_flow, by_loss, log_density
from ebabench.training.diffusion import Edm
from ebabench.training.flow import Flow
from ebabench.training.loss import Loss
from ebabench.training.process import Denoise, Process, unit_noise

PROCESSES: dict[str, Process] = {"diffusion": Edm(sigma_data=1.0), "flow": Flow(sigma_data=1.0)}


def _gaussian(process: Process, covariance: Tensor) -> Denoise:
    """The ideal denoiser of a normal distribution of coordinates [S, L, C]."""

    def denoise(noisy: Tensor, level: Tensor) -> Tensor:
        signal = process.noised(torch.ones(()), torch.zeros(()), level)[:, None]
        noise = process.noised(torch.zeros(()), torch.ones(()), level)[:, None, None]
        flat = noisy.flatten(1)
        gain = signal[..., None] ** 2 * covariance + noise**2 * torch.eye(len(covariance))
        clean = signal * torch.linalg.solve(gain, flat[..., None])[..., 0] @ covariance
        return clean.view_as(noisy)

    return denoise


def _normal(length: int) -> tuple[Tensor, Tensor, Tensor]:
    """A covariance, and samples [64, length, 2] with their ln p."""
    generator = torch.Generator().manual_seed(length)
    size = 2 * length
    mixing = torch.eye(size) + 0.3 * torch.randn(size, size, generator=generator) / math.sqrt(size)
    covariance = 0.5 * mixing @ mixing.T
    normal = torch.distributions.MultivariateNormal(torch.zeros(size), covariance)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        flat = normal.sample((64,))
    return covariance, flat.view(64, length, 2), normal.log_prob(flat)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_density_of_a_normal_distribution_is_exact(process: str) -> None:
    covariance, x, exact = _normal(3)
    free = torch.ones(3, 2)
    assert int(free.sum()) <= density.EXACT
    of = PROCESSES[process]
    found = log_density(_gaussian(of, covariance), of, x, free, torch.Generator())
    gap = found - exact
    assert float((gap - gap.mean()).abs().max()) < 0.02 * float(exact.std())


def test_random_signs_estimate_the_divergence_without_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    covariance, x, exact = _normal(4)
    monkeypatch.setattr(density, "EXACT", 0)
    monkeypatch.setattr(density, "_PROBES", 64)
    free = torch.ones(4, 2)
    found = log_density(_gaussian(PROCESSES["diffusion"], covariance), PROCESSES["diffusion"], x, free, _generator())
    gap = found - exact
    assert float((gap - gap.mean()).std()) < 0.2 * float(exact.std())


@pytest.mark.parametrize("coordinates", [5, 8])
def test_the_mean_over_all_vectors_of_signs_is_the_trace(coordinates: int) -> None:
    generator = _generator()
    matrix = torch.randn(coordinates, coordinates, generator=generator)
    vectors = torch.stack(list(islice(_signs(coordinates, 3, generator), 8))).float()
    each = torch.einsum("psi,ij,psj->ps", vectors, matrix, vectors)
    assert (vectors.abs() == 1).all()
    assert not torch.equal(vectors[:, 0], vectors[:, 1]), "samples have signs of their own"
    torch.testing.assert_close(each.mean(0), matrix.trace().expand(3))


def test_coordinates_that_do_not_exist_do_not_count() -> None:
    process = PROCESSES["diffusion"]
    covariance, x, _ = _normal(2)
    narrow = log_density(_gaussian(process, covariance), process, x, torch.ones(2, 2), _generator())
    wide = torch.cat([x, torch.zeros(64, 1, 2)], 1)
    free = torch.cat([torch.ones(2, 2), torch.zeros(1, 2)])

    def denoise(noisy: Tensor, level: Tensor) -> Tensor:
        clean = _gaussian(process, covariance)(noisy[:, :2].contiguous(), level)
        return torch.cat([clean, torch.zeros(len(clean), 1, 2)], 1)

    torch.testing.assert_close(log_density(denoise, process, wide, free, _generator()), narrow)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Points:
    """A model of points on a line, with or without a density, whose loss is the square of the point."""

    process = Edm()

    def loss(self, coordinates: Tensor, _condition: Any, _level: Tensor, _noise: Tensor) -> Tensor:
        return coordinates[..., 0] ** 2


def test_a_model_without_a_density_is_told() -> None:
    prepared = Prepared("A", torch.zeros(3, 1, 1), {"mask": torch.ones(1, 1, 1)})
    with pytest.raises(InputError) as raised:
        by_flow(Points(), prepared, _generator(), "cpu")  # type: ignore[arg-type]
    assert raised.value.code == "training.no_density"


def test_by_loss_a_density_is_what_alignment_takes_for_one() -> None:
    points = torch.randn(700, 1, 1, generator=_generator())
    prepared = Prepared("A", points, {"mask": torch.ones(1, 1, 1)})
    found = by_loss(Points(), prepared, _generator(), 3.0, "cpu")  # type: ignore[arg-type]
    torch.testing.assert_close(found, -3.0 * points[:, 0, 0] ** 2)


@pytest.mark.parametrize("exponent", [0.0, 0.5])
@pytest.mark.parametrize("name", ["eba", "alidiff"])
def test_samples_that_are_boltzmann_distributed_have_equal_residual_energies(name: str, exponent: float) -> None:
    """beta E + ln q is constant: all weights are equal, and the reference is where alignment comes to rest."""
    points = torch.randn(40, 4, 1, generator=_generator())
    energies = 5 * torch.randn(40, generator=_generator())
    settings = {"objective": name, "reference": True, "residual": "flow", "beta": 0.3, "exponent": exponent}
    config = TrainConfig(**settings, batch_residues=64, precision="float32")
    example = Example(
        Prepared("AAAA", points, {"mask": torch.ones(1, 1, 1)}), energies, None, -0.3 * energies / 4**exponent + 7
    )

    class Squares(Points):
        network = torch.nn.Linear(1, 1)

        def loss(self, coordinates: Tensor, _condition: Any, _level: Tensor, _noise: Tensor) -> Tensor:
            return self.network(coordinates)[..., 0] ** 2

    value = Loss(Squares(), [example], config, "cpu")(0, 0)  # type: ignore[arg-type]
    value.backward()
    assert float(value.detach()) == pytest.approx(math.log(2), rel=1e-5)
    weight = Squares.network.weight.grad
    assert weight is not None
    assert float(weight.abs().max()) < 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        {"residual": "energy"},
        {"residual": "flow", "objective": "eba"},
        {"residual": "loss", "objective": "sft"},
        {"residual": "flow", "objective": "abdpo"},
        {"residual": "flow", "objective": "eba", "reference": True, "beta": 0.0},
    ],
)
def test_residual_energies_need_a_reference_and_energies_of_conformations(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        TrainConfig(**settings)
    assert (raised.value.code, raised.value.named["setting"]) == ("setting.value", "residual")


@pytest.fixture(scope="module")
def peptide() -> Target:
    suite = load_suite("peptides-val-v1")
    name = next(target.name for target in suite.targets if len(target.sequence) == 4)
    return reference_reader(suite)(name).target


def test_the_compact_model_has_a_density(peptide: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not depend on what else is measured, but for the rounding of sums."""
    monkeypatch.setattr(density, "_STEPS", 4)
    monkeypatch.setattr(density, "EXACT", 10**6)
    denoiser = InternalDenoiser.fresh(0, {"width": 16, "depth": 1, "heads": 2, "pair": 4})
    turned = np.stack([peptide.native, peptide.native + np.float32(0.05) * np.arange(3, dtype=np.float32)])
    turned[1, ::5] += 0.02
    prepared = denoiser.prepare(peptide, turned)
    found = by_flow(denoiser, prepared, _generator(), "cpu")
    assert bool(torch.isfinite(found).all())
    alone = Prepared(prepared.target, prepared.coordinates[1:], prepared.condition)
    torch.testing.assert_close(by_flow(denoiser, alone, _generator(), "cpu"), found[1:], rtol=1e-4, atol=1e-3)


def test_its_estimate_is_far_better_than_the_spread_among_samples(
    peptide: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = InternalDenoiser.load(folder("ebabench.models.eba") / "checkpoints" / "sft-v1" / "model.safetensors")
    positions = denoiser.sample(peptide, 6, 0, steps=20, noise_scale=1.0, step_scale=1.0, churn=0.0)
    prepared = denoiser.prepare(peptide, positions)
    estimate = by_flow(denoiser, prepared, _generator(), "cpu")
    monkeypatch.setattr(density, "EXACT", 10**6)
    exact = by_flow(denoiser, prepared, _generator(), "cpu")
    assert float((estimate - exact).std()) < 0.3 * float(exact.std())


def test_the_samples_of_the_compact_model_lie_on_the_circles_of_its_torsions(peptide: Target) -> None:
    """So the density in the planes of sine and cosine is one of torsions, but for a constant."""
    denoiser = InternalDenoiser.load(folder("ebabench.models.eba") / "checkpoints" / "sft-v1" / "model.safetensors")
    condition, length = denoiser.condition(peptide), len(peptide.sequence)
    denoiser.network.eval()
    with torch.inference_mode():
        seen = denoiser.process.sample(
            lambda noisy, level: denoiser.denoise(noisy, level, condition),
            unit_noise((16, length, CHANNELS), _generator()),
            steps=20,
        )
    waves = seen[..., :TORSION_CHANNELS].unflatten(-1, (-1, 2)).norm(dim=-1)
    there = condition["mask"][0, :, :TORSION_CHANNELS:2] > 0
    assert float((waves[:, there] - 1).abs().quantile(0.99)) < 0.01


def test_densities_that_are_missing_are_told() -> None:
    config = TrainConfig(objective="eba", reference=True, residual="flow")
    example = Example(Prepared("A", torch.zeros(3, 1, 1), {"mask": torch.ones(1, 1, 1)}), torch.zeros(3))
    with pytest.raises(InputError) as raised:
        Loss(Points(), [example], config, "cpu")  # type: ignore[arg-type]
    assert raised.value.code == "training.no_density"
