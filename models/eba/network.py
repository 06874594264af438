"""The denoising network: a transformer over residues with a pair bias, conditioned on the noise level."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ebabench.models.eba.internal import CHANNELS, TORSION_CHANNELS
from ebabench.models.eba.zmatrix import AMINO_ACIDS

_NEIGHBOURS = 16  # sequence separations told apart on either side
_SHELLS = 16  # radial basis functions of the native's C-alpha distances, to 20 angstrom
_WAVES = 32


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, pair: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.bias = nn.Linear(pair, heads, bias=False)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(0.0)
        self.modulate = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, h: Tensor, pair: Tensor, noise: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulate(noise)[:, None].chunk(6, -1)
        x = F.layer_norm(h, h.shape[-1:]) * (1 + scale1) + shift1
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.bias(pair).permute(0, 3, 1, 2).repeat_interleave(len(h) // len(pair), 0)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        h = h + (1 + gate1) * self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        x = F.layer_norm(h, h.shape[-1:]) * (1 + scale2) + shift2
        out: Tensor = h + (1 + gate2) * self.dropout(self.down(F.gelu(self.up(x))))
        return out


class Network(nn.Module):
    """Maps scaled noisy coordinates [B, L, 23] to the preconditioned output [B, L, 23].

    What does not depend on noisy coordinates is the trunk: it is evaluated once a sequence and native (`embed`).
    """

    def __init__(self, width: int, depth: int, heads: int, pair: int) -> None:
        super().__init__()
        self.coordinates = nn.Linear(2 * CHANNELS, width)
        self.types = nn.Embedding(len(AMINO_ACIDS), width)
        self.ends = nn.Embedding(4, width)
        self.native = nn.Linear(TORSION_CHANNELS + 1, width)
        self.separation = nn.Embedding(2 * _NEIGHBOURS + 1, pair)
        self.distance = nn.Linear(_SHELLS + 1, pair)
        self.noise = nn.Sequential(nn.Linear(2 * _WAVES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.blocks = nn.ModuleList(_Block(width, heads, pair) for _ in range(depth))
        self.last = nn.Linear(width, CHANNELS)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def trunk(self) -> list[nn.Parameter]:
        """The parameters of `embed`."""
        modules = (self.types, self.ends, self.native, self.separation, self.distance)
        return [parameter for module in modules for parameter in module.parameters()]

    def embed(
        self, types: Tensor, ends: Tensor, place: Tensor, native: Tensor, distance: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings of residues [B, L, width] and of pairs [B, L, L, pair].

        types, ends (1 for the first residue, 2 for the last) and place in the sequence [B, L]; native torsions
        [B, L, 14] and C-alpha distances [B, L, L]. ``known`` [B] is one where the native is told, else native and
        distance are ignored.
        """
        length = types.shape[1]
        told = known[:, None, None]
        single = self.types(types) + self.ends(ends)
        single = single + self.native(torch.cat([native * told, told.expand(-1, length, 1)], -1))
        separation = (place[:, None] - place[:, :, None]).clamp(-_NEIGHBOURS, _NEIGHBOURS) + _NEIGHBOURS
        centres = torch.linspace(2, 20, _SHELLS, device=distance.device)
        shells = torch.exp(-(((distance[..., None] - centres) / 1.2) ** 2)) * told[..., None]
        shells = torch.cat([shells, told[..., None].expand(-1, length, length, 1)], -1)
        return single, self.separation(separation) + self.distance(shells)

    def forward(self, x: Tensor, noise: Tensor, mask: Tensor, single: Tensor, pair: Tensor) -> Tensor:
        """Noise [B]; mask [B / R, L, 23]; embeddings of B / R targets, each for R consecutive x."""
        rows = len(x) // len(single)
        mask = mask.repeat_interleave(rows, 0)
        h = self.coordinates(torch.cat([x * mask, mask], -1)) + single.repeat_interleave(rows, 0)
        rates = torch.exp(torch.linspace(0, math.log(100), _WAVES, device=x.device))
        waves = noise[:, None] * rates
        condition = self.noise(torch.cat([waves.sin(), waves.cos()], -1))
        for block in self.blocks:
            h = block(h, pair, condition)
        out: Tensor = self.last(F.layer_norm(h, h.shape[-1:])) * mask
        return out
