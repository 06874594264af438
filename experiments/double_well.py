"""Does alignment reach the Boltzmann distribution? A double well on a line, where everything is known.

A small network is trained on two wells that are visited equally often; energies say that one holds 0.8 of the
probability. Each recipe of alignment is run, and run on for as long again, and sampled. All seeds train at once, as
replicas along a leading axis S. ``docs/lab-notes/double-well.md`` tells what came out;
``python experiments/double_well_proof.py`` runs it all.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebabench.training import objectives
from ebabench.training.diffusion import Edm
from ebabench.training.flow import Flow
from ebabench.training.objectives import Comparison
from ebabench.training.process import LogUniform, Process, stratified, unit_noise

POPULATION = 0.8  # of the right well, by the energies
WIDTH = 0.1  # of each well, at -1 and +1
PROCESSES: dict[str, Process] = {
    "diffusion": Edm(sigma_data=1.0, sigma_min=0.005, log_mean=-0.6, log_std=1.6),
    "flow": Flow(sigma_data=1.0, log_mean=-0.6, log_std=1.6),
}
LIKELIHOOD = LogUniform(0.01, 30.0)
_FRAMES = 4096
# Half the draws give the slope of the softmax: with 16, where its mean is right the margin is 0.1 kT too large.
_GROUPS, _CONFORMATIONS, _DRAWS = 1, 4, 128
_DENOISED = 512
_RATE = 5e-4
_LOWEST, _HIGHEST = 0.005, 30.0  # sigmas between which the density of samples is followed


@dataclass(frozen=True)
class Recipe:
    """A way to align. Energies and losses are in units of kT.

    ``likelihood``: losses are weighted so that with alpha T = 1 they are energies; otherwise as training weights them.
    ``reference``: the reference network's losses are subtracted under the same noise, and the energies of what it
    samples from the energies. ``anchor``: weight of plain denoising of the same frames, each counted by how much more
    often it is in the Boltzmann distribution than in the data.
    """

    name: str
    objective: str
    alpha_t: float = 1.0
    likelihood: bool = True
    reference: bool = True
    crossed: bool = True
    anchor: float = 1.0


RECIPES = (
    Recipe("EBA, training's weights", "eba", alpha_t=5.0, likelihood=False, reference=False, crossed=False, anchor=0.0),
    Recipe("EBA, likelihood weights", "eba", reference=False, crossed=False, anchor=0.0),
    Recipe("+ reference", "eba", crossed=False, anchor=0.0),
    Recipe("+ anchor", "eba", crossed=False),
    Recipe("+ crossed draws", "eba"),
    Recipe("DPO instead of EBA", "eba-dpo", alpha_t=2.0),
    Recipe("anchor alone", "sft"),
)


class Replicas(nn.Module):
    """S networks of one shape, from two numbers to one."""

    def __init__(self, seeds: Sequence[int], width: int) -> None:
        super().__init__()
        sizes = (2, width, width, width, 1)
        with torch.random.fork_rng(devices=[]):
            networks = []
            for seed in seeds:
                torch.manual_seed(seed)
                networks.append([nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])
        layers = list(zip(*networks, strict=True))
        self.weights = nn.ParameterList([torch.stack([n.weight.detach().T for n in layer]) for layer in layers])
        self.biases = nn.ParameterList([torch.stack([n.bias.detach()[None] for n in layer]) for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        """[S, rows, 2] to [S, rows]."""
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, nn.functional.silu(x) if k else x, weight)
        return x[..., 0]


class Model:
    """Replicas as denoisers of points on a line; points, levels and noise are [S, ...]."""

    def __init__(self, process: Process, seeds: Sequence[int], width: int = 48) -> None:
        self.process = process
        self.network = Replicas(seeds, width)

    def denoise(self, noisy: Tensor, level: Tensor) -> Tensor:
        """Expected clean points of noisy ones, at levels of the same shape."""
        skip, out, scale, told = self.process.precondition(level)
        inputs = torch.stack([scale * noisy, told], -1)
        inner: Tensor = self.network(inputs.flatten(1, -2)).view(noisy.shape)
        return skip * noisy + out * inner

    def errors(self, points: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Squared errors of points under noise, all of one shape."""
        level = self.process.level(sigma)
        return (self.denoise(self.process.noised(points, noise, level), level) - points) ** 2

    def denoising(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """Losses of points [S, rows] as training weights them."""
        sigma = self.process.noise.sigma_at(stratified(points.shape[0], points.shape[1], generator))
        noise = torch.randn(points.shape, generator=generator)
        return self.process.weight(self.process.level(sigma)) * self.errors(points, sigma, noise)

    def energies(self, points: Tensor, steps: int = 60) -> Tensor:
        """-log p of points [S, F] but for a constant, p being what the model samples.

        The probability flow dx/dln sigma = x - D takes points to noise, and its divergence their density along (Song
        et al., arXiv:2011.13456, section 4.3); Runge-Kutta of order four. The loss would not do: it exceeds -log p
        wherever the model is not ideal, most where data are rare.
        """
        levels = torch.logspace(math.log10(_LOWEST), math.log10(_HIGHEST), 2 * steps + 1)
        step = math.log(_HIGHEST / _LOWEST) / steps
        state = torch.stack([points, torch.zeros_like(points)])
        for now, between, then in zip(levels[:-2:2], levels[1::2], levels[2::2], strict=True):
            first = self._flow(state[0], now)
            second = self._flow(state[0] + step / 2 * first[0], between)
            third = self._flow(state[0] + step / 2 * second[0], between)
            fourth = self._flow(state[0] + step * third[0], then)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
        x, stretch = state
        energies: Tensor = x**2 / (2 * (1 + _HIGHEST**2)) - stretch
        return energies

    def _flow(self, x: Tensor, sigma: Tensor) -> Tensor:
        """dx/dln sigma of the probability flow at points [S, F], and its derivative by x: [2, S, F]."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            level = self.process.level(sigma.expand_as(x))
            drift = x - self.denoise(self.process.noised(x, torch.zeros_like(x), level), level)
            (divergence,) = torch.autograd.grad(drift.sum(), x)
        return torch.stack([drift.detach(), divergence])

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator, steps: int = 100) -> Tensor:
        """Points [S, count]."""
        replicas = len(self.network.biases[0])

        def denoise(x: Tensor, level: Tensor) -> Tensor:
            return self.denoise(x, level[:, None].expand_as(x))

        return self.process.sample(denoise, unit_noise((replicas, count), generator), steps=steps)


@dataclass(frozen=True)
class Measured:
    """Share of samples in the right well, and the widths of left and right well as multiples of the true one."""

    population: float
    left: float
    right: float

    @classmethod
    def of(cls, points: Tensor) -> Measured:
        """Of points [count]."""
        right = points > 0
        left_width, right_width = (
            float((points[inside] - centre).square().mean().sqrt() / WIDTH)
            for inside, centre in ((~right, -1.0), (right, 1.0))
        )
        return cls(float(right.float().mean()), left_width, right_width)


def draw(shape: tuple[int, ...], population: float, generator: torch.Generator) -> Tensor:
    """Points of which a share ``population`` on average is in the right well."""
    side = 2 * (torch.rand(shape, generator=generator) < population).float() - 1
    return side + WIDTH * torch.randn(shape, generator=generator)


def energies_of(points: Tensor) -> Tensor:
    """Energies in kT whose Boltzmann distribution has POPULATION in the right well."""
    left, right = (
        math.log(share) - (points - centre) ** 2 / (2 * WIDTH**2)
        for share, centre in ((1 - POPULATION, -1.0), (POPULATION, 1.0))
    )
    return -torch.logaddexp(left, right)


def pretrain(process: Process, seeds: Sequence[int], steps: int) -> Model:
    """Plain denoising of wells visited equally often."""
    model = Model(process, seeds)
    generator = torch.Generator().manual_seed(seeds[0])
    trainer = _Trainer(model)
    for step in range(steps):
        rate = 3e-3 * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
        trainer.descend(model.denoising(draw((len(seeds), _DENOISED), 0.5, generator), generator).mean(), rate)
    return trainer.average


def align(start: Model, recipe: Recipe, seeds: Sequence[int], looks: Sequence[int]) -> Iterator[Model]:
    """Aligns a copy of ``start`` on frames of wells visited equally often; gives it after so many steps each."""
    generator = torch.Generator().manual_seed(1000 + seeds[0])
    frames = draw((len(seeds), _FRAMES), 0.5, generator)
    energies = energies_of(frames)
    if recipe.reference:
        energies = energies - start.energies(frames)
    share = torch.softmax(-energies, -1) * _FRAMES
    model = copy.deepcopy(start)
    trainer = _Trainer(model)
    objective = _objective(recipe, start, model, frames, energies)
    for step in range(1, max(looks) + 1):
        value = objective(generator)
        if recipe.anchor:
            pick = torch.randint(_FRAMES, (len(seeds), _DENOISED), generator=generator)
            losses = model.denoising(frames.gather(1, pick), generator)
            value = value + recipe.anchor * (share.gather(1, pick) * losses).mean()
        trainer.descend(value, _RATE)
        if step in looks:
            yield trainer.average


def _objective(
    recipe: Recipe, start: Model, model: Model, frames: Tensor, energies: Tensor
) -> Callable[[torch.Generator], Tensor]:
    """The objective of a recipe on groups of frames drawn from a generator; zero for an anchor alone."""
    objective = objectives.build(
        recipe.objective, alpha_t=recipe.alpha_t, beta=1.0, reference=recipe.reference, crossed=recipe.crossed
    )
    process, replicas = model.process, len(frames)
    shape = (replicas, _GROUPS, _CONFORMATIONS, _DRAWS)

    def value(generator: torch.Generator) -> Tensor:
        if not objective.needs_energies:
            return torch.zeros(())
        pick = torch.randint(_FRAMES, (replicas, _GROUPS * _CONFORMATIONS), generator=generator)
        points = frames.gather(1, pick).view(*shape[:3], 1).expand(shape)
        quantile = stratified(replicas * _GROUPS, _DRAWS, generator, parts=1 + recipe.crossed)
        noise = torch.randn(replicas, _GROUPS, 1, _DRAWS, generator=generator).expand(shape)
        sigma = (LIKELIHOOD if recipe.likelihood else process.noise).sigma_at(quantile)
        weight = LIKELIHOOD.weight(sigma) if recipe.likelihood else process.weight(process.level(sigma))
        spread = sigma.view(replicas, _GROUPS, 1, _DRAWS).expand(shape)

        def losses(of: Model) -> Tensor:
            return (weight[:, None] * of.errors(points, spread, noise).flatten(0, 1))[..., None]

        reference = None
        if objective.needs_reference:
            with torch.no_grad():
                reference = losses(start)
        chosen = energies.gather(1, pick).view(-1, _CONFORMATIONS)
        progress = process.progress(process.level(sigma))
        return objective.value(
            Comparison(losses(model), torch.ones(len(chosen)), progress, chosen, reference=reference)
        )

    return value


class _Trainer:
    """Steps of Adam on a model, and the moving average of its weights."""

    def __init__(self, model: Model, decay: float = 0.998) -> None:
        self.average = copy.deepcopy(model)
        self._model, self._decay, self._steps = model, decay, 0
        self._optimiser = torch.optim.Adam(model.network.parameters(), fused=True)

    def descend(self, loss: Tensor, rate: float) -> None:
        """One step."""
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.network.parameters(), 1.0)
        self._optimiser.step()
        self._steps += 1
        decay = min(self._decay, self._steps / (10 + self._steps))
        with torch.no_grad():
            pairs = zip(self.average.network.parameters(), self._model.network.parameters(), strict=True)
            for mean, live in pairs:
                mean.lerp_(live, 1 - decay)
