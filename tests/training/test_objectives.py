"""The objectives' identities and limits."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ebabench.errors import InputError
from ebabench.training.objectives import NAMES, Comparison, Temperature, boltzmann_weights, build, eba
from ebabench.training.process import stratified

BETA = 0.4009
PAIRWISE = ("eba-dpo", "alidiff", "abdpo", "decompdpo")


def _case(targets: int = 6, k: int = 3, draws: int = 2, length: int = 5, reference: bool = True) -> Comparison:
    generator = torch.Generator().manual_seed(3)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    residue_energies = 20 * torch.randn(targets, k, length, generator=generator, dtype=torch.float64)
    return Comparison(
        losses=uniform(targets, k, draws, length),
        residues=torch.randint(4, 400, (targets,), generator=generator).double(),
        progress=uniform(targets, draws),
        energies=residue_energies.sum(-1),
        residue_energies=residue_energies,
        reference=uniform(targets, k, draws, length) if reference else None,
    )


def _value(name: str, seen: Comparison, alpha_t: float = 7.0, beta: float = BETA) -> Tensor:
    return build(name, alpha_t=alpha_t, beta=beta, reference=True).value(seen)


def _agreeing(seen: Comparison) -> Comparison:
    """The same with every residue of a conformation sharing alike in its energy."""
    assert seen.energies is not None
    length = seen.losses.shape[-1]
    return replace(seen, residue_energies=(seen.energies / length)[..., None].expand(*seen.energies.shape, length))


@pytest.mark.parametrize("soft", ["eba", "alidiff"])
def test_soft_preference_of_two_at_infinite_beta_is_dpo(soft: str) -> None:
    seen = _case(k=2)
    torch.testing.assert_close(_value(soft, seen, 7.0, beta=1e6), _value("eba-dpo", seen, 14.0), rtol=1e-6, atol=1e-6)


def test_eba_of_two_at_finite_beta_is_not_dpo() -> None:
    seen = _case(k=2)
    assert abs(float(_value("eba", seen, 7.0, beta=0.01) - _value("eba-dpo", seen, 14.0))) > 1e-3


def test_alidiff_of_two_is_eba_with_a_reference() -> None:
    seen = _case(k=2)
    torch.testing.assert_close(_value("alidiff", seen), _value("eba", seen), rtol=1e-6, atol=1e-6)


def test_at_beta_zero_soft_preference_has_no_preference() -> None:
    """All weights equal: the value has its minimum, ln K or ln 2, where all margins are equal."""
    seen = _case(k=3)
    level = replace(seen, losses=torch.ones_like(seen.losses), reference=None)
    assert float(_value("eba", level, beta=0.0)) == pytest.approx(torch.tensor(3.0).log())
    assert float(_value("alidiff", level, beta=0.0)) == pytest.approx(torch.tensor(2.0).log())
    assert float(_value("eba", seen, beta=0.0)) > float(_value("eba", level, beta=0.0))


@pytest.mark.parametrize("name", ["abdpo", "decompdpo"])
def test_with_one_residue_a_decomposed_preference_is_dpo(name: str) -> None:
    seen = _case(k=2, length=1)
    seen = replace(seen, progress=torch.ones_like(seen.progress))
    torch.testing.assert_close(_value(name, seen), _value("eba-dpo", seen), rtol=1e-6, atol=1e-6)


def test_residues_that_agree_make_decompdpo_dpo_at_full_noise() -> None:
    seen = _agreeing(replace(_case(), progress=torch.ones(6, 2, dtype=torch.float64)))
    torch.testing.assert_close(_value("decompdpo", seen), _value("eba-dpo", seen), rtol=1e-6, atol=1e-6)


def test_beta_of_decompdpo_grows_linearly_with_the_noise() -> None:
    seen = _case()
    half = replace(seen, progress=torch.full_like(seen.progress, 0.5))
    full = replace(seen, progress=torch.ones_like(seen.progress))
    torch.testing.assert_close(_value("decompdpo", half, 14.0), _value("decompdpo", full, 7.0))
    clean = replace(seen, progress=torch.zeros_like(seen.progress))
    assert float(_value("decompdpo", clean)) == pytest.approx(torch.tensor(2.0).log())


def test_abdpo_bounds_dpo_from_above_where_residues_agree() -> None:
    seen = _agreeing(_case(targets=50))
    assert float(_value("abdpo", seen)) > float(_value("eba-dpo", seen))


def test_abdpo_follows_the_residues_own_energies() -> None:
    """Raising a residue's loss is rewarded where that residue has the higher energy, whatever the others have."""
    seen = _case(targets=1, k=2, draws=1, length=2)
    energies = torch.tensor([[[0.0, 9.0], [5.0, 0.0]]], dtype=torch.float64)
    losses = torch.zeros(1, 2, 1, 2, dtype=torch.float64, requires_grad=True)
    _value("abdpo", replace(seen, losses=losses, residue_energies=energies, reference=None)).backward()
    assert losses.grad is not None
    assert torch.equal(losses.grad[0, :, 0].sign(), torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("name", ["abdpo", "decompdpo"])
def test_a_residue_of_equal_energies_has_no_say(name: str) -> None:
    """The sign of a tie is 0 (ABDPO, section 3.2; DecompDPO's masks)."""
    seen = _case(targets=1, k=2, length=2)
    energies = torch.tensor([[[3.0, 9.0], [3.0, 0.0]]], dtype=torch.float64)
    losses = seen.losses.clone().requires_grad_()
    _value(name, replace(seen, losses=losses, residue_energies=energies)).backward()
    assert losses.grad is not None
    assert float(losses.grad[..., 0].abs().max()) == 0
    assert float(losses.grad[..., 1].abs().min()) > 0


@pytest.mark.parametrize("name", ["eba", "epo", *PAIRWISE])
def test_the_papers_form_with_a_draw_at_a_time_bounds_that_with_all_from_above(name: str) -> None:
    """Jensen: the mean over draws is inside here and outside in the papers."""
    seen = _case(targets=20, draws=4)
    at_a_time = [seen._draws(slice(draw, draw + 1)) for draw in range(4)]
    assert float(_value(name, seen)) < float(torch.stack([_value(name, one) for one in at_a_time]).mean())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sft"])
def test_a_shift_of_all_energies_changes_nothing(name: str) -> None:
    seen = _case()
    assert seen.energies is not None
    assert seen.residue_energies is not None
    moved = replace(seen, energies=seen.energies + 1234.5, residue_energies=seen.residue_energies + 246.9)
    torch.testing.assert_close(_value(name, moved), _value(name, seen), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_conformations_does_not_matter(name: str) -> None:
    seen = _case(k=4)
    assert seen.energies is not None
    assert seen.residue_energies is not None
    assert seen.reference is not None
    order = torch.randperm(4, generator=torch.Generator().manual_seed(0))
    turned = replace(
        seen,
        losses=seen.losses[:, order],
        energies=seen.energies[:, order],
        residue_energies=seen.residue_energies[:, order],
        reference=seen.reference[:, order],
    )
    torch.testing.assert_close(_value(name, turned), _value(name, seen))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("sft", "grpo")])
def test_what_all_conformations_share_cancels(name: str) -> None:
    """A term of the loss that does not depend on the conformation, such as a noise draw's own, has no gradient."""
    seen = _case()
    common = torch.rand(6, 1, 2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(_value(name, replace(seen, losses=seen.losses + common)), _value(name, seen))


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_pairwise_objective_of_three_is_the_mean_of_its_three_pairs(name: str) -> None:
    seen = _case(k=3)
    assert seen.energies is not None
    assert seen.residue_energies is not None
    assert seen.reference is not None
    pairs = [
        replace(
            seen,
            losses=seen.losses[:, pair],
            energies=seen.energies[:, pair],
            residue_energies=seen.residue_energies[:, pair],
            reference=seen.reference[:, pair],
        )
        for pair in ([0, 1], [0, 2], [1, 2])
    ]
    mean = torch.stack([_value(name, pair) for pair in pairs]).mean()
    torch.testing.assert_close(_value(name, seen), mean)


@pytest.mark.parametrize("name", ["eba", "alidiff"])
def test_no_gradient_where_the_model_has_boltzmann_energies(name: str) -> None:
    seen = _case(draws=1, length=1, reference=False)
    assert seen.energies is not None
    energies = BETA * seen.energies / seen.residues[:, None].sqrt()
    losses = (energies / 5.0 + 3.0)[..., None, None].requires_grad_()
    _value(name, replace(seen, losses=losses), alpha_t=5.0).backward()
    assert losses.grad is not None
    assert float(losses.grad.abs().max()) < 1e-12


@pytest.mark.parametrize("name", ["eba-dpo", "epo"])
def test_a_preference_of_ranks_never_comes_to_rest(name: str) -> None:
    """There is a gradient at the Boltzmann solution and beyond it: it overshoots."""
    seen = _case(draws=1, length=1, reference=False)
    assert seen.energies is not None
    for lead in (1.0, 2.0, 4.0):
        losses = (lead * BETA * seen.energies / seen.residues[:, None].sqrt() / 5.0)[..., None, None].requires_grad_()
        _value(name, replace(seen, losses=losses), alpha_t=10.0).backward()
        assert losses.grad is not None
        assert float(losses.grad.abs().max()) > 1e-4


@pytest.mark.parametrize("name", ["eba", "alidiff"])
def test_weights_soften_with_the_length_to_the_exponent(name: str) -> None:
    seen = _case(k=2)
    assert seen.energies is not None
    soft = build(name, alpha_t=7.0, beta=BETA, exponent=1.0).value(seen)
    by_hand = replace(seen, energies=seen.energies / seen.residues[:, None])
    torch.testing.assert_close(soft, build(name, alpha_t=7.0, beta=BETA, exponent=0.0).value(by_hand))
    energies = torch.tensor([[0.0, 8.0]], dtype=torch.float64)
    short, long = (boltzmann_weights(energies, torch.tensor([n]).double(), BETA) for n in (100, 400))
    torch.testing.assert_close((short[0, 0] / short[0, 1]).log(), 2 * (long[0, 0] / long[0, 1]).log())


def test_epo_of_two_is_dpo() -> None:
    seen = _case(k=2)
    torch.testing.assert_close(_value("epo", seen, 7.0), _value("eba-dpo", seen, 14.0), rtol=1e-6, atol=1e-6)


def test_epo_is_eba_at_infinite_beta_of_the_lists_that_remain_without_the_best() -> None:
    seen = _case(k=4)
    assert seen.energies is not None
    assert seen.reference is not None
    order = seen.energies.argsort(-1)
    rows = torch.arange(6)[:, None]
    total = torch.zeros((), dtype=torch.float64)
    for best in range(3):
        left = order[:, best:]
        part = replace(
            seen,
            losses=seen.losses[rows, left],
            energies=seen.energies[rows, left],
            reference=seen.reference[rows, left],
        )
        total = total + _value("eba", part, beta=1e6)
    torch.testing.assert_close(_value("epo", seen), total, rtol=1e-6, atol=1e-6)


def test_epo_is_the_probability_of_an_order() -> None:
    """Over all orders of three conformations the probabilities exp(-value) add up to one."""
    seen = _case(targets=1, k=3)
    orders = list(itertools.permutations((0.0, 1.0, 2.0)))
    values = [_value("epo", replace(seen, energies=torch.tensor([order]))) for order in orders]
    assert float(torch.exp(-torch.stack(values)).sum()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["epo", "grpo"])
def test_only_order_or_relative_size_of_energies_counts(name: str) -> None:
    seen = _case(k=4)
    assert seen.energies is not None
    torch.testing.assert_close(_value(name, replace(seen, energies=3.7 * seen.energies - 5)), _value(name, seen))
    squeezed = replace(seen, energies=seen.energies.sign() * seen.energies.abs().sqrt())
    assert torch.allclose(_value(name, squeezed), _value(name, seen)) == (name == "epo")


def _slopes_at_the_reference(name: str, seen: Comparison, alpha_t: float, beta: float = BETA) -> Tensor:
    assert seen.reference is not None
    losses = seen.reference.clone().requires_grad_()
    value = build(name, alpha_t=alpha_t, beta=beta, exponent=0.0, reference=True).value(replace(seen, losses=losses))
    (slopes,) = torch.autograd.grad(value, losses)
    return slopes


def test_grpo_starts_as_eba_of_small_beta_does() -> None:
    """Its gradient at the reference is that of EBA over beta times the standard deviation of the energies."""
    seen = _case(targets=1, k=5)
    assert seen.energies is not None
    beta = 1e-7
    scaled = _slopes_at_the_reference("eba", seen, 7.0, beta) / (beta * seen.energies.std(correction=0))
    torch.testing.assert_close(_slopes_at_the_reference("grpo", seen, 7.0), scaled, rtol=1e-4, atol=1e-9)


def test_grpo_of_two_starts_as_dpo_does() -> None:
    seen = _case(k=2)
    torch.testing.assert_close(
        _slopes_at_the_reference("grpo", seen, 7.0), _slopes_at_the_reference("eba-dpo", seen, 14.0)
    )


def test_grpo_rewards_no_more_than_its_clip() -> None:
    """A ratio that has gone farther in the direction of its advantage has no gradient; one in the other has."""
    one = torch.ones(1, dtype=torch.float64)
    energies = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    for lead, moves in ((0.3, False), (0.1, True), (-0.3, True)):
        losses = torch.tensor([[-lead, lead]], dtype=torch.float64)[..., None, None].requires_grad_()
        seen = Comparison(losses, one, one[None], energies, None, torch.zeros_like(losses))
        build("grpo", alpha_t=1.0, beta=1.0, clip_ratio=0.2).value(seen).backward()
        assert losses.grad is not None
        assert bool((losses.grad != 0).all()) == moves


def test_grpo_of_equal_energies_has_no_gradient() -> None:
    seen = _case()
    losses = seen.losses.clone().requires_grad_()
    _value("grpo", replace(seen, losses=losses, energies=torch.full((6, 3), 4.0))).backward()
    assert losses.grad is not None
    assert float(losses.grad.abs().max()) == 0


def test_sft_is_the_mean_loss_of_the_conformations() -> None:
    seen = _case()
    assert float(_value("sft", seen)) == pytest.approx(float(seen.losses.sum(-1).mean()))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    seen = _case(targets=2, length=2)
    losses = seen.losses.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: _value(name, replace(seen, losses=x)), (losses,))


def test_what_is_needed_is_declared() -> None:
    needs = {name: build(name, alpha_t=1.0, beta=1.0) for name in NAMES}
    with_reference = ["eba-dpo", "alidiff", "abdpo", "decompdpo", "epo", "grpo"]
    assert [n for n in NAMES if needs[n].needs_reference] == with_reference
    assert [n for n in NAMES if needs[n].needs_residue_energies] == ["abdpo", "decompdpo"]
    assert [n for n in NAMES if not needs[n].needs_energies] == ["sft"]
    assert build("eba", alpha_t=1.0, beta=1.0, reference=True).needs_reference


@pytest.mark.parametrize("name", NAMES)
def test_nothing_more_is_needed_than_is_declared(name: str) -> None:
    objective = build(name, alpha_t=1.0, beta=1.0)
    seen = _case()
    bare = Comparison(
        seen.losses,
        seen.residues,
        seen.progress,
        seen.energies if objective.needs_energies else None,
        seen.residue_energies if objective.needs_residue_energies else None,
        seen.reference if objective.needs_reference else None,
    )
    assert bool(torch.isfinite(objective.value(bare)))


def test_missing_energies_are_told() -> None:
    seen = _case()
    with pytest.raises(InputError, match="needs energies for every conformation"):
        _value("eba", replace(seen, energies=None))
    with pytest.raises(InputError, match="needs the energies of the residues"):
        _value("abdpo", replace(seen, residue_energies=None))
    with pytest.raises(InputError, match="tells the residues' losses apart"):
        _value("decompdpo", replace(seen, losses=seen.losses.sum(-1, keepdim=True)))


@pytest.mark.parametrize("name", ["eba", "epo", "grpo", *PAIRWISE])
def test_a_preference_needs_two(name: str) -> None:
    """With one, EBA would be zero whatever the model does, and weight decay all that is trained."""
    with pytest.raises(InputError, match="two conformations or more"):
        _value(name, _case(k=1))


def test_unknown_objective() -> None:
    with pytest.raises(InputError, match="unknown objective 'ebq'"):
        build("ebq", alpha_t=1.0, beta=1.0)


# Discrete states: the minimum over all sets of K states, weighted by how often the proposal draws them.
STATES = torch.tensor([0.0, 1.0, 3.0, -2.0, 5.0], dtype=torch.float64)


def _table_at_minimum(name: str, proposal: list[float], k: int, reference: Tensor) -> Tensor:
    draw = torch.tensor(proposal, dtype=torch.float64)
    sets = torch.combinations(torch.arange(5), k)
    frequency = draw[sets].prod(-1) / draw[sets].prod(-1).sum()
    objective = build(name, alpha_t=1.0, beta=BETA, exponent=0.0, reference=True)

    def total(table: Tensor) -> Tensor:
        each = torch.stack([objective.value(_seen(table, chosen, reference)) for chosen in sets])
        return (frequency * each).sum()

    table = reference.clone()
    for _ in range(20):  # Newton's method; a constant shift of the table is free
        slope = torch.autograd.functional.jacobian(total, table)
        curvature = torch.autograd.functional.hessian(total, table)
        table = table - torch.linalg.pinv(curvature, rtol=1e-9) @ slope
    assert float(slope.abs().max()) < 1e-10
    return table


def _seen(table: Tensor, chosen: Tensor, reference: Tensor) -> Comparison:
    one = torch.ones(1, dtype=torch.float64)
    losses, frozen = (values[chosen][None, :, None, None] for values in (table, reference))
    return Comparison(losses, one, one[None], STATES[chosen][None], None, frozen)


@pytest.mark.parametrize("proposal", [[0.2, 0.2, 0.2, 0.2, 0.2], [0.6, 0.3, 0.05, 0.03, 0.02]])
@pytest.mark.parametrize(("name", "k"), [("eba", 2), ("eba", 3), ("alidiff", 2), ("alidiff", 4)])
def test_a_table_of_energies_reaches_boltzmann_populations_from_any_proposal(
    name: str, k: int, proposal: list[float]
) -> None:
    table = _table_at_minimum(name, proposal, k, torch.zeros(5, dtype=torch.float64))
    expected = torch.softmax(-BETA * STATES, 0)
    torch.testing.assert_close(torch.softmax(-table, 0), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["eba", "alidiff"])
def test_with_a_reference_the_table_reaches_the_reference_tilted_by_the_energies(name: str) -> None:
    """Not the Boltzmann populations: energies then say how to change the reference."""
    reference = torch.tensor([0.0, 0.5, -1.0, 2.0, 0.3], dtype=torch.float64)
    table = _table_at_minimum(name, [0.2] * 5, 2, reference)
    expected = torch.softmax(-BETA * STATES - reference, 0)
    torch.testing.assert_close(torch.softmax(-table, 0), expected, atol=1e-6, rtol=0)


def test_eba_takes_its_functions_arguments_as_build_gives_them() -> None:
    seen = _case()
    torch.testing.assert_close(eba(seen, Temperature(7.0, BETA)), _value("eba", seen))


@pytest.mark.parametrize("name", NAMES)
def test_crossed_draws_that_agree_change_nothing(name: str) -> None:
    """Where both halves of the draws say the same, neither value nor gradient is moved by crossing them."""
    seen = _case(draws=1)
    assert seen.reference is not None
    losses = seen.losses.repeat(1, 1, 2, 1).requires_grad_()
    seen = replace(
        seen, losses=losses, progress=seen.progress.repeat(1, 2), reference=seen.reference.repeat(1, 1, 2, 1)
    )
    values = [build(name, alpha_t=7.0, beta=BETA, reference=True, crossed=c).value(seen) for c in (False, True)]
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(value, losses)[0] for value in values))


def test_noise_in_the_losses_has_no_gradient_when_draws_are_crossed() -> None:
    """At the Boltzmann solution, EBA on noisy losses asks for less noise; crossed draws do not."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40_000, 2, 2, 1, generator=generator, dtype=torch.float64)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    one = torch.ones(40_000, dtype=torch.float64)
    seen = Comparison(scale * noise, one, one[:, None].expand(-1, 2), torch.zeros(40_000, 2, dtype=torch.float64))
    slopes = {}
    for crossed in (False, True):
        value = build("eba", alpha_t=1.0, beta=1.0, crossed=crossed).value(seen)
        slopes[crossed] = float(torch.autograd.grad(value, scale, retain_graph=True)[0])
    assert slopes[False] > 0.1
    assert abs(slopes[True]) < 0.01


def test_both_halves_of_crossed_draws_see_all_noise_levels_alike() -> None:
    """Halves that take stratified draws by turns would see levels that differ by 1 / draws on average."""
    draws = 8
    levels = stratified(1000, draws, torch.Generator().manual_seed(0), parts=2)
    seen = Comparison(torch.zeros(1000, 2, draws, 1), torch.ones(1000), levels)
    for half in seen.crossed():
        strata = (half.progress * draws / 2).long()
        assert torch.equal(strata.sort(-1).values, torch.arange(draws // 2).expand(1000, -1))
        assert float(half.progress.mean()) == pytest.approx(0.5, abs=0.01)


def test_crossed_draws_come_in_pairs() -> None:
    with pytest.raises(InputError, match="3 is odd"):
        build("eba", alpha_t=1.0, beta=1.0, crossed=True).value(_case(draws=3))
