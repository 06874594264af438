"""Alignment objectives over the denoising losses of K >= 2 conformations of each of B targets.

alpha T times the denoising loss l_i stands for the model's energy of conformation i. The loss is a mean over D draws of
noise that the K conformations share, so that the noise cancels from their differences. This mean is inside softmax or
sigmoid. The papers move it outside by Jensen's inequality: D = 1 is their form, and more draws are a lower bound of it.
``docs/explanation/objectives.md`` compares the objectives with each other and with their sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ebabench.errors import InputError, unknown


@dataclass(frozen=True)
class Comparison:
    """The input of an objective.

    Attributes:
        losses: [B, K, D, L], shares of L residues in the denoising loss under D draws. Their sum over residues is the
            loss of a conformation.
        residues: [B], numbers of residues.
        progress: [B, D], fraction of the process that a draw's noise has passed: 0 for data, 1 for pure noise.
        energies: [B, K] in kJ/mol, or None.
        residue_energies: [B, K, L] in kJ/mol, which add up to ``energies``, or None.
        reference: The losses under the reference network, or None.
    """

    losses: Tensor
    residues: Tensor
    progress: Tensor
    energies: Tensor | None = None
    residue_energies: Tensor | None = None
    reference: Tensor | None = None

    def crossed(self) -> tuple[Comparison, Comparison]:
        """Return two comparisons with values from one half of the draws and gradients from the other half.

        A loss from few draws is noisy. An objective that is curved in the loss then has a gradient that lowers the
        noise and flattens the model. This gradient vanishes if the slope and the gradient have independent noise. The
        halves are the first and the second half of the draws, each stratified over the noise by itself
        (``process.stratified`` with two parts), so that both see the same noise levels on average.

        Raises:
            InputError: The number of draws is odd (``setting.value``).
        """
        if self.losses.shape[2] % 2:
            raise InputError(
                f"crossed draws come in pairs; {self.losses.shape[2]} is odd", code="setting.value", setting="draws"
            )
        middle = self.losses.shape[2] // 2
        first, second = (self._draws(half) for half in (slice(middle), slice(middle, None)))
        return first._sloped(second), second._sloped(first)

    def only(self, chosen: Tensor) -> Comparison:
        """Return the comparison by the ``chosen`` draws [B, D]: the losses of all others are 0."""
        counted = chosen[:, None, :, None]
        reference = None if self.reference is None else self.reference * counted
        return replace(self, losses=self.losses * counted, reference=reference)

    def _draws(self, chosen: slice) -> Comparison:
        reference = None if self.reference is None else self.reference[:, :, chosen]
        return replace(self, losses=self.losses[:, :, chosen], progress=self.progress[:, chosen], reference=reference)

    def _sloped(self, other: Comparison) -> Comparison:
        """Return the same values with the gradient of another comparison's losses."""
        return replace(self, losses=self.losses.detach() + other.losses - other.losses.detach())

    @property
    def margins(self) -> Tensor:
        """Losses [B, K, D, L] minus those of the reference network, if there is one."""
        return self.losses if self.reference is None else self.losses - self.reference

    @property
    def given_energies(self) -> Tensor:
        """Energies [B, K]. Raises InputError (``training.no_energies``) if there are none."""
        if self.energies is None:
            raise InputError("this objective needs energies for every conformation", code="training.no_energies")
        return self.energies

    @property
    def given_residue_energies(self) -> Tensor:
        """Energies [B, K, L] of residues. Raises InputError (``training.no_residue_energies``) if they do not fit."""
        if self.residue_energies is None:
            raise InputError(
                "this objective needs the energies of the residues of every conformation",
                code="training.no_residue_energies",
            )
        if self.residue_energies.shape[-1] != self.losses.shape[-1]:
            raise InputError(
                f"energies of {self.residue_energies.shape[-1]} residues beside losses of {self.losses.shape[-1]}: "
                "this objective needs a denoiser that tells the residues' losses apart",
                code="training.no_residue_energies",
            )
        return self.residue_energies


@dataclass(frozen=True)
class Temperature:
    """The scales of losses and energies.

    Attributes:
        alpha_t: Factor from a loss to an energy (b of DPO, ABDPO and DecompDPO).
        beta: Inverse temperature in mol/kJ.
        exponent: Energies are divided by residues^exponent.
        clip_ratio: Largest distance of a ratio of probabilities from 1 that GRPO rewards.
    """

    alpha_t: float
    beta: float
    exponent: float = 0.5
    clip_ratio: float = 0.2


def boltzmann_weights(energies: Tensor, residues: Tensor, beta: float, exponent: float = 0.5) -> Tensor:
    """Return the softmax over K of -beta E_i / L^exponent (Lu et al., arXiv:2505.24203, equation 9).

    Args:
        energies: [B, K] in kJ/mol.
        residues: [B], numbers of residues L.
        beta: Inverse temperature in mol/kJ.
        exponent: Exponent of L.

    Example:
        >>> boltzmann_weights(torch.tensor([[0.0, 0.0]]), torch.tensor([4]), beta=0.4)
        tensor([[0.5000, 0.5000]])
    """
    return F.softmax(-beta * energies / residues[:, None] ** exponent, -1)


def sft(seen: Comparison, _scale: Temperature) -> Tensor:
    """Return the mean denoising loss (supervised fine-tuning).

    Args:
        seen: The losses.
        _scale: Unused.
    """
    return _of_conformations(seen.losses).mean()


def eba(seen: Comparison, scale: Temperature) -> Tensor:
    """Return the cross-entropy from Boltzmann weights to softmax(-alpha T l): energy-based alignment.

    Lu et al., arXiv:2505.24203. With a reference network its losses are subtracted, so that the weights are relative to
    the reference's distribution. This is an option of the paper's code.

    Args:
        seen: Losses and energies of K >= 2 conformations.
        scale: alpha T, beta and exponent.

    Raises:
        InputError: K is below 2, or there are no energies.
    """
    _require_two(seen.losses)
    weights = boltzmann_weights(seen.given_energies, seen.residues, scale.beta, scale.exponent)
    return -(weights * F.log_softmax(-scale.alpha_t * _of_conformations(seen.margins), -1)).sum(-1).mean()


def eba_dpo(seen: Comparison, scale: Temperature) -> Tensor:
    """Return the Diffusion-DPO loss (Wallace et al., arXiv:2311.12908, equation 14). The lower energy of a pair wins.

    -log sigmoid(-(b/2) [(l_w - l_l) - (l_w,ref - l_l,ref)]), mean over the pairs of K. As in the authors' code, a pair
    shares its noise, and b/2 stands for beta T omega of the equation. Equal energies count as half a win each.

    Args:
        seen: Losses, reference losses and energies of K >= 2 conformations.
        scale: b as ``alpha_t``.
    """
    winner = _wins(_gaps(seen.given_energies))
    return _preference(scale.alpha_t / 2 * _gaps(_of_conformations(seen.margins)), winner).mean()


def alidiff(seen: Comparison, scale: Temperature) -> Tensor:
    """Return AliDiff's exact energy preference loss (Gu et al., arXiv:2407.01648).

    Cross-entropy from softmax(-beta E / L^exponent) of a pair to the sigmoid of the margins, mean over the pairs of K.
    For K = 2 it equals ``eba`` with a reference; for beta -> infinity ``eba_dpo`` with b = 2 alpha T. In the authors'
    code the two of a pair have separate noise, and positions and atom types a cross-entropy each. The division by
    L^exponent is EBA's.

    Args:
        seen: Losses, reference losses and energies of K >= 2 conformations.
        scale: alpha T, beta and exponent.
    """
    normal = seen.given_energies / seen.residues[:, None] ** scale.exponent
    share = torch.sigmoid(-scale.beta * _gaps(normal))
    return _preference(scale.alpha_t * _gaps(_of_conformations(seen.margins)), share).mean()


def abdpo(seen: Comparison, scale: Temperature) -> Tensor:
    """Return ABDPO's residue-level preference loss (Zhou et al., arXiv:2403.16576, equation 8).

    Mean over residues (the paper: sum) of the DPO loss of the residue's own energies and L times its share in the loss.
    -log sigmoid is convex, so that it bounds ``eba_dpo`` from above if all residues agree on the winner (Jensen). A
    residue with equal energies has no gradient. The paper's gradient surgery between kinds of energy (equation 9) is
    not needed for one energy.

    Args:
        seen: Losses, reference losses and residue energies of K >= 2 conformations.
        scale: b as ``alpha_t``.
    """
    energies = seen.given_residue_energies
    gaps = _gaps(seen.margins.mean(2)) * energies.shape[-1]
    return -F.logsigmoid(-scale.alpha_t / 2 * _signs(_gaps(energies)) * gaps).mean()


def decompdpo(seen: Comparison, scale: Temperature) -> Tensor:
    """Return DecompDPO's local preference loss (Cheng et al., arXiv:2407.13981, equation 9), with residues as parts.

    The share of each residue in the margin has the sign of the residue's own preference, all inside one sigmoid. b
    grows linearly with the noise (section 3.4): b_t = b t / T. The paper averages over several rewards and subtracts a
    penalty for strain. Here one energy decomposes and contains the strain.

    Args:
        seen: Losses, reference losses, progress and residue energies of K >= 2 conformations.
        scale: b as ``alpha_t``.
    """
    noisier = (seen.progress[:, None, :, None] * seen.margins).mean(2)
    signed = (_signs(_gaps(seen.given_residue_energies)) * _gaps(noisier)).sum(-1)
    return -F.logsigmoid(-scale.alpha_t / 2 * signed).mean()


def epo(seen: Comparison, scale: Temperature) -> Tensor:
    """Return the negative log-likelihood of the order of energies under a Plackett-Luce model of the margins.

    Energy preference optimization (Sun et al., arXiv:2511.10165): - sum over k of log(exp s_k / sum_{j >= k} exp s_j),
    energies ascending with k, s = -alpha T (l - l_ref). Two conformations make it ``eba_dpo`` with b = 2 alpha T. In
    general it is the sum of ``eba`` at beta -> infinity over the lists that remain when the best are taken away one
    after another. Only the order of energies counts. Equal energies keep the order of their conformations.

    Args:
        seen: Losses, reference losses and energies of K >= 2 conformations.
        scale: alpha T.
    """
    _require_two(seen.losses)
    order = seen.given_energies.argsort(dim=-1, stable=True)
    scores = (-scale.alpha_t * _of_conformations(seen.margins)).gather(-1, order)
    remaining = scores.flip(-1).logcumsumexp(-1).flip(-1)
    return (remaining - scores).sum(-1).mean()


def grpo(seen: Comparison, scale: Temperature) -> Tensor:
    """Return the clipped objective of group relative policy optimization, with minus the energy as the reward.

    Li et al., arXiv:2601.21985, with the energy as the only reward: - mean of min(r A, clip(r, 1 - c, 1 + c) A), where
    A is the reward less its mean over K, in standard deviations. r, the ratio of the probabilities of a conformation
    under the network and under the reference network, is exp(-alpha T (l - l_ref)) here; the paper multiplies the
    ratios of the steps of the trajectory that was sampled. Scale and zero of the energies cancel. At the reference
    the gradient is that of ``eba`` for small beta, over beta times the standard deviation of the energies.

    Args:
        seen: Losses, reference losses and energies of K >= 2 conformations.
        scale: alpha T and c as ``clip_ratio``.
    """
    _require_two(seen.losses)
    energies = seen.given_energies
    centred = energies.mean(-1, keepdim=True) - energies
    spread = centred.square().mean(-1, keepdim=True).sqrt()
    advantage = torch.where(spread > 0, centred / spread.clamp(min=torch.finfo(spread.dtype).tiny), 0.0)
    ratio = torch.exp(-scale.alpha_t * _of_conformations(seen.margins))
    clipped = ratio.clamp(1 - scale.clip_ratio, 1 + scale.clip_ratio)
    return -torch.minimum(ratio * advantage, clipped * advantage).mean()


def _of_conformations(losses: Tensor) -> Tensor:
    """Return losses [B, K] from shares of residues under draws [B, K, D, L]."""
    return losses.sum(-1).mean(-1)


def _gaps(values: Tensor) -> Tensor:
    """Return the first minus the second of every pair: [B, pairs, ...] from [B, K, ...]."""
    _require_two(values)
    first, second = torch.triu_indices(values.shape[1], values.shape[1], 1, device=values.device)
    return values[:, first] - values[:, second]


def _require_two(values: Tensor) -> None:
    if values.shape[1] < 2:
        raise InputError("a preference needs two conformations or more", code="setting.value", setting="conformations")


def _signs(gaps: Tensor) -> Tensor:
    """Return 1 where the first has the lower energy, -1 where it has the higher, 0 where they are equal."""
    return -gaps.sign()


def _wins(gaps: Tensor) -> Tensor:
    """Return 1 where the first has the lower energy, 1/2 where they are equal, 0 elsewhere."""
    return torch.heaviside(-gaps, gaps.new_tensor(0.5))


def _preference(gaps: Tensor, share: Tensor) -> Tensor:
    """Return the cross-entropy from the probability ``share`` that the first wins to sigmoid(-gap)."""
    return -(share * F.logsigmoid(-gaps) + (1 - share) * F.logsigmoid(gaps))


@dataclass(frozen=True)
class Objective:
    """A named objective: its needs and its value."""

    name: str
    needs_energies: bool
    needs_residue_energies: bool
    needs_reference: bool
    value: Callable[[Comparison], Tensor]


# name: (value, needs energies, needs energies of residues, needs a reference network)
_TABLE: dict[str, tuple[Callable[[Comparison, Temperature], Tensor], bool, bool, bool]] = {
    "sft": (sft, False, False, False),
    "eba": (eba, True, False, False),
    "eba-dpo": (eba_dpo, True, False, True),
    "alidiff": (alidiff, True, False, True),
    "abdpo": (abdpo, True, True, True),
    "decompdpo": (decompdpo, True, True, True),
    "epo": (epo, True, False, True),
    "grpo": (grpo, True, False, True),
}
NAMES = tuple(_TABLE)


def build(
    name: str,
    *,
    alpha_t: float,
    beta: float,
    exponent: float = 0.5,
    reference: bool = False,
    crossed: bool = False,
    clip_ratio: float = 0.2,
) -> Objective:
    """Return an objective.

    Args:
        name: One of ``NAMES``.
        alpha_t: Factor from a loss to an energy; b of DPO, ABDPO and DecompDPO.
        beta: Inverse temperature in mol/kJ.
        exponent: Energies are divided by residues^exponent.
        reference: Whether EBA subtracts the losses of a reference network.
        crossed: Whether values and gradients come from different draws (``Comparison.crossed``).
        clip_ratio: Largest distance of a ratio of probabilities from 1 that GRPO rewards.

    Raises:
        InputError: There is no such objective (``unknown.objective``).
    """
    if name not in _TABLE:
        raise unknown("objective", name, NAMES)
    value, energies, residues, always = _TABLE[name]
    scale = Temperature(alpha_t, beta, exponent, clip_ratio)

    def of(seen: Comparison) -> Tensor:
        if not crossed:
            return value(seen, scale)
        first, second = seen.crossed()
        return (value(first, scale) + value(second, scale)) / 2

    return Objective(name, energies, residues, always or (reference and name == "eba"), of)
