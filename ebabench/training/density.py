"""How probable a model's own samples are: what residual energies add to the energies of a force field.

Alignment with a reference network multiplies the reference's density q by the weights of conformations. The result is
the Boltzmann distribution if the weights are softmax(-(beta E + log q)), and a colder one if they are softmax(-beta E).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ebabench.errors import InputError
from ebabench.training.denoiser import Condition, Denoiser, Prepared
from ebabench.training.process import Denoise, Process, stratified

EXACT = 16  # coordinates, up to which the trace of the Jacobian is computed exactly
_PROBES = 1  # vectors of signs that estimate the trace at every evaluation otherwise
_STEPS = 32  # of the integration
_LOWEST, _HIGHEST = 0.03, 30.0  # sigma / sigma_data between which the flow is followed
_DRAWS = 64  # of noise, for the density by losses
_ROWS = 512  # conformations that go through the network at a time


@runtime_checkable
class WithDensity(Protocol):
    """A denoiser by which a density can be computed."""

    def denoise(self, noisy: Tensor, level: Tensor, condition: Condition) -> Tensor:
        """Return the expected clean coordinates [B, L, C] of noisy ones at levels [B]. Condition rows: B / R."""
        ...

    def free(self, condition: Condition) -> Tensor:
        """Return 1 for coordinates [rows, L, C] that exist in the conformations, 0 for others."""
        ...


def log_density(denoise: Denoise, process: Process, x: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
    """Return ln q [S] of samples, but for a constant, by the probability flow.

    q is the density that the deterministic sampler has, convolved with noise of 0.03 sigma_data. The flow
    dx/dln(sigma) = x - D(x; sigma) takes samples to noise. Its divergence, integrated along, is the change of ln q
    (Song et al., arXiv:2011.13456, section 4.3). Runge-Kutta of order four. The divergence is exact for up to ``EXACT``
    coordinates. For more it is estimated from ``_PROBES`` vectors of signs at every evaluation (``_signs``).

    Args:
        denoise: Expected clean coordinates [S, ...] of noisy ones in the process's own scale, at levels [S].
        process: The process of the model.
        x: Clean coordinates [S, ...].
        free: 1 for coordinates [...] that exist, 0 for others.
        generator: Source of the random signs.
    """
    probes = _probes(x, free, generator)
    sigma_data = process.noise.sigma_data
    levels = torch.logspace(math.log10(_LOWEST * sigma_data), math.log10(_HIGHEST * sigma_data), 2 * _STEPS + 1)
    levels = levels.to(x)
    step = math.log(_HIGHEST / _LOWEST) / _STEPS

    def slope(points: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        vectors, scale = next(probes)
        rows = points.expand(len(vectors), *points.shape).flatten(0, 1).detach().requires_grad_()
        level = process.level(sigma.expand(len(rows)))
        broad = level.view(-1, *[1] * (points.ndim - 1))
        with torch.enable_grad():
            drift = (rows - denoise(process.noised(rows, torch.zeros_like(rows), broad), level)) * free
            (product,) = torch.autograd.grad((drift * vectors.flatten(0, 1)).sum(), rows)
        divergence = scale * (product.view_as(vectors) * vectors).flatten(2).sum((0, 2))
        return drift.detach()[: len(points)], divergence

    change = x.new_zeros(len(x))
    for now, between, then in zip(levels[:-2:2], levels[1::2], levels[2::2], strict=True):
        first, a = slope(x, now)
        second, b = slope(x + step / 2 * first, between)
        third, c = slope(x + step / 2 * second, between)
        fourth, d = slope(x + step * third, then)
        x = x + step / 6 * (first + 2 * second + 2 * third + fourth)
        change = change + step / 6 * (a + 2 * b + 2 * c + d)
    variance = sigma_data**2 * (1 + _HIGHEST**2)
    return change - (x * free).flatten(1).square().sum(1) / (2 * variance)


def _probes(x: Tensor, free: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, float]]:
    """Yield, for ever, vectors v [P, S, ...] and a scale with which the trace of J is scale sum over P of v J v."""
    places = free.expand(x.shape[1:]).flatten().nonzero().flatten()
    if len(places) <= EXACT:
        units = torch.nn.functional.one_hot(places, x[0].numel()).to(x)
        while True:
            yield units.view(len(places), 1, *x.shape[1:]).expand(-1, *x.shape), 1.0
    signs = _signs(len(places), len(x), generator)
    while True:
        vectors = x.new_zeros(_PROBES, len(x), x[0].numel())
        for vector in vectors:
            vector[:, places] = next(signs).to(x)
        yield vectors.view(_PROBES, *x.shape), 1 / _PROBES


def _signs(coordinates: int, samples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield, for ever, signs [samples, coordinates] that estimate a trace (Hutchinson's estimator).

    They are the rows of a Hadamard matrix in random order, times random signs of each sample and coordinate; order and
    signs change after all rows. The mean of v J v over all rows is the trace without any error, and so the errors of
    neighbouring levels, whose Jacobians are alike, cancel. Those of independent signs do not.
    """
    places = np.arange(coordinates)
    while True:
        flips = torch.randint(2, (samples, coordinates), generator=generator) * 2 - 1
        for row in torch.randperm(1 << (coordinates - 1).bit_length(), generator=generator).tolist():
            yield flips * torch.from_numpy(1 - 2 * (np.bitwise_count(places & row) % 2).astype(np.int64))


def by_flow(denoiser: Denoiser, prepared: Prepared, generator: torch.Generator, device: str) -> Tensor:
    """Return ln q [F] of the conformations of one target by the probability flow (``log_density``).

    Args:
        denoiser: The model that sampled them.
        prepared: The conformations, with the condition under which they were sampled as the first alternative.
        generator: Source of random signs.
        device: Where the model runs.

    Raises:
        InputError: The model has no ``denoise`` (``training.no_density``).
    """
    if not isinstance(denoiser, WithDensity):
        raise InputError(
            "this model gives no densities: residual = loss or none is possible", code="training.no_density"
        )
    model: WithDensity = denoiser
    condition = {name: value[:1].to(device) for name, value in prepared.condition.items()}
    free = model.free(condition)[0].to(device)

    def denoise(noisy: Tensor, level: Tensor) -> Tensor:
        return model.denoise(noisy, level, condition)

    portions = prepared.coordinates.to(device).split(_ROWS)
    found = [log_density(denoise, denoiser.process, portion * free, free, generator) for portion in portions]
    return torch.cat(found).cpu()


@torch.no_grad()
def by_loss(denoiser: Denoiser, prepared: Prepared, generator: torch.Generator, alpha_t: float, device: str) -> Tensor:
    """Return -alpha T times the denoising loss [F] of conformations of one target: what alignment takes for ln q.

    Cheaper than ``by_flow`` and possible for any denoiser. The loss exceeds -ln q where the model is not ideal, most
    where data are rare. All conformations share their draws of noise.

    Args:
        denoiser: The model that sampled them.
        prepared: The conformations.
        generator: Source of noise.
        alpha_t: Factor from a loss to an energy.
        device: Where the model runs.
    """
    coordinates, condition = prepared.coordinates, {name: value[:1] for name, value in prepared.condition.items()}
    level = denoiser.process.level(denoiser.process.noise.sigma_at(stratified(1, _DRAWS, generator)[0]))
    noise = torch.randn(_DRAWS, *coordinates.shape[1:], generator=generator).to(device)
    held = {name: value.to(device) for name, value in condition.items()}
    total = torch.zeros(len(coordinates))
    for one, drawn in zip(level, noise, strict=True):
        for rows in torch.arange(len(coordinates)).split(_ROWS):
            clean = coordinates[rows].to(device)
            shares = denoiser.loss(clean, held, one.expand(len(rows)).to(device), drawn.expand_as(clean))
            total[rows] += shares.sum(-1).cpu()
    return -alpha_t * total / _DRAWS
