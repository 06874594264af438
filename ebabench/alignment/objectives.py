"""Alignment objectives over the denoising losses of K conformations of each of B targets.

The model's own energy of a conformation is taken as alpha T times its denoising loss l_i. All functions take and give
tensors: losses and reference losses [B, K], energies [B, K] in kJ/mol, residues [B]; the result is a scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ebabench.errors import unknown


def boltzmann_weights(energies: Tensor, residues: Tensor, beta: float, exponent: float = 0.5) -> Tensor:
    """Softmax over K of -beta E_i / L^exponent (Lu et al., arXiv:2505.24203, equation 9)."""
    return F.softmax(-beta * energies / residues[:, None] ** exponent, -1)


def sft(losses: Tensor) -> Tensor:
    """Supervised fine-tuning: the mean denoising loss."""
    return losses.mean()


def eba(losses: Tensor, weights: Tensor, alpha_t: float, reference: Tensor | None = None) -> Tensor:
    """Energy-based alignment: cross-entropy from Boltzmann weights [B, K] to softmax(-alpha T l_i).

    With a reference network its losses are subtracted, so that weights are relative to what the reference samples.
    """
    margin = losses if reference is None else losses - reference
    return -(weights * F.log_softmax(-alpha_t * margin, -1)).sum(-1).mean()


def eba_dpo(losses: Tensor, energies: Tensor, b: float, reference: Tensor) -> Tensor:
    """Diffusion-DPO (Wallace et al., arXiv:2311.12908) with the lower of K = 2 energies as the winner.

    -log sigmoid(-(b/2) [(l_w - l_l) - (l_w,ref - l_l,ref)]). Raises ValueError for K other than 2.
    """
    if losses.shape[1] != 2:
        raise ValueError(f"DPO compares two conformations, not {losses.shape[1]}")
    winner = energies.argmin(-1, keepdim=True)
    margin = losses - reference
    gap = margin.gather(1, winner) - margin.gather(1, 1 - winner)
    return -F.logsigmoid(-b / 2 * gap).mean()


@dataclass(frozen=True)
class Objective:
    """A named objective: what it needs, and its value from (losses, energies, residues, reference losses)."""

    name: str
    needs_energies: bool
    needs_reference: bool
    value: Callable[[Tensor, Tensor | None, Tensor, Tensor | None], Tensor]


def build(name: str, *, alpha_t: float, beta: float, reference: bool = False) -> Objective:
    """The objective called ``name``: "sft", "eba" or "eba-dpo".

    beta in mol/kJ; alpha_t is b for DPO. Raises InputError for another name.
    """

    def eba_value(losses: Tensor, energies: Tensor | None, residues: Tensor, ref: Tensor | None) -> Tensor:
        assert energies is not None
        return eba(losses, boltzmann_weights(energies, residues, beta), alpha_t, ref)

    def dpo_value(losses: Tensor, energies: Tensor | None, _residues: Tensor, ref: Tensor | None) -> Tensor:
        assert energies is not None
        assert ref is not None
        return eba_dpo(losses, energies, alpha_t, ref)

    table = {
        "sft": Objective("sft", False, False, lambda losses, _e, _l, _r: sft(losses)),
        "eba": Objective("eba", True, reference, eba_value),
        "eba-dpo": Objective("eba-dpo", True, True, dpo_value),
    }
    if name not in table:
        raise unknown("objective", name, table)
    return table[name]
