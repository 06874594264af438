"""The compact model: internal coordinates are invariant and invertible, geometry is right by construction."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ebabench.errors import InputError
from ebabench.models.eba.denoiser import Config, FlowDenoiser, InternalDenoiser
from ebabench.models.eba.internal import (
    TORSION_CHANNELS,
    Geometry,
    Layout,
    decode_angles,
    decode_frames,
    dihedral,
    encode,
    place,
    superpose,
    torsions,
)
from ebabench.models.eba.zmatrix import AMINO_ACIDS, SLOTS, atoms_of
from ebabench.structures import Atoms, Target
from ebabench.structures.arrays import Positions
from ebabench.training.cartesian_loss import denoising_loss, of_residues
from ebabench.training.diffusion import Edm
from ebabench.training.flow import Flow

SEQUENCE = "ACDEFGHIKLMNPQRSTVWYA"  # the twenty, each with a neighbour on both sides but the first


def _geometry() -> Geometry:
    """Made up, but with lengths and angles of the right size, so that nothing is degenerate."""
    generator = torch.Generator().manual_seed(1)
    shape = (len(AMINO_ACIDS), len(max(SLOTS.values(), key=len)))
    return Geometry(
        length=1.5 + 0.1 * torch.rand(shape, generator=generator),
        angle=1.95 + 0.1 * torch.rand(shape, generator=generator),
        offset=torch.where(torch.rand(shape, generator=generator) < 0.5, 2.1, -2.1),
        link=torch.tensor([1.46, 1.52, 1.33, 1.94, 2.03, 2.12]).repeat(len(AMINO_ACIDS), 1),
    )


def _conformations(sequence: str, count: int, seed: int = 0) -> tuple[Layout, torch.Tensor]:
    """Random torsions [count, L, 7] of a sequence, drivers' offsets set as the Z-matrix defines them."""
    layout = Layout.of(atoms_of(sequence))
    generator = torch.Generator().manual_seed(seed)
    angles = (2 * torch.rand(count, len(sequence), 7, generator=generator) - 1) * torch.pi
    return layout, angles * layout.torsion_mask()


def _consistent(geometry: Geometry) -> Geometry:
    """Drivers define their torsion: chi's first atom has offset 0 and O, which defines psi, pi."""
    from ebabench.models.eba.zmatrix import DRIVER, PSI

    offset = geometry.offset.clone()
    for kind in range(len(AMINO_ACIDS)):
        for torsion, slot in enumerate(DRIVER[kind]):
            if slot >= 0:
                offset[kind, slot] = torch.pi if torsion == PSI else 0.0
    return Geometry(geometry.length, geometry.angle, offset, geometry.link)


GEOMETRY = _consistent(_geometry())


def _angles_close(a: torch.Tensor, b: torch.Tensor, atol: float) -> None:
    torch.testing.assert_close(torch.sin(a), torch.sin(b), atol=atol, rtol=0)
    torch.testing.assert_close(torch.cos(a), torch.cos(b), atol=atol, rtol=0)


def test_place_inverts_dihedral() -> None:
    a, b, c = torch.tensor([[0.3, 1.0, 0.2], [0.0, 0.0, 0.0], [1.5, 0.1, 0.0]])
    turn = torch.linspace(-3, 3, 13)
    d = place(a, b, c, torch.tensor(1.4), torch.tensor(1.9), turn)
    torch.testing.assert_close(dihedral(a, b, c, d), turn, atol=1e-5, rtol=0)
    torch.testing.assert_close((d - c).norm(dim=-1), torch.full((13,), 1.4))


def test_torsions_are_found_again_in_the_atoms_that_were_built_from_them() -> None:
    layout, angles = _conformations(SEQUENCE, 8)
    found = torsions(GEOMETRY.chain(angles, layout), layout)
    mask = layout.torsion_mask()
    _angles_close(found[:, mask], angles[:, mask], atol=2e-3)


def test_internal_coordinates_do_not_see_rotation_and_translation() -> None:
    layout, angles = _conformations(SEQUENCE, 4)
    padded = GEOMETRY.chain(angles, layout)
    rotation = torch.tensor(Rotation.random(random_state=0).as_matrix(), dtype=torch.float32)
    moved = (padded @ rotation + torch.tensor([5.0, -3.0, 40.0])) * layout.present[..., None]
    torch.testing.assert_close(encode(moved, padded[0], layout), encode(padded, padded[0], layout), atol=2e-3, rtol=0)


def test_a_mirror_image_is_told_apart() -> None:
    layout, angles = _conformations(SEQUENCE, 2)
    padded = GEOMETRY.chain(angles, layout)
    mirrored = padded * torch.tensor([1.0, 1.0, -1.0])
    mask = layout.torsion_mask()
    _angles_close(torsions(mirrored, layout)[:, mask], -torsions(padded, layout)[:, mask], atol=2e-3)


@pytest.mark.parametrize("placement", ["chain", "frames"])
def test_atoms_are_rebuilt_from_internal_coordinates(placement: str) -> None:
    layout, angles = _conformations("MKTAYIAKQR", 6)
    padded = GEOMETRY.chain(angles, layout)
    coordinates = encode(padded, padded[0], layout)
    if placement == "chain":
        rebuilt = GEOMETRY.chain(decode_angles(coordinates), layout)
        rebuilt, padded = superpose(rebuilt, padded[0]), superpose(padded, padded[0])
    else:
        rebuilt = GEOMETRY.on_frames(*decode_frames(coordinates, padded[0]), decode_angles(coordinates), layout)
        padded = superpose(padded, padded[0])
    torch.testing.assert_close(layout.unpad(rebuilt), layout.unpad(padded), atol=0.02, rtol=0)


def test_geometry_is_measured_from_conformations() -> None:
    layout, angles = _conformations(SEQUENCE, 3)
    positions = layout.unpad(GEOMETRY.chain(angles, layout))
    measured = Geometry.measure([(layout, positions)])
    torch.testing.assert_close(measured.link[1:], GEOMETRY.link[1:], atol=2e-3, rtol=0)
    present = torch.zeros_like(GEOMETRY.length, dtype=torch.bool)
    for kind, slot in zip(layout.types[layout.residue], layout.slot, strict=True):
        present[kind, slot] = slot >= 3
    torch.testing.assert_close(measured.length[present], GEOMETRY.length[present], atol=2e-3, rtol=0)
    _angles_close(measured.offset[present], GEOMETRY.offset[present], atol=1e-2)


def test_geometry_needs_every_amino_acid() -> None:
    layout, angles = _conformations("AGAGA", 2)
    with pytest.raises(ValueError, match="no inner residue of type C"):
        Geometry.measure([(layout, layout.unpad(GEOMETRY.chain(angles, layout)))])


def test_a_residue_the_model_does_not_know_is_refused() -> None:
    atoms = atoms_of("GAG")
    renamed = type(atoms)(atoms.name, np.where(atoms.residue == 1, "MSE", atoms.residue_name), atoms.residue)
    with pytest.raises(ValueError, match="twenty amino acids"):
        Layout.of(renamed)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ((2, "C"), "residue 3 lacks an atom of its backbone"),
        ((1, "CG"), "residue 2 has CD1, but lacks an atom between"),
    ],
)
def test_a_chain_with_missing_atoms_is_refused(lost: tuple[int, str], message: str) -> None:
    atoms = atoms_of("GLASW")
    with pytest.raises(ValueError, match=message):
        Layout.of(atoms.take(np.flatnonzero(~((atoms.residue == lost[0]) & (atoms.name == lost[1])))))


def test_the_end_of_a_side_chain_may_be_missing() -> None:
    atoms = atoms_of("GLASW")
    kept = np.flatnonzero(~((atoms.residue == 1) & np.isin(atoms.name, ["CD1", "CD2"])))
    assert Layout.of(atoms.take(kept)).torsion_mask()[1].sum() == Layout.of(atoms).torsion_mask()[1].sum() - 1


@pytest.mark.parametrize("placement", ["chain", "frames"])
def test_a_chain_with_missing_residues_is_refused(placement: str) -> None:
    target, positions = _target("GAVLISW")
    kept = np.flatnonzero(target.atoms.residue != 3)
    residue = np.unique(target.atoms.residue[kept], return_inverse=True)[1]
    atoms = Atoms(target.atoms.name[kept], target.atoms.residue_name[kept], residue)
    gap = Target("x", "GAVISW", atoms, target.native[kept])
    model = _untrained(placement=placement)
    for use in (lambda: model.prepare(gap, positions[:, kept]), lambda: model.sample(gap, 2, seed=0, steps=2)):
        with pytest.raises(InputError, match=r"x: residues 3 and 4 are \d\.\d A apart where a bond should join"):
            use()


def _target(sequence: str) -> tuple[Target, Positions]:
    layout, angles = _conformations(sequence, 5)
    positions = layout.unpad(GEOMETRY.chain(angles, layout)).numpy()
    return Target(sequence, sequence, atoms_of(sequence), positions[0]), positions


def _untrained(**settings: Any) -> InternalDenoiser:
    return InternalDenoiser(Config(width=32, depth=1, heads=2, pair=4, **settings), Edm(), GEOMETRY, seed=3)


def test_samples_of_an_untrained_model_have_right_bonds_and_chirality() -> None:
    target, _ = _target("WACDEFGHIK")
    samples = _untrained().sample(target, 7, seed=1, steps=4)
    assert samples.shape == (7, len(target.atoms), 3)
    assert np.isfinite(samples).all()
    layout = Layout.of(target.atoms)
    padded = layout.pad(torch.from_numpy(samples))
    bonds = (padded[:, 1:, 0] - padded[:, :-1, 2]).norm(dim=-1)
    torch.testing.assert_close(bonds, torch.full_like(bonds, 1.33), atol=1e-3, rtol=0)
    beta = dihedral(padded[:, :, 2], padded[:, :, 0], padded[:, :, 1], padded[:, :, 5])
    expected = GEOMETRY.offset[layout.types, 5]
    has_beta = layout.types != AMINO_ACIDS.index("G")
    _angles_close(beta[:, has_beta], expected[has_beta].expand(7, -1), atol=1e-3)


@pytest.mark.parametrize("placement", ["chain", "frames"])
def test_sampling_is_a_function_of_the_seed(placement: str) -> None:
    target, _ = _target("GAVLI")
    model = _untrained(placement=placement)
    first, again = (model.sample(target, 3, seed=5, steps=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - model.sample(target, 3, seed=6, steps=3)).max() > 0.1


def test_a_tetrapeptide_is_not_told_its_native_and_a_longer_one_is() -> None:
    model = _untrained()
    assert float(model.condition(_target("GAPF")[0])["known"]) == 0
    assert float(model.condition(_target("GAPFGAPF")[0])["known"]) == 1


def test_the_loss_of_absent_coordinates_is_nothing() -> None:
    target, positions = _target("GAGAG")
    model = _untrained()
    prepared = model.prepare(target, positions)
    condition = {name: value[:1].expand(5, *value.shape[1:]) for name, value in prepared.condition.items()}
    sigma, noise = torch.full((5,), 0.5), torch.randn(prepared.coordinates.shape)
    absent = condition["mask"] == 0
    other = torch.where(absent, prepared.coordinates + 9.0, prepared.coordinates)
    assert bool(absent[..., :TORSION_CHANNELS].any())
    torch.testing.assert_close(
        model.loss(other, condition, sigma, noise), model.loss(prepared.coordinates, condition, sigma, noise)
    )


def test_a_checkpoint_holds_the_model(tmp_path: Path) -> None:
    target, _ = _target("GAVLI")
    model = _untrained()
    model.save(tmp_path / "model.safetensors", {"made": "here"})
    loaded = InternalDenoiser.load(tmp_path / "model.safetensors")
    assert (loaded.config, loaded.process) == (model.config, model.process)
    np.testing.assert_allclose(
        loaded.sample(target, 2, seed=0, steps=3), model.sample(target, 2, seed=0, steps=3), atol=0.05
    )


def test_a_flow_is_trained_sampled_and_kept_like_a_diffusion(tmp_path: Path) -> None:
    target, positions = _target("GAVLI")
    flow = FlowDenoiser.fresh(3, {"width": 32, "depth": 1, "heads": 2, "pair": 4})
    flow.geometry = GEOMETRY
    prepared = flow.prepare(target, positions)
    level, noise = torch.rand(5), torch.randn(prepared.coordinates.shape)
    condition = {name: value[:1] for name, value in prepared.condition.items()}
    flow.loss(prepared.coordinates, condition, level, noise).sum().backward()
    assert any(p.grad is not None and bool(p.grad.abs().max() > 0) for p in flow.network.parameters())
    flow.save(tmp_path / "flow.safetensors", {})
    loaded = FlowDenoiser.load(tmp_path / "flow.safetensors")
    assert loaded.process == Flow()
    assert np.isfinite(loaded.sample(target, 2, seed=0, steps=3)).all()
    _untrained().save(tmp_path / "diffusion.safetensors", {})
    with pytest.raises(InputError, match="is a diffusion model, not a flow"):
        FlowDenoiser.load(tmp_path / "diffusion.safetensors")


def test_atoms_positions_add_to_the_loss_residue_by_residue() -> None:
    target, positions = _target("GAVLI")
    plain, atoms = _untrained(), _untrained(atoms=0.5)
    prepared = plain.prepare(target, positions)
    condition = {name: value[:1] for name, value in prepared.condition.items()}
    level, noise = torch.full((5,), 0.3), torch.randn(prepared.coordinates.shape)
    added = atoms.loss(prepared.coordinates, condition, level, noise) - plain.loss(
        prepared.coordinates, condition, level, noise
    )
    assert added.shape == (5, 5)
    clean = plain.denoise(
        plain.process.noised(prepared.coordinates, noise, level[:, None, None]) * condition["mask"], level, condition
    )
    layout = Layout.of(target.atoms)
    backbone = [GEOMETRY.chain(decode_angles(x), layout)[:, :, :3].flatten(1, 2) for x in (clean, prepared.coordinates)]
    by_hand = denoising_loss(*backbone, torch.ones(5, 15), plain.process.weight(level) / 9)
    torch.testing.assert_close(added, 0.5 * of_residues(by_hand, torch.arange(15) // 3, 5), atol=1e-4, rtol=1e-4)
    added.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in atoms.network.parameters() if p.grad is not None)


def test_atoms_are_trained_where_torsions_place_them() -> None:
    with pytest.raises(InputError, match="placed by torsions"):
        _untrained(atoms=1.0, placement="frames")
    model = InternalDenoiser(Config(width=32, depth=1, heads=2, pair=4, atoms=1.0), Edm())
    target, positions = _target("GA")
    prepared = model.prepare(target, positions)
    condition = {name: value[:1] for name, value in prepared.condition.items()}
    with pytest.raises(InputError, match="needs its geometry"):
        model.loss(prepared.coordinates, condition, torch.ones(5), torch.zeros_like(prepared.coordinates))


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"model\.safetensors is not a checkpoint"):
        InternalDenoiser.load(path)


def test_weights_that_are_not_finite_are_refused_in_one_line(tmp_path: Path) -> None:
    model, path = _untrained(), tmp_path / "model.safetensors"
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    model.save(path, {})
    with pytest.raises(InputError, match="not finite") as error:
        InternalDenoiser.load(path)
    assert error.value.code == "checkpoint.read"
    assert "\n" not in str(error.value)


def test_the_same_model_is_kept_as_the_same_bytes(tmp_path: Path) -> None:
    """Cards name a checkpoint by its hash: a training that is resumed at its end must not change it."""
    model, kept = _untrained(), set()
    for name in "abcdef":
        model.save(tmp_path / name, {"first": 1, "second": {"x": [1, 2]}, "third": None})
        kept.add((tmp_path / name).read_bytes())
    assert len(kept) == 1
