"""The objectives' identities and limits."""

import pytest
import torch
from torch import Tensor

from ebabench.alignment.objectives import boltzmann_weights, build, eba, eba_dpo, sft
from ebabench.errors import InputError

BETA = 0.4009


def _case(targets: int = 6, k: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    losses = torch.rand(targets, k, generator=generator, dtype=torch.float64)
    energies = 20 * torch.randn(targets, k, generator=generator, dtype=torch.float64)
    residues = torch.randint(4, 400, (targets,), generator=generator).double()
    return losses, energies, residues


def test_eba_of_two_at_infinite_beta_is_dpo() -> None:
    losses, energies, residues = _case(k=2)
    reference = losses.flip(0)
    weights = boltzmann_weights(energies, residues, beta=1e6)
    torch.testing.assert_close(
        eba(losses, weights, 7.0, reference), eba_dpo(losses, energies, 14.0, reference), rtol=1e-6, atol=1e-6
    )


def test_eba_of_two_at_finite_beta_is_not_dpo() -> None:
    losses, energies, residues = _case(k=2)
    soft = eba(losses, boltzmann_weights(energies, residues, 0.01), 7.0, losses.flip(0))
    assert abs(float(soft - eba_dpo(losses, energies, 14.0, losses.flip(0)))) > 1e-3


@pytest.mark.parametrize("name", ["eba", "eba-dpo"])
def test_a_shift_of_all_energies_changes_nothing(name: str) -> None:
    losses, energies, residues = _case(k=2)
    objective = build(name, alpha_t=5.0, beta=BETA, reference=True)
    before = objective.value(losses, energies, residues, losses.flip(0))
    torch.testing.assert_close(objective.value(losses, energies + 1234.5, residues, losses.flip(0)), before)


@pytest.mark.parametrize(("name", "k"), [("eba", 4), ("eba-dpo", 2), ("sft", 4)])
def test_the_order_of_the_conformations_does_not_matter(name: str, k: int) -> None:
    losses, energies, residues = _case(k=k)
    reference = losses.flip(0)
    objective = build(name, alpha_t=5.0, beta=BETA, reference=True)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(0))
    before = objective.value(losses, energies, residues, reference)
    after = objective.value(losses[:, order], energies[:, order], residues, reference[:, order])
    torch.testing.assert_close(after, before)


def test_no_gradient_where_the_model_has_boltzmann_energies() -> None:
    _, energies, residues = _case()
    alpha_t = 5.0
    losses = (BETA * energies / residues[:, None].sqrt() / alpha_t + 3.0).requires_grad_()
    eba(losses, boltzmann_weights(energies, residues, BETA), alpha_t).backward()
    assert losses.grad is not None
    assert float(losses.grad.abs().max()) < 1e-12


def test_weights_soften_with_the_root_of_the_length() -> None:
    energies = torch.tensor([[0.0, 8.0]], dtype=torch.float64)
    short, long = (boltzmann_weights(energies, torch.tensor([n]).double(), BETA) for n in (100, 400))
    torch.testing.assert_close((short[0, 0] / short[0, 1]).log(), 2 * (long[0, 0] / long[0, 1]).log())


def test_dpo_compares_two() -> None:
    losses, energies, _ = _case(k=3)
    with pytest.raises(ValueError, match="two conformations, not 3"):
        eba_dpo(losses, energies, 1.0, losses)


def test_sft_ignores_energies() -> None:
    losses, _, _ = _case()
    assert float(sft(losses)) == pytest.approx(float(losses.mean()))


def test_unknown_objective() -> None:
    with pytest.raises(InputError, match="unknown objective 'ebq'"):
        build("ebq", alpha_t=1.0, beta=1.0)


@pytest.mark.parametrize("proposal", [[0.2, 0.2, 0.2, 0.2, 0.2], [0.6, 0.3, 0.05, 0.03, 0.02]])
def test_a_table_of_energies_reaches_boltzmann_populations_from_any_proposal(proposal: list[float]) -> None:
    """Discrete states: the minimum over all pairs, weighted by how often the proposal draws them."""
    energies = torch.tensor([0.0, 1.0, 3.0, -2.0, 5.0], dtype=torch.float64)
    draw = torch.tensor(proposal, dtype=torch.float64)
    pairs = torch.combinations(torch.arange(5), 2)
    frequency = draw[pairs[:, 0]] * draw[pairs[:, 1]]
    weights = boltzmann_weights(energies[pairs], torch.ones(len(pairs)).double(), BETA)
    table = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([table], max_iter=500, tolerance_grad=1e-14, tolerance_change=1e-16)

    def closure() -> Tensor:
        optimiser.zero_grad()
        each = torch.stack([eba(table[p][None], w[None], 1.0) for p, w in zip(pairs, weights, strict=True)])
        total = (frequency * each).sum()
        total.backward()
        return total

    optimiser.step(closure)
    populations = torch.softmax(-table.detach(), 0)
    torch.testing.assert_close(populations, torch.softmax(-BETA * energies, 0), atol=1e-6, rtol=0)
