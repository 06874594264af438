"""Flexibility, distribution, validity, energy: closed forms, invariances, limits."""

import numpy as np
import pytest
from proteins import build, ensemble, reference, reordered, turned, wobble

from ebabench.metrics.correlation import pearson
from ebabench.metrics.distribution import DISTRIBUTION
from ebabench.metrics.energy import ENERGY
from ebabench.metrics.flexibility import FLEXIBILITY, pairwise_rmsd, rmsf
from ebabench.metrics.histograms import js_distance
from ebabench.metrics.transport import wasserstein2
from ebabench.metrics.validity import VALIDITY, ca_clash_percent
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.spec import NotAvailable
from ebabench.structures import Atoms, Ensemble, Reference
from ebabench.structures.geometry import principal_components

CHAIN = "GSHMKNSVIVDLPGSM"
TARGET = build(CHAIN)
EXACT = "exposed_mi_rho_exact"
FAMILIES = [METRICS.load(name) for name in METRICS]


def values(model, md=None, **options):
    pair = make_pair(model, md or reference(TARGET), **options)
    found = {}
    for family in FAMILIES:
        found |= family.compute(pair)
    return found


def assert_same(one, other, rtol=1e-4):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, NotAvailable):
            assert value == other[key]
        else:
            np.testing.assert_allclose(other[key], value, rtol=rtol, atol=1e-5, err_msg=key)


def test_every_family_gives_what_it_names():
    found = values(ensemble(TARGET))
    for family in FAMILIES:
        for spec in family.specs:
            assert spec.of or spec.key in found
            assert spec.reference_key is None or spec.reference_key in found
            assert all(key in found for key in spec.of)
            assert spec.version >= 1
            assert spec.title


def test_invariant_to_rotation_frame_order_and_atom_order():
    model = ensemble(TARGET)
    expected = values(model)
    shuffle = np.random.default_rng(3).permutation(len(model))
    for other in (
        Ensemble(model.target, model.atoms, turned(model.positions)),
        Ensemble(model.target, model.atoms, model.positions[shuffle]),
        reordered(model),
    ):
        assert_same(expected, values(other))


def test_deterministic():
    assert_same(values(ensemble(TARGET)), values(ensemble(TARGET)), rtol=0)


def test_the_reference_itself_is_perfect():
    """A model that is the reference, frame by frame, in other orientation and order of atoms."""
    frames = wobble(TARGET, 80, 0)
    md = Reference(TARGET, (frames,), "test")
    found = values(reordered(Ensemble("synthetic", TARGET.atoms, turned(frames))), md)
    assert found["rmsf_r"] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found["rmsf"], found["md_rmsf"], atol=1e-4)


def test_four_residues_are_enough():
    target = build("GAIK")
    found = values(ensemble(target), reference(target, frames=100))
    undefined = {key for key, value in found.items() if isinstance(value, float) and not np.isfinite(value)}
    assert undefined <= {"weak_contacts_j", "transient_contacts_j", "exposed_residue_j", "exposed_mi_rho", EXACT}
    reasons = {key: value.reason for key, value in found.items() if isinstance(value, NotAvailable)}
    assert set(reasons) == {"exposure_coupling_r", *(spec.key for spec in ENERGY.specs)}


@pytest.mark.parametrize("names", [("CA",), ("N", "CA", "C", "O", "CB")])
def test_a_partial_model_has_reasons_in_place_of_numbers(names):
    index = TARGET.atoms.select(*names)
    model = ensemble(TARGET)
    found = values(Ensemble(model.target, TARGET.atoms.take(index), model.positions[:, index]))
    whole = values(model)
    for family in FAMILIES:
        for spec in family.specs:
            if spec.of:
                continue
            if spec.needs == "ca":
                assert found[spec.key] == pytest.approx(whole[spec.key], rel=1e-4, nan_ok=True), spec.key
            elif spec.needs in ("heavy", "energy") or names == ("CA",):
                assert isinstance(found[spec.key], NotAvailable), spec.key


def test_rmsf_of_known_fluctuations():
    rng = np.random.default_rng(0)
    width = np.array([0.5, 1.0, 3.0])
    frames = 10 + width[:, None] * rng.standard_normal((20000, 3, 3))
    np.testing.assert_allclose(rmsf(frames), np.sqrt(3) * width, rtol=0.02)
    assert rmsf(frames[:1]).max() == 0


def test_pairwise_rmsd_of_shifted_copies():
    one = np.random.default_rng(0).standard_normal((1, 7, 3)).astype(np.float32)
    away = pairwise_rmsd(one, one + np.array([[[3.0, 4.0, 0.0]]]))
    np.testing.assert_allclose(away, [[5.0]], rtol=1e-6)


def test_pairwise_rmsd_of_independent_noise():
    """<|x - y|^2> of two independent atoms of width s is 6 s^2."""
    frames = np.random.default_rng(0).standard_normal((300, 200, 3)).astype(np.float32)
    np.testing.assert_allclose(pairwise_rmsd(frames[:150], frames[150:]).mean(), np.sqrt(6), rtol=0.01)


def test_collapsed_and_wild_models_show_in_pairwise_rmsd():
    md = reference(TARGET)
    still = values(Ensemble("synthetic", TARGET.atoms, wobble(TARGET, 40, 9, 0.05, 0.02)), md)
    wild = values(Ensemble("synthetic", TARGET.atoms, wobble(TARGET, 40, 9, 1.5)), md)
    assert still["pairwise_rmsd"] < still["md_pairwise_rmsd"] < wild["pairwise_rmsd"]
    assert still["md_pairwise_rmsd"] == wild["md_pairwise_rmsd"]


def test_pearson():
    x = np.arange(5.0)
    assert pearson(x, 3 * x + 1) == pytest.approx(1)
    assert pearson(x, -x) == pytest.approx(-1)
    assert np.isnan(pearson(x, np.ones(5)))


def test_wasserstein_of_a_shift_is_the_shift():
    points = np.random.default_rng(0).standard_normal((60, 2))
    assert wasserstein2(points, points) == pytest.approx(0, abs=1e-6)
    assert wasserstein2(points, points + np.array([3, 4])) == pytest.approx(5)
    assert wasserstein2(points[:1], points[:1] + np.array([1, 0])) == pytest.approx(1)


def test_wasserstein_between_gaussians_on_a_line():
    """W2 of N(0, 1) and N(m, s^2) is sqrt(m^2 + (s - 1)^2); exact here, for quantiles of both."""
    from scipy.stats import norm

    quantiles = norm.ppf((np.arange(400) + 0.5) / 400)[:, None]
    scale = float(np.sqrt((quantiles**2).mean()))
    assert wasserstein2(quantiles, 2 + 3 * quantiles) == pytest.approx(np.sqrt(4 + 4 * scale**2), rel=1e-6)


def test_principal_components_find_the_direction_of_motion():
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(30)
    direction /= np.linalg.norm(direction)
    frames = (5 * rng.standard_normal((200, 1)) * direction + 0.1 * rng.standard_normal((200, 30))).reshape(200, 10, 3)
    mean, axes = principal_components(frames, 2)
    assert abs(axes[0] @ direction) > 0.999
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-10)
    np.testing.assert_allclose(mean, frames.reshape(200, -1).mean(0))


def test_distance_grows_with_the_error():
    md = reference(TARGET)
    by_amplitude = [values(ensemble(TARGET, amplitude=a), md)["md_pca_w2"] for a in (0.6, 1.5, 4.0)]
    assert by_amplitude == sorted(by_amplitude)


def test_clashes():
    line = np.zeros((4, 5, 3), np.float32)
    line[..., 0] = 3.8 * np.arange(5)
    place = np.arange(5)
    assert ca_clash_percent(line, place) == 0
    line[2, 4] = line[2, 1] + np.float32([0, 2.9, 0])
    assert ca_clash_percent(line, place) == 25
    # A cis peptide brings neighbours to 2.9 angstrom: no clash. Nor do neighbours across missing residues count twice.
    line[3, 1] = line[3, 0] + np.float32([0, 2.9, 0])
    assert ca_clash_percent(line, place) == 25
    assert np.isnan(ca_clash_percent(line[:, :2], place[:2]))


def test_validity_of_ideal_geometry_and_its_ruin():
    rng = np.random.default_rng(0)
    ideal = turned(np.repeat(TARGET.native[None], 10, 0)) + 0.01 * rng.standard_normal((10, len(TARGET.atoms), 3))
    good = values(Ensemble("synthetic", TARGET.atoms, ideal.astype(np.float32)))
    assert [good[k] for k in ("ca_clash_percent", "peptide_bond_break_percent", "chirality_error_percent")] == [0, 0, 0]
    assert good["md_peptide_bond_break_percent"] > 0
    broken = ideal.copy()
    c = np.flatnonzero((TARGET.atoms.residue == 7) & (TARGET.atoms.name == "C"))[0]
    n = np.flatnonzero((TARGET.atoms.residue == 8) & (TARGET.atoms.name == "N"))[0]
    broken[:, TARGET.atoms.residue > 7] += 0.5 * (ideal[:, n] - ideal[:, c])[:, None]
    found = values(Ensemble("synthetic", TARGET.atoms, broken.astype(np.float32)))
    assert found["peptide_bond_break_percent"] == pytest.approx(100 / 15)
    # One hand changed: the C-beta of a valine through its C-alpha.
    chiral = ideal.copy()
    ca, cb = (np.flatnonzero((TARGET.atoms.residue == 7) & (TARGET.atoms.name == name))[0] for name in ("CA", "CB"))
    chiral[:, cb] = 2 * chiral[:, ca] - chiral[:, cb]
    found = values(Ensemble("synthetic", TARGET.atoms, chiral.astype(np.float32)))
    centers = 16 - 2 + 1  # two glycines, one isoleucine
    assert found["chirality_error_percent"] == pytest.approx(100 / centers)


def energy_js(model, md):
    return float(js_distance(model[:, None], md[:, None])[0])


def test_js_of_energies():
    rng = np.random.default_rng(0)
    md = rng.standard_normal(250)
    assert energy_js(md, md) == 0
    assert energy_js(md + 100, md) == pytest.approx(1)
    assert energy_js(md - 100, md) == pytest.approx(1)
    half = np.concatenate([md, np.full(250, np.inf)])
    # Half in MD's bins, half elsewhere: entropy of (3/4, 1/4) less half that of (1/2, 1/2).
    assert energy_js(half, md) ** 2 == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * 2 - 0.5)
    shifted = [energy_js(md + shift, md) for shift in (0.1, 0.5, 1.0, 2.0)]
    assert shifted == sorted(shifted)
    # One absurd energy moves one sample's weight, and does not stretch the bins.
    assert energy_js(np.append(md[1:], 1e9), md) < 0.1
    assert energy_js(np.full(3, 7.0), np.full(9, 7.0)) == 0
    assert energy_js(np.full(3, 7.1), np.full(9, 7.0)) == 1


@pytest.fixture
def energies(monkeypatch):
    """Energy is the first coordinate of the first atom; above 900 there is none."""
    import ebabench.physics.energy as module

    def potential_energies(atoms: Atoms, positions, protocol):
        assert protocol == "toy"
        first = positions[:, 0, 0].astype(np.float64)
        return np.where(first > 900, np.nan, first)

    monkeypatch.setattr(module, "potential_energies", potential_energies)


def test_energy_distances(energies):
    md = reference(TARGET)
    pair = make_pair(ensemble(TARGET), md)
    drawn = Reference(TARGET, (np.concatenate(md.replicas)[pair.md_draw],), "test")
    unlike = Ensemble("synthetic", TARGET.atoms, wobble(TARGET, 40, 5) + np.float32(7))
    apart = {}
    for shift in (0, 20):
        there = Ensemble("synthetic", TARGET.atoms, unlike.positions + np.float32([shift, 0, 0]))
        found = values(there, drawn, energy_protocol="toy")
        apart[shift] = found["energy_w1"]
        assert found["energy_failed_percent"] == 0
    assert apart[20] - apart[0] == pytest.approx(20, abs=1e-3)


def test_structures_without_energy_are_counted(energies):
    model = ensemble(TARGET)
    some, most = model.positions.copy(), model.positions.copy()
    some[:10] += np.float32(2000)
    most[:30] += np.float32(2000)
    found = values(Ensemble("synthetic", TARGET.atoms, some), energy_protocol="toy")
    plain = values(Ensemble("synthetic", TARGET.atoms, model.positions[10:]), energy_protocol="toy")
    assert found["energy_failed_percent"] == 25
    assert found["energy_js"] > plain["energy_js"]
    assert found["energy_w1"] > 0
    found = values(Ensemble("synthetic", TARGET.atoms, most), energy_protocol="toy")
    assert found["energy_w1"] == NotAvailable("30 of 40 structures have no energy")
    assert found["energy_js"] > 0.7


def test_families_are_named_as_their_constants_say():
    assert [m.name for m in (FLEXIBILITY, DISTRIBUTION, VALIDITY, ENERGY)] == [
        "flexibility", "distribution", "validity", "energy",
    ]  # fmt: skip
    keys = [spec.key for family in FAMILIES for spec in family.specs]
    assert len(keys) == len(set(keys))
