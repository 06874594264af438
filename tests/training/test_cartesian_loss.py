"""The loss of a model of atoms' positions: invariances, gradients, closed forms."""

import math

import pytest
import torch
from torch import Tensor

from ebabench.training.cartesian_loss import aligned_error, denoising_loss, of_residues, smooth_lddt, superposed

ONE = torch.ones(12, dtype=torch.float64)


def _points(seed: int, count: int = 12, batch: tuple[int, ...] = ()) -> Tensor:
    return 4 * torch.randn(*batch, count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _rotation(seed: int) -> Tensor:
    q, _ = torch.linalg.qr(_points(seed, 3))
    return q * torch.det(q)


def _moved(x: Tensor, seed: int = 5) -> Tensor:
    return x @ _rotation(seed) + torch.tensor([3.0, -20.0, 7.0], dtype=torch.float64)


def test_a_moved_copy_is_superposed_exactly() -> None:
    truth = _points(0)
    torch.testing.assert_close(superposed(_moved(truth), truth, ONE), truth)


def test_a_mirror_image_is_not() -> None:
    truth = _points(0)
    mirrored = truth * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert float(aligned_error(mirrored, truth, ONE).sum()) > 0.5


@pytest.mark.parametrize("loss", [aligned_error, smooth_lddt])
def test_turning_and_moving_either_changes_nothing(loss) -> None:  # type: ignore[no-untyped-def]
    predicted, truth, weight = _points(1), _points(0), torch.rand(12, dtype=torch.float64) + 0.1
    before = loss(predicted, truth, weight)
    torch.testing.assert_close(loss(_moved(predicted), truth, weight), before)
    torch.testing.assert_close(loss(predicted, _moved(truth), weight), before)


def test_superposition_is_the_least_squares_one() -> None:
    """No small turn of the superposed atoms brings them nearer."""
    mobile, fixed, weight = _points(1), _points(0), torch.rand(12, dtype=torch.float64) + 0.1
    fitted = superposed(mobile, fixed, weight)
    centre = (weight[:, None] * fitted).sum(0) / weight.sum()

    def distance(x: Tensor) -> float:
        return float((weight * ((x - fixed) ** 2).sum(-1)).sum())

    for axis in torch.eye(3, dtype=torch.float64):
        for turn in (-0.01, 0.01):
            wheel = torch.linalg.matrix_exp(turn * torch.linalg.cross(torch.eye(3, dtype=torch.float64), axis[None]))
            assert distance((fitted - centre) @ wheel + centre) > distance(fitted)
    assert distance(fitted + 0.01) > distance(fitted)


def test_a_stretched_pair_has_its_error_in_closed_form() -> None:
    """Two atoms d apart, predicted d + 2e apart: each is e off, mean over three coordinates e^2 / 3."""
    truth = torch.tensor([[0.0, 0, 0], [4, 0, 0]], dtype=torch.float64)
    predicted = torch.tensor([[0.0, 0, 0], [0, 4 + 2 * 0.3, 0]], dtype=torch.float64)
    shares = aligned_error(predicted, truth, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(shares, torch.full((2,), 0.3**2 / 6, dtype=torch.float64))


def test_smooth_lddt_of_a_perfect_prediction_and_of_one_error_in_closed_form() -> None:
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    truth = _points(0, 2)
    best = 1 - sum(map(sigmoid, (0.5, 1, 2, 4))) / 4
    weight = torch.ones(2, dtype=torch.float64)
    assert float(smooth_lddt(truth, truth, weight).sum()) == pytest.approx(best)
    direction = (truth[1] - truth[0]) / (truth[1] - truth[0]).norm()
    off = torch.stack([truth[0], truth[1] + 1.5 * direction])
    expected = 1 - sum(map(sigmoid, (-1, -0.5, 0.5, 2.5))) / 4
    assert float(smooth_lddt(off, truth, weight).sum()) == pytest.approx(expected)


def test_smooth_lddt_counts_pairs_within_the_cutoff_in_the_truth_alone() -> None:
    truth = torch.tensor([[0.0, 0, 0], [3, 0, 0], [30, 0, 0]], dtype=torch.float64)
    far = truth + torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 25, 0]], dtype=torch.float64)
    weight = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(smooth_lddt(far, truth, weight), smooth_lddt(truth, truth, weight))
    assert float(smooth_lddt(far, truth, weight, cutoff=50.0).sum()) > float(
        smooth_lddt(truth, truth, weight, cutoff=50.0).sum()
    )


def test_atoms_that_are_not_there_do_not_matter() -> None:
    predicted, truth = _points(1), _points(0)
    weight = ONE.clone()
    weight[8:] = 0
    level = torch.tensor(1.7, dtype=torch.float64)
    whole = denoising_loss(predicted, truth, weight, level)
    part = denoising_loss(predicted[:8], truth[:8], ONE[:8], level)
    torch.testing.assert_close(whole[:8], part)
    assert float(whole[8:].abs().max()) == 0


def test_heavier_atoms_pull_the_fit() -> None:
    predicted, truth = _points(1), _points(0)
    weight = ONE.clone()
    weight[:4] = 100.0
    light = ((predicted - superposed(truth, predicted, ONE)) ** 2).sum(-1)[:4].sum()
    heavy = ((predicted - superposed(truth, predicted, weight)) ** 2).sum(-1)[:4].sum()
    assert float(heavy) < float(light)


def test_shares_of_residues_add_up_to_the_loss() -> None:
    predicted, truth = _points(1, batch=(2, 3)), _points(0, batch=(2, 3))
    weight, level = ONE.expand(2, 3, 12), torch.rand(2, 3, dtype=torch.float64)
    shares = denoising_loss(predicted, truth, weight, level)
    residues = of_residues(shares, torch.arange(12) // 3, 4)
    assert residues.shape == (2, 3, 4)
    torch.testing.assert_close(residues.sum(-1), shares.sum(-1))
    torch.testing.assert_close(residues[..., 1], shares[..., 3:6].sum(-1))
    one = denoising_loss(predicted[1, 2], truth[1, 2], ONE, level[1, 2])
    torch.testing.assert_close(shares[1, 2], one)


@pytest.mark.parametrize("loss", [aligned_error, smooth_lddt])
def test_gradients_are_those_of_finite_differences(loss) -> None:  # type: ignore[no-untyped-def]
    """Of the aligned error too, though no gradient flows through the superposition: it is at its minimum there."""
    predicted, truth = _points(1, 5).requires_grad_(), _points(0, 5)
    assert torch.autograd.gradcheck(lambda x: loss(x, truth, ONE[:5]).sum(), (predicted,))


def test_coinciding_atoms_have_a_finite_gradient() -> None:
    predicted = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    denoising_loss(predicted, _points(0, 4), ONE[:4], torch.tensor(1.0, dtype=torch.float64)).sum().backward()
    assert predicted.grad is not None
    assert bool(torch.isfinite(predicted.grad).all())
