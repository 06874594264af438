"""Alignment objectives over the denoising losses of K conformations of each of B targets, K any number from 2.

The model's own energy of a conformation is taken as alpha T times its denoising loss l_i, a mean over D draws of noise
that the K conformations share, so that the noise cancels from their differences. That mean is inside softmax or
sigmoid; the papers move it outside by Jensen's inequality, so that D = 1 is their form and more draws a lower bound of
it, nearer to what they bound. ``docs/explanation/objectives.md`` compares the objectives with each other and with
their sources.
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
    """What an objective sees.

    ``losses`` [B, K, D, L]: shares of L residues in the denoising loss under D draws; summed over residues they are the
    loss of a conformation. ``reference``: the same under the reference network. ``energies`` [B, K] and
    ``residue_energies`` [B, K, L] in kJ/mol; the latter add up to the former. ``progress`` [B, D]: how much of the
    process a draw's noise has gone through, 0 for data and 1 for noise alone. ``residues`` [B]: numbers of residues.
    """

    losses: Tensor
    residues: Tensor
    progress: Tensor
    energies: Tensor | None = None
    residue_energies: Tensor | None = None
    reference: Tensor | None = None

    def crossed(self) -> tuple[Comparison, Comparison]:
        """Two comparisons that have their values from one half of the draws and their gradients from the other.

        A loss known from few draws is noisy, and an objective that is curved in it has a gradient for lowering the
        noise, which flattens the model. Where the slope and what it multiplies have independent noise, there is none.
        Raises InputError for an odd number of draws.
        """
        if self.losses.shape[2] % 2:
            raise InputError(f"crossed draws come in pairs; {self.losses.shape[2]} is odd")
        first, second = (self._draws(half) for half in (slice(0, None, 2), slice(1, None, 2)))
        return first._sloped(second), second._sloped(first)

    def _draws(self, chosen: slice) -> Comparison:
        reference = None if self.reference is None else self.reference[:, :, chosen]
        return replace(self, losses=self.losses[:, :, chosen], progress=self.progress[:, chosen], reference=reference)

    def _sloped(self, other: Comparison) -> Comparison:
        """The same values with the gradient of another's losses."""
        return replace(self, losses=self.losses.detach() + other.losses - other.losses.detach())

    @property
    def margins(self) -> Tensor:
        """Losses [B, K, D, L] less the reference network's, where there is one."""
        return self.losses if self.reference is None else self.losses - self.reference

    @property
    def given_energies(self) -> Tensor:
        """Energies [B, K]. Raises InputError without."""
        if self.energies is None:
            raise InputError("this objective needs energies for every conformation")
        return self.energies

    @property
    def given_residue_energies(self) -> Tensor:
        """Energies [B, K, L] of the residues whose losses are told apart. Raises InputError without."""
        if self.residue_energies is None:
            raise InputError("this objective needs the energies of the residues of every conformation")
        if self.residue_energies.shape[-1] != self.losses.shape[-1]:
            raise InputError(
                f"energies of {self.residue_energies.shape[-1]} residues beside losses of {self.losses.shape[-1]}: "
                "this objective needs a denoiser that tells the residues' losses apart"
            )
        return self.residue_energies


@dataclass(frozen=True)
class Temperature:
    """How strongly losses and energies count.

    ``alpha_t``: what makes an energy of a loss (b of DPO and its relatives). ``beta`` in mol/kJ; energies are divided
    by residues^exponent.
    """

    alpha_t: float
    beta: float
    exponent: float = 0.5


def boltzmann_weights(energies: Tensor, residues: Tensor, beta: float, exponent: float = 0.5) -> Tensor:
    """Softmax over K of -beta E_i / L^exponent (Lu et al., arXiv:2505.24203, equation 9)."""
    return F.softmax(-beta * energies / residues[:, None] ** exponent, -1)


def sft(seen: Comparison, _scale: Temperature) -> Tensor:
    """Supervised fine-tuning: the mean denoising loss."""
    return _of_conformations(seen.losses).mean()


def eba(seen: Comparison, scale: Temperature) -> Tensor:
    """Energy-based alignment (Lu et al., arXiv:2505.24203): cross-entropy, Boltzmann weights to softmax(-alpha T l).

    With a reference network its losses are subtracted, so that weights are relative to what the reference samples: not
    in the paper, but an option of its code. Raises InputError for K below 2.
    """
    _require_two(seen.losses)
    weights = boltzmann_weights(seen.given_energies, seen.residues, scale.beta, scale.exponent)
    return -(weights * F.log_softmax(-scale.alpha_t * _of_conformations(seen.margins), -1)).sum(-1).mean()


def eba_dpo(seen: Comparison, scale: Temperature) -> Tensor:
    """Diffusion-DPO (Wallace et al., arXiv:2311.12908, equation 14): the lower energy of a pair wins.

    -log sigmoid(-(b/2) [(l_w - l_l) - (l_w,ref - l_l,ref)]), mean over the pairs of K. As in the authors' code, the
    pair shares its noise, and b/2 stands for beta T omega of the equation. Equal energies are a draw, half a win each.
    """
    winner = _wins(_gaps(seen.given_energies))
    return _preference(scale.alpha_t / 2 * _gaps(_of_conformations(seen.margins)), winner).mean()


def alidiff(seen: Comparison, scale: Temperature) -> Tensor:
    """AliDiff's exact energy preference optimisation (Gu et al., arXiv:2407.01648): each of a pair wins by its share.

    Its rewards are energies here: cross-entropy from softmax(-beta E / L^exponent) of a pair to sigmoid of the margins,
    mean over the pairs of K. For K = 2 it is `eba` with a reference, for beta -> infinity `eba_dpo` with b = 2 alpha T.
    The form is that of the authors' code, where the two of a pair have noise of their own and positions and atom types
    a cross-entropy each; dividing by L^exponent is EBA's.
    """
    normal = seen.given_energies / seen.residues[:, None] ** scale.exponent
    share = torch.sigmoid(-scale.beta * _gaps(normal))
    return _preference(scale.alpha_t * _gaps(_of_conformations(seen.margins)), share).mean()


def abdpo(seen: Comparison, scale: Temperature) -> Tensor:
    """ABDPO's residue-level preference (Zhou et al., arXiv:2403.16576, equation 8): every residue has its own winner.

    Mean over residues (the paper: sum) of the DPO loss of their own energies and L times their share in the loss. As
    -log sigmoid is convex, it bounds `eba_dpo` from above where the residues agree on the winner (Jensen). A residue
    whose energies are equal has no gradient. The paper's gradient surgery between kinds of energy (equation 9) is not
    here: there is one energy.
    """
    energies = seen.given_residue_energies
    gaps = _gaps(seen.margins.mean(2)) * energies.shape[-1]
    return -F.logsigmoid(-scale.alpha_t / 2 * _signs(_gaps(energies)) * gaps).mean()


def decompdpo(seen: Comparison, scale: Temperature) -> Tensor:
    """DecompDPO's local preference (Cheng et al., arXiv:2407.13981, equation 9), residues its sub-structures.

    Every residue's share in the margin counts with the sign of its own preference, all inside one sigmoid, and b grows
    linearly with the noise (section 3.4): b_t = b t / T. The paper averages over several rewards, of which those that
    do not decompose take the whole molecule's preference, and takes a penalty for strain off them: there is one energy
    here, it decomposes, and strain is part of it.
    """
    noisier = (seen.progress[:, None, :, None] * seen.margins).mean(2)
    signed = (_signs(_gaps(seen.given_residue_energies)) * _gaps(noisier)).sum(-1)
    return -F.logsigmoid(-scale.alpha_t / 2 * signed).mean()


def _of_conformations(losses: Tensor) -> Tensor:
    """Losses [B, K] from residues' shares under draws [B, K, D, L]."""
    return losses.sum(-1).mean(-1)


def _gaps(values: Tensor) -> Tensor:
    """First less second of every pair of the K: [B, pairs, ...] from [B, K, ...]. Raises InputError for K below 2."""
    _require_two(values)
    first, second = torch.triu_indices(values.shape[1], values.shape[1], 1, device=values.device)
    return values[:, first] - values[:, second]


def _require_two(values: Tensor) -> None:
    if values.shape[1] < 2:
        raise InputError("a preference needs two conformations or more")


def _signs(gaps: Tensor) -> Tensor:
    """1 where the first has the lower energy, -1 where it has the higher, 0 where they are equal."""
    return -gaps.sign()


def _wins(gaps: Tensor) -> Tensor:
    """One where the first has the lower energy, a half where they are equal."""
    return torch.heaviside(-gaps, gaps.new_tensor(0.5))


def _preference(gaps: Tensor, share: Tensor) -> Tensor:
    """Cross-entropy from the ``share`` in which the first of a pair wins to sigmoid(-gap)."""
    return -(share * F.logsigmoid(-gaps) + (1 - share) * F.logsigmoid(gaps))


@dataclass(frozen=True)
class Objective:
    """A named objective: what it needs, and its value."""

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
) -> Objective:
    """The objective of that name (one of NAMES) at a `Temperature`.

    ``reference`` gives `eba` a reference network; ``crossed`` evaluates `Comparison.crossed`. Raises InputError for
    another name.
    """
    if name not in _TABLE:
        raise unknown("objective", name, NAMES)
    value, energies, residues, always = _TABLE[name]
    scale = Temperature(alpha_t, beta, exponent)

    def of(seen: Comparison) -> Tensor:
        if not crossed:
            return value(seen, scale)
        first, second = seen.crossed()
        return (value(first, scale) + value(second, scale)) / 2

    return Objective(name, energies, residues, always or (reference and name == "eba"), of)
