"""Harmonic free energies with springs: closed forms and limits."""

from pathlib import Path

import numpy as np
import pytest
from proteins import STRAND, build, turned

from ebabench.errors import InputError
from ebabench.physics.accelerate import Terms, read_terms
from ebabench.physics.free_energy import GAS_CONSTANT, FreeEnergies, free_energies, hessian
from ebabench.physics.preparation import build_template
from ebabench.physics.protocols import PROTOCOLS
from ebabench.structures import Atoms
from ebabench.structures.arrays import FloatArray, Positions

OBC = "amber99sbildn-obc"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def peptide() -> tuple[Atoms, Positions]:
    target = build("GA", STRAND[:2])
    noise = 0.05 * np.random.default_rng(0).standard_normal((2, *target.native.shape))
    return target.atoms, (target.native + noise).astype(np.float32)


@pytest.fixture(scope="module")
def found(peptide: tuple[Atoms, Positions]) -> FreeEnergies:
    return free_energies(*peptide, OBC, 300.0)


def _force_field(atoms: Atoms, frame: Positions) -> tuple[Terms, FloatArray]:
    template = build_template(atoms, PROTOCOLS[OBC])
    return read_terms(template.system)[0], template.complete(frame[None])[0]


def test_second_derivatives_are_those_of_the_energy(peptide: tuple[Atoms, Positions]) -> None:
    """Along random directions, and zero along shifts of the whole molecule."""
    force_field, where = _force_field(peptide[0], peptide[1][0])
    curvature = hessian(force_field, where)
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(where.shape)
        ahead, here, behind = (force_field(where + h * direction)[0] for h in (1e-4, 0.0, -1e-4))
        second = (ahead - 2 * here + behind) / 1e-8
        assert direction.ravel() @ curvature @ direction.ravel() == pytest.approx(second, rel=1e-3)
    shift = np.tile([1.0, 0.0, 0.0], len(where))
    assert np.abs(curvature @ shift).max() < 1e-3 * np.abs(curvature).max()


def test_turning_a_molecule_leaves_its_free_energy(peptide: tuple[Atoms, Positions], found: FreeEnergies) -> None:
    atoms, frames = peptide
    again = free_energies(atoms, turned(frames), OBC, 300.0)
    for name in ("minimised", "spring", "vibration", "total"):
        np.testing.assert_allclose(getattr(again, name), getattr(found, name), atol=0.05)


def test_springs_have_a_positive_energy_and_lift_all_soft_modes(found: FreeEnergies) -> None:
    assert (found.spring > 0).all()
    assert (found.softest > 0).all()


def test_vibration_grows_with_temperature(peptide: tuple[Atoms, Positions], found: FreeEnergies) -> None:
    hot = free_energies(*peptide, OBC, 600.0)
    np.testing.assert_allclose(hot.vibration, 2 * found.vibration, rtol=1e-6)
    np.testing.assert_allclose(hot.minimised, found.minimised, atol=1e-6)


def test_stiff_springs_have_half_kt_per_coordinate_and_no_energy(peptide: tuple[Atoms, Positions]) -> None:
    """Doubling k adds kT/2 ln 2 for each coordinate of a heavy atom, of which the second oxygen of the end is one."""
    atoms, frames = peptide
    stiff = [free_energies(atoms, frames[:1], OBC, 300.0, k) for k in (1e8, 2e8)]
    expected = GAS_CONSTANT * 300 / 2 * 3 * (len(atoms) + 1) * np.log(2)
    assert float(stiff[1].vibration[0] - stiff[0].vibration[0]) == pytest.approx(expected, rel=0.01)
    assert float(stiff[1].spring[0]) < 1.0


@pytest.mark.parametrize("protocol", ["amber14-gbn2", "charmm36-gbn2", f"{OBC}@2nm"])
def test_protocols_without_springs_or_with_a_cutoff_are_refused(
    peptide: tuple[Atoms, Positions], protocol: str
) -> None:
    with pytest.raises(InputError) as raised:
        free_energies(*peptide, protocol, 300.0)
    assert raised.value.code == "energy.protocol"


def test_a_frame_without_an_energy_has_no_free_energy(peptide: tuple[Atoms, Positions]) -> None:
    atoms, frames = peptide
    broken = frames.copy()
    broken[1, 2] = np.nan
    found = free_energies(atoms, broken, OBC, 300.0)
    assert np.isnan(found.total).tolist() == [False, True]
