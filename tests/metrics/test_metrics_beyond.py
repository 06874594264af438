"""Beyond the panel: closed forms and limits of what the field now asks for."""

import numpy as np
import pytest
from proteins import HELIX, STRAND, build, bundle, ensemble, reference, turned, wobble

from ebabench.metrics.divergence import radius_of_gyration
from ebabench.metrics.flexibility import cross_correlation
from ebabench.metrics.histograms import js_distance
from ebabench.metrics.kernels.lddt import lddt
from ebabench.metrics.ramachandran import basin_populations
from ebabench.metrics.secondary_structure import secondary_structure
from ebabench.metrics.tica import slow_axes
from ebabench.metrics.transport import torus_w2
from ebabench.metrics.validity import bonds
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.spec import NotAvailable
from ebabench.structures import Ensemble, Reference
from ebabench.structures.geometry import torsions

TARGET = bundle("GSLMKNFVIVDLLASMKVLFWEKLLAHIVDAFSLGKLIVT")


def values(model: Ensemble, md: Reference) -> dict:
    pair = make_pair(model, md)
    found = {}
    for name in METRICS:
        found |= METRICS.load(name).compute(pair)
    return found


def test_the_better_model_is_better_in_everything():
    """One model moves as MD does, the other three times as far."""
    md = reference(TARGET, frames=100)
    near = values(Ensemble("synthetic", TARGET.atoms, wobble(TARGET, 100, 50, 0.6, 0.15)), md)
    far = values(Ensemble("synthetic", TARGET.atoms, turned(wobble(TARGET, 100, 50, 1.8, 0.45))), md)
    lower = (
        "rmsf_mae", "pairwise_rmsd_mae", "dccm_mae", "ramachandran_w2", "js_pairwise_distance", "js_radius_of_gyration",
        "js_tic", "contact_rmse", "bond_length_z", "secondary_structure_mae", "basin_populations_tv",
    )  # fmt: skip
    assert [key for key in lower if not near[key] < far[key]] == []
    assert far["precision"] < near["precision"] <= 1
    assert far["recall"] < near["recall"] <= 1
    assert abs(near["diversity"] - near["md_diversity"]) < 0.02 < far["diversity"] - far["md_diversity"]
    assert near["md_bond_length_z"] == pytest.approx(1, abs=0.05)
    assert near["dccm_r"] > 0.9


def test_md_itself_has_no_divergence():
    frames = wobble(TARGET, 60, 0)
    md = Reference(TARGET, (frames,), "test")
    drawn = make_pair(Ensemble("synthetic", TARGET.atoms, frames), md).md_draw
    once = np.unique(drawn)
    found = values(Ensemble("synthetic", TARGET.atoms, turned(frames)), md)
    assert found["recall"] == pytest.approx(1)
    assert found["dccm_r"] == pytest.approx(1)
    assert found["dccm_mae"] == pytest.approx(0, abs=1e-5)
    assert found["rmsf_mae"] == pytest.approx(0, abs=1e-4)
    assert len(once) < 60  # draws repeat: distributions differ by that, and by no more
    assert found["js_radius_of_gyration"] < 0.5


def test_tetrapeptides_have_what_they_can():
    target = build("GAIK")
    found = values(ensemble(target), reference(target))
    assert np.isfinite([found[k] for k in ("dccm_r", "ramachandran_w2", "js_tic", "precision", "contact_rmse")]).all()
    pair = build("GA")
    found = values(ensemble(pair), reference(pair))
    reasons = {key: value.reason for key, value in found.items() if isinstance(value, NotAvailable)}
    assert reasons.keys() == {
        "ramachandran_w2", "basin_populations_tv", "alpha_percent", "md_alpha_percent", "js_pairwise_distance",
        "js_tic", "contact_rmse", "ca_clash_percent", "md_ca_clash_percent", "js_side_chain_torsions",
        "exposure_coupling_r", "pc_sim", *(spec.key for spec in METRICS.load("energy").specs),
    }  # fmt: skip


def test_cross_correlation_of_atoms_that_move_together_apart_and_alone():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 20000, 3)).astype(np.float32)
    found = cross_correlation(np.stack([a, 2 * a, -a, b], axis=1))
    np.testing.assert_allclose(found[:3, :3], [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-4)
    np.testing.assert_allclose(found[3, :3], 0, atol=0.03)


def test_js_of_gaussians_a_distance_apart():
    """Against the integral, for histograms fine enough."""
    rng = np.random.default_rng(0)
    x = np.linspace(-8, 10, 4001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (0, 2))
    mean = (p + q) / 2
    divergence = np.trapezoid(p * np.log2(p / mean) + q * np.log2(q / mean), x) / 2
    md, model = rng.standard_normal((2, 100_000, 1))
    found = js_distance(model + 2, md)
    assert found == pytest.approx(np.sqrt(divergence), rel=0.02)
    assert js_distance(md, md) == 0


def test_js_is_per_observable():
    rng = np.random.default_rng(0)
    md = rng.random((200, 3))
    model = md.copy()
    model[:, 1] += 5
    np.testing.assert_allclose(js_distance(model, md), [0, 1, 0], atol=1e-12)


def test_torsions_of_an_ideal_chain():
    for ideal in (HELIX, STRAND):
        target = build("GAVK", ideal)
        residues, angles = torsions(target.atoms, np.arange(4), target.native[None])
        np.testing.assert_array_equal(residues, [1, 2])
        np.testing.assert_allclose(np.degrees(angles[0]), [ideal, ideal], atol=0.1)


def test_torsions_skip_the_ends_of_gaps():
    target = build("GAVKLM")
    residues, _ = torsions(target.atoms, np.array([0, 1, 2, 5, 6, 7]), target.native[None])
    np.testing.assert_array_equal(residues, [1, 6])


def test_distance_on_the_torus():
    rng = np.random.default_rng(0)
    angles = rng.uniform(-np.pi, np.pi, (50, 2))
    assert torus_w2(angles, angles + 2 * np.pi) == pytest.approx(0, abs=1e-4)
    assert torus_w2(angles, angles + np.radians([3.0, 4.0])) == pytest.approx(5)
    # Across the cut at 180 degrees the way is short.
    assert torus_w2(np.full((5, 1), np.radians(179)), np.full((5, 1), np.radians(-179))) == pytest.approx(2)


def test_basins_of_known_conformations():
    """Alpha helix, 3-10 helix, both sheets, polyproline II, left-handed helix, and either side of every border."""
    degrees = {
        0: [(-57, -47), (-49, -26), (-150, -100), (-150, 50), (0, 0)],
        1: [(-139, 135), (-119, 113), (-180, 180), (180, 180), (-100, 60), (-150, -101), (-150, 51)],
        2: [(-75, 145), (-99, 60), (-10, 51), (-60, -101), (-60, -179)],
        3: [(57, 47), (75, -60), (1, 0), (179, 179)],
    }
    for basin, angles in degrees.items():
        shares = basin_populations(np.radians(angles)[:, None])
        np.testing.assert_array_equal(shares, np.eye(4)[[basin]])


def test_basins_cover_the_torus_and_forget_whole_turns():
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (20000, 2, 2))
    shares = basin_populations(angles)
    # Areas: 180 x 150, 80 x 210, 100 x 210 and 180 x 360 of 360 x 360 square degrees.
    expected = np.array([27000, 16800, 21000, 64800]) / 129600
    np.testing.assert_allclose(shares, [expected, expected], atol=0.015)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_array_equal(basin_populations(angles + 2 * np.pi), shares)
    np.testing.assert_array_equal(basin_populations(angles[::-1]), shares)


def mixed(helical: int, extended: int) -> np.ndarray:
    """That many frames of a helix and of a strand, none like another."""
    helix, strand = build("GAVLK", HELIX), build("GAVLK", STRAND)
    return np.concatenate([wobble(helix, helical, 1, 0.1, 0.02), wobble(strand, extended, 2, 0.1, 0.02)])


def test_distance_of_basin_populations_is_what_would_have_to_move():
    target = build("GAVLK", HELIX)
    for helical, share in ((40, 0), (30, 25), (20, 50), (0, 100)):
        model = Ensemble("synthetic", target.atoms, turned(mixed(helical, 40 - helical)))
        found = values(model, Reference(target, (mixed(50, 0),), "test"))
        assert found["basin_populations_tv"] == pytest.approx(share)
        assert found["alpha_percent"] == pytest.approx(100 - share)
        assert found["md_alpha_percent"] == pytest.approx(100)


def test_basins_need_a_backbone():
    target = build("GAVLK")
    ca = target.atoms.select("CA", "CB")
    model = ensemble(target)
    found = values(Ensemble("synthetic", target.atoms.take(ca), model.positions[:, ca]), reference(target))
    for key in ("basin_populations_tv", "alpha_percent", "md_alpha_percent", "ramachandran_w2"):
        assert "lacks backbone atoms: N, C, O" in found[key].reason


def test_radius_of_gyration_of_a_rod():
    rod = np.zeros((1, 101, 3))
    rod[0, :, 0] = np.linspace(-5, 5, 101)
    assert radius_of_gyration(rod)[0] == pytest.approx(10 / np.sqrt(12), rel=0.02)


def test_slow_axes_find_the_slow_coordinate_and_do_not_cross_replicas():
    rng = np.random.default_rng(0)
    slow = np.zeros(4000)
    for k in range(1, 4000):
        slow[k] = 0.99 * slow[k - 1] + rng.standard_normal()
    features = np.stack([100 * rng.standard_normal(4000), slow / slow.std(), rng.standard_normal(4000)], axis=1)
    axis = slow_axes(features, (2000, 2000), 5, 1)[:, 0]
    weight = np.abs(axis) * features.std(0)
    assert weight[1] > 0.95 * weight.sum()
    # A third replica of one frame, far off, has no pair of frames: it changes nothing.
    short = slow_axes(np.concatenate([features, [[1e9, 1e9, 1e9]]]), (2000, 2000, 1), 5, 1)[:, 0]
    np.testing.assert_allclose(np.abs(short), np.abs(axis), rtol=1e-6)


def test_lddt():
    target = bundle("GSLMKNFVIVDLLASMKVLFWEKLLAHIVDAFSLGKLIVT")
    ca = target.native[target.atoms.select("CA")][None]
    assert lddt(ca, turned(ca)) == pytest.approx(1)
    # A chain grown by f: a pair of distance d is off by (f - 1) d.
    true = np.linalg.norm(ca[0, :, None] - ca[0], axis=-1)[np.triu_indices(ca.shape[1], 1)]
    error = 0.2 * true[true < 15]
    expected = np.mean([(error < limit).mean() for limit in (0.5, 1, 2, 4)])
    assert lddt(1.2 * ca, ca) == pytest.approx(expected, rel=1e-4)
    assert lddt(100 * ca, ca) < 0.01
    assert np.isnan(lddt(ca[:, :1], ca[:, :1]))


def test_secondary_structure_of_helix_and_strand():
    helix, strand = build("A" * 14, HELIX), build("A" * 14, STRAND)
    shares = secondary_structure(helix.atoms, helix.native[None])
    np.testing.assert_array_equal(shares[3:-3], [[1, 0, 0]] * 8)
    alone = secondary_structure(strand.atoms, strand.native[None])
    np.testing.assert_array_equal(alone, [[0, 0, 1]] * 14)
    np.testing.assert_allclose(secondary_structure(helix.atoms, wobble(helix, 5, 0)).sum(1), 1)


def test_bonds_are_those_of_chemistry():
    target = build("GAPWC")
    pair = make_pair(ensemble(target), reference(target))
    first, second = bonds(pair)
    # Atoms of a tree have one bond fewer; a ring adds one: proline one, tryptophan two.
    assert len(first) == len(target.atoms) - 1 + 3
    names = {
        tuple(sorted((str(target.atoms.name[a]), str(target.atoms.name[b]))))
        for a, b in zip(first, second, strict=True)
    }
    assert {("C", "N"), ("CA", "N"), ("CB", "SG"), ("CD", "N"), ("CD2", "CE2")} <= names
