"""The denoising loss of AlphaFold 3 for atomic positions: aligned squared error and smooth lDDT.

Abramson et al., Nature 2024, supplementary equations 2 to 6, algorithms 27 and 28. Lu et al. (arXiv:2505.24203) align
with it. Positions are [..., N, 3] in angstrom. Weights are [..., N], zero for absent atoms. Both losses are returned as
shares of atoms, which add up to the loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

CUTOFF = 15.0
_TOLERANCES = (0.5, 1.0, 2.0, 4.0)


def superposed(mobile: Tensor, fixed: Tensor, weight: Tensor) -> Tensor:
    """Return ``mobile`` superposed onto ``fixed`` with the least weighted squared distance (Kabsch), no reflection.

    No gradient flows through the rotation and translation: at the least distance that gradient is zero.

    Args:
        mobile: Positions [..., N, 3].
        fixed: Positions [..., N, 3].
        weight: Weights [..., N] of atoms.

    Example:
        >>> x = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
        >>> turned = x[:, [1, 2, 0]] + 5
        >>> torch.allclose(superposed(turned, x, torch.ones(4)), x, atol=1e-5)
        True
    """
    with torch.no_grad(), torch.autocast(mobile.device.type, enabled=False):
        share = (weight / weight.sum(-1, keepdim=True))[..., None].to(mobile.dtype)
        mobile_centre, fixed_centre = ((share * x).sum(-2, keepdim=True) for x in (mobile, fixed))
        covariance = (share * (mobile - mobile_centre)).transpose(-1, -2) @ (fixed - fixed_centre)
        # A prediction that is not finite must give a loss that is not finite, so that the loop names the batch.
        u, _, vt = torch.linalg.svd(covariance.nan_to_num(0.0, 0.0, 0.0))
        sign = torch.ones_like(covariance[..., 0])
        sign[..., -1] = torch.det(u @ vt).sign()
        rotation = u * sign[..., None, :] @ vt
    moved: Tensor = (mobile - mobile_centre) @ rotation + fixed_centre
    return moved


def aligned_error(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return shares [..., N] in the weighted mean squared error of a coordinate, with the truth superposed.

    Args:
        predicted: Positions [..., N, 3] in angstrom.
        truth: Positions [..., N, 3] in angstrom.
        weight: Weights [..., N], zero for absent atoms.
    """
    target = superposed(truth.detach(), predicted.detach(), weight)
    return weight * ((predicted - target) ** 2).sum(-1) / (3 * (weight > 0).sum(-1, keepdim=True))


def smooth_lddt(predicted: Tensor, truth: Tensor, weight: Tensor, cutoff: float = CUTOFF) -> Tensor:
    """Return shares [..., N] in one minus the smooth lDDT, over pairs within ``cutoff`` in the truth.

    Sigmoids replace the thresholds of lDDT, so that the loss has gradients.

    Args:
        predicted: Positions [..., N, 3] in angstrom.
        truth: Positions [..., N, 3] in angstrom.
        weight: Weights [..., N], zero for absent atoms.
        cutoff: Inclusion radius in angstrom.
    """
    n = truth.shape[-2]
    real = torch.cdist(truth, truth)
    there = (weight > 0)[..., :, None] & (weight > 0)[..., None, :]
    pairs = (real < cutoff) & there & ~torch.eye(n, dtype=torch.bool, device=truth.device)
    apart = torch.where(pairs[..., None], predicted[..., :, None, :] - predicted[..., None, :, :], 1.0)
    error = (apart.norm(dim=-1) - real).abs()
    kept = torch.stack([torch.sigmoid(tolerance - error) for tolerance in _TOLERANCES]).mean(0)
    return (pairs * (1 - kept)).sum(-1) / pairs.sum((-1, -2)).clamp(min=1)[..., None]


def denoising_loss(predicted: Tensor, truth: Tensor, weight: Tensor, level_weight: Tensor) -> Tensor:
    """Return shares [..., N] in the loss: ``level_weight`` times the aligned error, plus one minus the smooth lDDT.

    Args:
        predicted: Positions [..., N, 3] in angstrom.
        truth: Positions [..., N, 3] in angstrom.
        weight: Weights [..., N], zero for absent atoms.
        level_weight: Weight [...] of the noise level (``Process.weight``).
    """
    return level_weight[..., None] * aligned_error(predicted, truth, weight) + smooth_lddt(predicted, truth, weight)


def of_residues(shares: Tensor, residue: Tensor, residues: int) -> Tensor:
    """Return the shares [..., residues] of residues.

    Args:
        shares: Shares [..., N] of atoms.
        residue: Residue index [N] of each atom.
        residues: Number of residues.

    Example:
        >>> of_residues(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2)
        tensor([3., 4.])
    """
    return shares.new_zeros(*shares.shape[:-1], residues).index_add(-1, residue, shares)
