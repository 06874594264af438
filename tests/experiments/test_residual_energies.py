"""Residual energies where everything is known: in seconds the right way, and what the shipped table shows."""

from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import torch
from residual_energies import ARMS, PROBLEMS, ROUNDS, Problem, draw_figure, pretrained, rounds

TABLE = Path(__file__).parents[2] / "docs" / "figures" / "residual-energies.csv"
WELL, TORUS = PROBLEMS


@pytest.fixture(scope="module")
def shipped() -> pd.DataFrame:
    return pd.read_csv(TABLE)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_populations_and_widths_on_the_grid_are_those_of_samples(problem: Problem) -> None:
    """Drawn by rejection from the energies themselves."""
    generator = torch.Generator().manual_seed(0)
    reach = torch.pi if problem.torsions else 1.5
    x = reach * (2 * torch.rand(400_000, problem.centres.shape[1], generator=generator) - 1)
    lowest = float(problem.energies(problem.centres).min()) - 1.0
    kept = x[torch.rand(len(x), generator=generator) < torch.exp(lowest - problem.energies(x))]
    shares, widths = problem.measured(kept)
    truth, width = problem.exact()
    torch.testing.assert_close(shares, truth, atol=2 / len(kept) ** 0.5, rtol=0)
    torch.testing.assert_close(widths, width, atol=0, rtol=0.1)


def test_the_wells_have_their_populations() -> None:
    torch.testing.assert_close(WELL.exact()[0].float(), torch.tensor(WELL.truth), atol=1e-6, rtol=0)
    assert float((TORUS.exact()[0] - torch.tensor(TORUS.truth)).abs().max()) > 0.01  # the coupling moves them


@pytest.mark.slow
def test_a_round_with_residual_energies_moves_population_to_the_well_of_low_energy() -> None:
    start = pretrained(WELL, 0, 250, frames=256)
    before = WELL.measured(start.sample(1000, torch.Generator().manual_seed(1), 0.0)[:, 0])[0]
    (points,) = islice(rounds(start, WELL, "flow", 0, steps=60, frames=256, batch_residues=1024), 1)
    after, widths = WELL.measured(points)
    assert abs(float(before[1]) - 0.5) < 0.15
    assert float(after[1]) > float(before[1]) + 0.1
    assert 0.05 < float(widths.max()) < 0.3


def _distance(rows: pd.DataFrame) -> pd.Series:
    """Total variation distance of populations, by round and seed."""
    return (rows.population - rows.truth).abs().groupby([rows["round"], rows.seed]).sum() / 2


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_shipped_table_shows_that_residual_energies_reach_the_populations_and_stay(
    shipped: pd.DataFrame, problem: Problem
) -> None:
    rows = shipped[(shipped.problem == problem.name) & (shipped.arm == "flow")]
    distance = _distance(rows)
    assert distance[0].min() > 0.25
    for number in (ROUNDS - 1, ROUNDS):
        assert distance[number].max() < 0.04
        widths = rows[rows["round"] == number].width
        assert widths.min() > 0.85
        assert widths.max() < 1.25


@pytest.mark.parametrize("arm", ["none", "loss"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_shipped_table_shows_that_energies_alone_and_losses_narrow_and_go_too_far(
    shipped: pd.DataFrame, problem: Problem, arm: str
) -> None:
    rows = shipped[(shipped.problem == problem.name) & (shipped.arm == arm)]
    last = rows[rows["round"] == ROUNDS]
    assert last.width.mean() < 0.75
    assert _distance(rows)[ROUNDS].min() > 0.08


def test_the_figure_has_all_arms(shipped: pd.DataFrame, tmp_path: Path) -> None:
    draw_figure(shipped, tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text()
    assert all(arm in text for arm in ARMS)
