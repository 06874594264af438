"""A crop of a chain is trained on as the chain cut to those residues would be, but for what it knows of the others."""

import numpy as np
import pytest
import torch
from proteins import build
from torch import Tensor

from ebabench.models.eba.denoiser import Config, InternalDenoiser
from ebabench.models.eba.zmatrix import OMEGA, PHI
from ebabench.structures import Atoms, Target
from ebabench.structures.arrays import Positions
from ebabench.training.denoiser import Condition, Prepared
from ebabench.training.diffusion import Edm

SEQUENCE = "ACDEFGHIKLMNPQRSTVWYA"
BEHIND = [2 * k + part for k in (PHI, OMEGA) for part in (0, 1)]  # channels that the residue before decides


@pytest.fixture(scope="module")
def model() -> InternalDenoiser:
    """A model with random weights that places residues by frames."""
    made = InternalDenoiser(Config(width=32, depth=2, heads=2, pair=4, placement="frames"), Edm(), seed=3)
    with torch.no_grad():
        made.network.last.weight.normal_(generator=torch.Generator().manual_seed(0))
    return made


def _conformations() -> tuple[Target, Positions]:
    """Every atom moves but the C-alphas, so that the whole and a part of it are superposed alike."""
    target = build(SEQUENCE)
    noise = 0.2 * np.random.default_rng(0).standard_normal((4, *target.native.shape))
    noise[:, target.atoms.select("CA")] = 0
    return target, (target.native + noise).astype(np.float32)


def _cut(target: Target, positions: Positions, start: int, stop: int) -> tuple[Target, Positions]:
    """The chain of some consecutive residues."""
    rows = np.flatnonzero((target.atoms.residue >= start) & (target.atoms.residue < stop))
    atoms = Atoms(target.atoms.name[rows], target.atoms.residue_name[rows], target.atoms.residue[rows] - start)
    return Target("cut", target.sequence[start:stop], atoms, target.native[rows]), positions[:, rows]


def _first(prepared: Prepared) -> Condition:
    return {name: value[0] for name, value in prepared.condition.items()}


def _embedded(model: InternalDenoiser, condition: Condition) -> Condition:
    """What the trunk makes of it."""
    embedded = model._embedded({name: value[None] for name, value in condition.items()})
    return {name: value[0] for name, value in embedded.items()}


@torch.no_grad()
def _loss(model: InternalDenoiser, coordinates: Tensor, condition: Condition, noise: Tensor) -> Tensor:
    conditions = {name: value[None] for name, value in condition.items()}
    return model.loss(coordinates, conditions, torch.full((4,), 0.3), noise)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("start", "stop"), [(0, 12), (5, 17), (9, 21)])
def test_a_crop_has_the_loss_of_the_chain_cut_to_it(
    model: InternalDenoiser, start: int, stop: int, frozen: bool
) -> None:
    target, positions = _conformations()
    chain, frames = _cut(target, positions, start, stop)
    cut = model.prepare(chain, frames)
    coordinates, cropped = model.crop(
        model.prepare(target, positions).coordinates,
        _first(model.prepare(target, positions)),
        torch.arange(start, stop),
    )
    # What the crop knows of its neighbours, and the chain of those residues does not: forgotten.
    known = {"ends": _first(cut)["ends"]}
    for name in ("mask", "native") if start else ():
        known[name] = cropped[name].clone()
        known[name][0, BEHIND] = 0
    cropped = {**cropped, **known}
    noise = torch.randn(*coordinates.shape, generator=torch.Generator().manual_seed(1))
    told = [_embedded(model, one) if frozen else one for one in (_first(cut), cropped)]
    expected, found = (_loss(model, x, one, noise) for x, one in zip((cut.coordinates, coordinates), told, strict=True))
    assert float(expected.min()) > 0
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=1e-5)
    torch.testing.assert_close(coordinates[:, 1:], cut.coordinates[:, 1:], rtol=0, atol=2e-4)


def test_residues_apart_in_sequence_keep_their_own_losses(model: InternalDenoiser) -> None:
    """In whatever order a crop names its residues, each has the same share: none takes another's place."""
    target, positions = _conformations()
    prepared = model.prepare(target, positions)
    near = torch.tensor([1, 2, 3, 9, 10, 17])
    shuffled = torch.tensor([4, 0, 5, 2, 1, 3])
    noise = torch.randn(*prepared.coordinates.shape, generator=torch.Generator().manual_seed(1))
    shares = [
        _loss(model, *model.crop(prepared.coordinates, _first(prepared), residues), noise[:, residues])
        for residues in (near, near[shuffled])
    ]
    torch.testing.assert_close(shares[1], shares[0][:, shuffled], rtol=1e-4, atol=1e-6)
    assert float((shares[0][:, :1] - shares[0][:, 1:]).abs().min()) > 1e-6
    crop, _ = model.crop(prepared.coordinates, _first(prepared), near)
    torch.testing.assert_close(crop[:, 3], prepared.coordinates[:, 9])


def test_an_embedded_crop_is_the_crop_embedded(model: InternalDenoiser) -> None:
    """Whether the trunk is evaluated before the chain is cut, as where it is frozen, or after, is the same."""
    target, positions = _conformations()
    prepared = model.prepare(target, positions)
    condition = _first(prepared)
    whole = _embedded(model, condition)
    residues = torch.tensor([0, 4, 5, 6, 12, 20])
    noise = torch.randn(4, 6, prepared.coordinates.shape[2], generator=torch.Generator().manual_seed(1))
    losses = [_loss(model, *model.crop(prepared.coordinates, one, residues), noise) for one in (condition, whole)]
    torch.testing.assert_close(losses[0], losses[1])
