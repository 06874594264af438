"""The denoising loss of a model of atoms' positions: aligned squared error and smooth lDDT, as AlphaFold 3 trains.

Abramson et al., Nature 2024, supplementary equations 2 to 6 and algorithms 27 and 28; Lu et al. (arXiv:2505.24203)
align with it. Positions [..., N, 3] in angstrom; weights [..., N], zero for atoms that are not there. Both losses come
as the atoms' shares, which add up to the loss, so that a residue's share is a sum (`of_residues`).
"""

from __future__ import annotations

import torch
from torch import Tensor

CUTOFF = 15.0
_TOLERANCES = (0.5, 1.0, 2.0, 4.0)


def superposed(mobile: Tensor, fixed: Tensor, weight: Tensor) -> Tensor:
    """``mobile`` turned and moved onto ``fixed`` so that the weighted squared distance is least (Kabsch).

    Reflections are excluded. No gradient flows through the motion: where the distance is least it has none to give.
    """
    with torch.no_grad(), torch.autocast(mobile.device.type, enabled=False):
        share = (weight / weight.sum(-1, keepdim=True))[..., None].to(mobile.dtype)
        mobile_centre, fixed_centre = ((share * x).sum(-2, keepdim=True) for x in (mobile, fixed))
        covariance = (share * (mobile - mobile_centre)).transpose(-1, -2) @ (fixed - fixed_centre)
        # A prediction that is not finite must come out as a loss that is not, for the loop to name the batch.
        u, _, vt = torch.linalg.svd(covariance.nan_to_num(0.0, 0.0, 0.0))
        sign = torch.ones_like(covariance[..., 0])
        sign[..., -1] = torch.det(u @ vt).sign()
        rotation = u * sign[..., None, :] @ vt
    moved: Tensor = (mobile - mobile_centre) @ rotation + fixed_centre
    return moved


def aligned_error(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Shares [..., N] in the weighted mean squared error of a coordinate, the truth superposed on the prediction."""
    target = superposed(truth.detach(), predicted.detach(), weight)
    return weight * ((predicted - target) ** 2).sum(-1) / (3 * (weight > 0).sum(-1, keepdim=True))


def smooth_lddt(predicted: Tensor, truth: Tensor, weight: Tensor, cutoff: float = CUTOFF) -> Tensor:
    """Shares [..., N] in one minus the smooth lDDT, over pairs that are within ``cutoff`` in the truth.

    The fraction of tolerances that an error of a distance keeps to is a mean of sigmoids, so that gradients flow.
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
    """Shares [..., N] in the loss: the process's ``level_weight`` [...] times `aligned_error`, plus `smooth_lddt`."""
    return level_weight[..., None] * aligned_error(predicted, truth, weight) + smooth_lddt(predicted, truth, weight)


def of_residues(shares: Tensor, residue: Tensor, residues: int) -> Tensor:
    """Shares [..., residues] from those of atoms [..., N], each of which belongs to residue [N]."""
    return shares.new_zeros(*shares.shape[:-1], residues).index_add(-1, residue, shares)
