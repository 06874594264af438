"""The double well: what it is made of, that it moves the right way in seconds, and what the shipped table shows."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

import double_well
import double_well_proof
import pytest
import torch
from double_well import (
    LIKELIHOOD,
    POPULATION,
    PROCESSES,
    RECIPES,
    WIDTH,
    Measured,
    Model,
    Replicas,
    align,
    draw,
    energies_of,
    pretrain,
)
from double_well_proof import Row, draw_figure, write_table
from torch import Tensor, nn

from ebabench.training.process import Process, stratified

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
PROVEN = "+ crossed draws"


def test_the_energies_imply_the_population() -> None:
    x = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    density = torch.exp(-energies_of(x))
    assert float(density[x > 0].sum() / density.sum()) == pytest.approx(POPULATION, abs=1e-9)
    barrier = float(energies_of(torch.tensor(0.0)) - energies_of(torch.tensor(1.0)))
    assert barrier > 40  # no share of the probability is between the wells


def test_wells_are_drawn_with_their_population_and_width() -> None:
    measured = Measured.of(draw((100_000,), 0.3, torch.Generator().manual_seed(0)))
    assert measured.population == pytest.approx(0.3, abs=0.01)
    for width in (measured.left, measured.right):
        assert width == pytest.approx(1, rel=0.02)


@pytest.mark.slow
def test_replicas_are_networks_of_their_own() -> None:
    replicas = Replicas((3, 7), width=5)
    x = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(7)
    alone = nn.Sequential(
        nn.Linear(2, 5), nn.SiLU(), nn.Linear(5, 5), nn.SiLU(), nn.Linear(5, 5), nn.SiLU(), nn.Linear(5, 1)
    )
    torch.testing.assert_close(replicas(x)[1], alone(x[1])[:, 0])
    assert replicas(x)[:1].abs().sum() != replicas(x)[1:].abs().sum()


def _ideal(process: Process, population: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The expected clean points of two wells, in closed form."""

    def denoise(noisy: Tensor, level: Tensor) -> Tensor:
        signal = process.noised(torch.ones_like(level), torch.zeros_like(level), level)
        noise = process.noised(torch.zeros_like(level), torch.ones_like(level), level)
        variance = (signal * WIDTH) ** 2 + noise**2
        right = torch.sigmoid(math.log(population / (1 - population)) + 2 * signal * noisy / variance)
        centre = 2 * right - 1
        return centre + signal * WIDTH**2 / variance * (noisy - signal * centre)

    return denoise


@pytest.mark.parametrize("process", PROCESSES)
def test_what_an_ideal_model_samples_has_the_energies_of_its_data(
    process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(PROCESSES[process], (0,))
    monkeypatch.setattr(model, "denoise", _ideal(PROCESSES[process], 0.5))
    offsets = torch.linspace(-3, 3, 25) * WIDTH
    points = torch.cat([offsets - 1, offsets + 1])[None]
    exact = -torch.logaddexp(*(-((points - centre) ** 2) / (2 * WIDTH**2) for centre in (-1, 1)))
    wrong = model.energies(points) - exact
    assert float((wrong - wrong.mean()).abs().max()) < 0.05  # kT
    measured = Measured.of(model.sample(20_000, torch.Generator().manual_seed(0))[0])
    assert measured.population == pytest.approx(0.5, abs=0.015)  # four standard errors
    for width in (measured.left, measured.right):
        assert width == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("process", PROCESSES)
def test_half_of_the_draws_give_the_softmax_of_an_ideal_model_its_boltzmann_mean(process: str) -> None:
    """Its mean over noise is nearer to a half than the softmax of the mean, and the share that is learnt is too far."""
    generator, of = torch.Generator().manual_seed(0), PROCESSES[process]
    half = double_well._DRAWS // 2
    sigma = LIKELIHOOD.sigma_at(stratified(4000, half, generator))
    level, noise = of.level(sigma), torch.randn(4000, half, generator=generator)

    def energies(population: float, centre: float) -> Tensor:
        points = centre + WIDTH * torch.randn(4000, 1, generator=torch.Generator().manual_seed(1))
        errors = (_ideal(of, population)(of.noised(points, noise, level), level) - points) ** 2
        return (LIKELIHOOD.weight(sigma) * errors).mean(-1)

    left, right = (energies(POPULATION, c) - energies(0.5, c) for c in (-1.0, 1.0))
    assert float(torch.sigmoid(left - right).mean()) == pytest.approx(POPULATION, abs=0.01)


def test_each_half_of_eight_crossed_draws_sees_the_margin_between_the_wells() -> None:
    """For an ideal model it is ln 4. Halves that take stratified draws by turns see 1.7 and 1.0."""
    generator, of = torch.Generator().manual_seed(0), PROCESSES["diffusion"]
    sigma = LIKELIHOOD.sigma_at(stratified(20_000, 8, generator, parts=2))
    level, noise = of.level(sigma), torch.randn(20_000, 8, generator=generator)

    def energies(population: float, centre: float) -> Tensor:
        points = torch.full((20_000, 1), centre)
        return LIKELIHOOD.weight(sigma) * (_ideal(of, population)(of.noised(points, noise, level), level) - points) ** 2

    margins = [energies(POPULATION, centre) - energies(0.5, centre) for centre in (-1.0, 1.0)]
    for half in (margins[0] - margins[1]).chunk(2, -1):
        assert float(half.mean()) == pytest.approx(math.log(4), abs=0.05)  # four standard errors


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
def test_alignment_moves_population_to_the_well_of_low_energy(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_FRAMES": 256, "_DENOISED": 256, "_DRAWS": 64, "_RATE": 2e-3}.items():
        monkeypatch.setattr(double_well, name, value)
    start = pretrain(PROCESSES[process], (0,), 400)
    before = Measured.of(start.sample(1000, torch.Generator().manual_seed(1), steps=30)[0])
    recipe = next(recipe for recipe in RECIPES if recipe.name == PROVEN)
    (model,) = align(start, recipe, (0,), (300,))
    after = Measured.of(model.sample(1000, torch.Generator().manual_seed(1), steps=30)[0])
    assert abs(before.population - 0.5) < 0.15
    assert after.population > before.population + 0.05
    assert max(after.left, after.right) < 3


def _rows() -> list[Row]:
    measured, density = Measured(0.8, 1.0, 1.1), (0.0,) * 128
    names = ["pretrained", *(recipe.name for recipe in RECIPES)]
    return [Row(p, n, s, k, measured, density) for p in PROCESSES for n in names for s in (0, 9) for k in (0, 1)]


@pytest.mark.slow
def test_table_and_figure_are_written(tmp_path: Path) -> None:
    write_table(_rows(), tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "process,recipe,steps,seed,population,width_left,width_right"
    assert lines[1] == "diffusion,pretrained,0,0,0.8000,1.0000,1.1000"
    assert len(lines) == 1 + len(_rows())
    draw_figure(_rows(), tmp_path / "figure.svg")
    assert "DPO instead of EBA" in (tmp_path / "figure.svg").read_text()


def _shipped(process: str, recipe: str, steps: int) -> list[Measured]:
    with (FIGURES / "double-well.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["process"], row["recipe"]) == (process, recipe)]
    chosen = [row for row in rows if int(row["steps"]) == steps]
    assert len(chosen) == 5  # seeds
    return [Measured(*(float(row[k]) for k in ("population", "width_left", "width_right"))) for row in chosen]


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("times", [1, 2])
def test_the_shipped_table_shows_the_right_population_and_widths_and_that_they_stay(process: str, times: int) -> None:
    """In every seed."""
    for measured in _shipped(process, PROVEN, times * double_well_proof.ENOUGH):
        assert measured.population == pytest.approx(POPULATION, abs=0.03)
        for width in (measured.left, measured.right):
            assert width == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_shipped_table_shows_that_dpo_goes_too_far_and_distorts_a_well(process: str) -> None:
    for measured in _shipped(process, "DPO instead of EBA", 2 * double_well_proof.ENOUGH):
        assert measured.population > POPULATION
        assert measured.left > 1.5
