"""The panel of Jing et al. against a plain transcription of its definitions, frame by frame, pair by pair.

The case is made here: a synthetic bundle of helices, the model once in the reference's order of atoms and once in
AlphaFold's. What the transcription gave when it was written is frozen as well.
"""

import itertools
import warnings

import numpy as np
import pytest
from proteins import build, bundle, ensemble, reference, reordered, turned, wobble

from ebabench.metrics.contacts import contact_frequency, jaccard
from ebabench.metrics.correlation import spearman
from ebabench.metrics.distribution import gaussians, rmwd
from ebabench.metrics.exposure import mutual_information
from ebabench.metrics.kernels.surface import POINTS, exposed, sphere_points
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.spec import NotAvailable
from ebabench.structures import Atoms, Ensemble, Reference

CHAIN = "GSLMKNFVIVDLLASMKVLFWEKLLAHIVDAFSLGKLIVT"
TARGET = bundle(CHAIN)
ALPHAFOLD = {"N": 0, "CA": 1, "C": 2, "CB": 3, "O": 4}
FROZEN = {
    "md_pairwise_rmsd": 1.69545,
    "pairwise_rmsd": 3.05998,
    "rmsf_r": 0.915513,
    "rmsf": 2.26363,
    "md_rmsf": 1.11668,
    "rmwd_translation": 0.241174,
    "rmwd_variance": 1.15877,
    "rmwd": 1.18361,
    "md_pca_w2": 1.18365,
    "joint_pca_w2": 1.31334,
    "md_vs_md_pca_w2": 0.483159,
    "pc_sim": 0.938279,
    "weak_contacts_j": 0.606557,
    "transient_contacts_j": 0.446328,
    "exposed_residue_j": 0.857143,
    "exposed_mi_rho_exact": 0.651857,
}


def case() -> tuple[Ensemble, Reference]:
    md = Reference(TARGET, tuple(wobble(TARGET, 25, seed, 1.0) for seed in range(3)), "test")
    model = Ensemble("synthetic", TARGET.atoms, turned(wobble(TARGET, 20, 77, 1.6, 0.25)))
    return model, md


def alphafold_order(one: Ensemble) -> Ensemble:
    rank = [ALPHAFOLD.get(str(name), 5) for name in one.atoms.name]
    order = np.lexsort((np.arange(len(rank)), rank, one.atoms.residue))
    return Ensemble(one.target, one.atoms.take(order), one.positions[:, order])


def scored(model: Ensemble, md: Reference, protocol: str = "corrected") -> dict:
    pair = make_pair(model, md, protocol=protocol)
    values = {}
    for name in ("flexibility", "distribution", "contacts", "exposure"):
        values |= METRICS.load(name).compute(pair)
    return values


# ---- the transcription: one loop a definition, mdtraj for superposition and areas -----------------------------------


def trajectory(atoms: Atoms, positions):
    import mdtraj

    topology = mdtraj.Topology()
    chain, residues = topology.add_chain(), {}
    for name, residue_name, number in zip(atoms.name, atoms.residue_name, atoms.residue, strict=True):
        if number not in residues:
            residues[number] = topology.add_residue(str(residue_name), chain)
        topology.add_atom(str(name), mdtraj.element.Element.getBySymbol(str(name)[0]), residues[number])
    return mdtraj.Trajectory(positions / 10, topology)


def side_chain_areas(atoms: Atoms, frames, single=False):
    import mdtraj

    areas = np.zeros((len(frames), len(CHAIN)))
    for k, frame in enumerate(frames):
        of_atom = mdtraj.shrake_rupley(trajectory(atoms, frame[None]), probe_radius=0.28)[0]
        for name, number, area in zip(atoms.name, atoms.residue, of_atom, strict=True):
            radius = {"C": 0.17, "N": 0.155, "O": 0.152, "S": 0.18}[str(name)[0]] + 0.28
            point = 4 * np.pi * radius**2 / 960
            if name not in ("N", "CA", "C", "O", "OXT"):
                areas[k, number] += area if single else area / (1 - point)
    return areas


def moments(frames):
    mean = np.mean(frames, axis=0)
    return mean, np.array([np.cov(frames[:, k].T, bias=True) for k in range(frames.shape[1])])


def information(indicator):
    from sklearn.metrics import mutual_info_score

    residues = indicator.shape[1]
    found = np.zeros((residues, residues))
    for i, j in itertools.combinations(range(residues), 2):
        found[i, j] = found[j, i] = mutual_info_score(indicator[:, i], indicator[:, j])
    return np.where(found < 1e-12, 0, found)


def transport(first, second, atoms):
    from scipy.optimize import linear_sum_assignment

    cost = ((first[:, None] - second[None]) ** 2).sum(-1) / atoms
    return np.sqrt(cost[linear_sum_assignment(cost)].mean())


def transcription(model: Ensemble, md: Reference, surface_atoms: Atoms) -> dict:
    from scipy.linalg import sqrtm
    from scipy.stats import pearsonr, spearmanr
    from sklearn.decomposition import PCA

    row = {(r, n): k for k, (r, n) in enumerate(zip(model.atoms.residue, model.atoms.name, strict=True))}
    order = [row[key] for key in zip(TARGET.atoms.residue, TARGET.atoms.name, strict=True)]
    native = trajectory(TARGET.atoms, TARGET.native[None])
    ref = trajectory(TARGET.atoms, np.concatenate(md.replicas)).superpose(native)
    own = trajectory(TARGET.atoms, model.positions[:, order]).superpose(native)
    random = np.random.RandomState(137)
    a, b, c = (random.randint(0, len(ref), size) for size in (len(own), len(own), 1000))
    alpha = [k for k, name in enumerate(TARGET.atoms.name) if name == "CA"]
    ref_ca, own_ca, native_ca = (x.atom_slice(alpha) for x in (ref, own, native))
    ref_ca, own_ca = ref_ca.superpose(native_ca).xyz * 10, own_ca.superpose(native_ca).xyz * 10
    n = len(alpha)
    out = {
        "md_pairwise_rmsd": np.mean([np.sqrt(((ref_ca[i] - ref_ca[j]) ** 2).sum() / n) for i in a for j in b]),
        "pairwise_rmsd": np.mean([np.sqrt(((x - y) ** 2).sum() / n) for x in own_ca for y in own_ca]),
    }
    fluctuation = [np.sqrt(((x.xyz - x.xyz.mean(0)) ** 2).sum(2).mean(0)) * 10 for x in (own, ref)]
    out |= {"rmsf_r": pearsonr(*fluctuation)[0]}
    out |= {"rmsf": np.median(fluctuation[0]), "md_rmsf": np.median(fluctuation[1])}
    (m1, s1), (m2, s2) = moments(own.xyz * 10.0), moments(ref.xyz[c] * 10.0)
    out["rmwd_translation"] = np.sqrt(((m1 - m2) ** 2).sum(1).mean())
    out["rmwd_variance"] = np.sqrt(
        np.mean([np.trace(x + y - 2 * sqrtm(x @ y).real) for x, y in zip(s1, s2, strict=True)])
    )
    out["rmwd"] = np.sqrt(out["rmwd_translation"] ** 2 + out["rmwd_variance"] ** 2)
    flat = [x.reshape(len(x), -1).astype(float) for x in (ref_ca, own_ca)]
    plane, both, alone = PCA(2).fit(flat[0]), PCA(2).fit(np.concatenate([flat[0][a], flat[1]])), PCA(2).fit(flat[1])
    out["md_pca_w2"] = transport(plane.transform(flat[0][a]), plane.transform(flat[1]), n)
    out["joint_pca_w2"] = transport(both.transform(flat[0][a]), both.transform(flat[1]), n)
    out["md_vs_md_pca_w2"] = transport(plane.transform(flat[0][a]), plane.transform(flat[0][b]), n)
    out["pc_sim"] = abs(np.dot(plane.components_[0], alone.components_[0]))

    def pairs(frames, keep):
        near = {(i, j): 0 for i in range(n) for j in range(i)}
        for frame in frames:
            for i, j in near:
                near[i, j] += np.linalg.norm(frame[i] - frame[j]) < 8
        return {key for key, count in near.items() if keep(count / len(frames))}

    def ratio(x, y):
        return len(x & y) / len(x | y)

    touching = pairs(native_ca.xyz * 10, lambda share: share > 0)
    weak = [touching & pairs(x, lambda share: share < 0.9) for x in (own_ca, ref_ca[a])]
    transient = [pairs(x, lambda share: share > 0.1) - touching for x in (own_ca, ref_ca[a])]
    out |= {"weak_contacts_j": ratio(*weak), "transient_contacts_j": ratio(*transient)}
    buried = side_chain_areas(TARGET.atoms, native.xyz * 10, single=True)[0] < 0.02
    open_ = [
        side_chain_areas(surface_atoms, own.xyz * 10) > 0.02,
        (side_chain_areas(TARGET.atoms, ref.xyz * 10) > 0.02)[c],
    ]
    bare = [{r for r in range(n) if buried[r] and x[:, r].mean() > 0.1} for x in open_]
    out["exposed_residue_j"] = ratio(*bare)
    out["exposed_mi_rho_exact"] = spearmanr(information(open_[0]).ravel(), information(open_[1]).ravel())[0]
    return out


def assert_transcribed(values: dict, expected: dict) -> None:
    for key, value in expected.items():
        tolerance = 1e-9 if key.endswith("_j") else 1e-3
        assert np.median(values[key]) == pytest.approx(value, rel=tolerance), key


@pytest.fixture(scope="module")
def expected():
    model, md = case()
    return transcription(model, md, TARGET.atoms)


@pytest.mark.slow
def test_corrected_is_the_definition_in_any_order_of_atoms(expected):
    model, md = case()
    for one in (model, alphafold_order(model), reordered(model)):
        assert_transcribed(scored(one, md), expected)


@pytest.mark.slow
def test_the_case_is_worth_its_name(expected):
    """Every figure of the case is defined, and no Jaccard or correlation is at its limit."""
    assert np.isfinite(list(expected.values())).all()
    assert all(0.1 < expected[key] < 0.95 for key in expected if key.endswith(("_j", "_exact", "rmsf_r", "_sim"))), (
        expected
    )


@pytest.mark.slow
def test_what_the_transcription_gave(expected):
    for key, value in FROZEN.items():
        assert expected[key] == pytest.approx(value, rel=1e-3), key
    assert FROZEN.keys() == expected.keys()


@pytest.mark.slow
def test_alphaflow_names_the_models_atoms_in_the_models_order(expected):
    model, md = case()
    other = alphafold_order(model)
    published = scored(other, md, "alphaflow")
    assert_transcribed(published, transcription(other, md, other.atoms))
    corrected = scored(other, md)
    assert abs(published["exposed_mi_rho_exact"] - corrected["exposed_mi_rho_exact"]) > 0.01
    changed = {key for key in corrected if not np.array_equal(corrected[key], published[key])}
    assert changed <= {"exposed_residue_j", "exposed_mi_rho", "exposed_mi_rho_exact", "exposure_coupling_r"}
    same = scored(model, md, "alphaflow")
    assert all(np.array_equal(same[key], corrected[key]) or abs(same[key] - corrected[key]) < 1e-6 for key in changed)


# ---- its parts -----------------------------------------------------------------------------------------------------


def test_the_kernel_finds_what_mdtraj_finds():
    """Frame by frame, every residue; also where atoms are few, crowded or far apart."""
    for target, scale in ((TARGET, 1.0), (build("GAWK"), 1.0), (build("GAIK"), 30.0), (build("LLLL"), 0.5)):
        frames = wobble(target, 12, 3, 1.0, 0.4) * np.float32(scale)
        for frame in frames:
            plain = _areas(target.atoms, frame)
            far = np.abs(plain - 2.0) > 1e-4
            np.testing.assert_array_equal(exposed(target.atoms, frame[None])[0][far], (plain > 2.0)[far])


def _areas(atoms, frame):
    import mdtraj

    of_atom = 100 * mdtraj.shrake_rupley(trajectory(atoms, frame[None]), probe_radius=0.28)[0]
    side = ~np.isin(atoms.name, ["N", "CA", "C", "O", "OXT"])
    return np.bincount(atoms.residue[side], of_atom[side], minlength=atoms.residue[-1] + 1)


def test_exposure_is_blind_to_the_order_of_frames():
    frames = wobble(TARGET, 30, 3)
    shuffle = np.random.default_rng(0).permutation(30)
    np.testing.assert_array_equal(exposed(TARGET.atoms, frames)[shuffle], exposed(TARGET.atoms, frames[shuffle]))


def test_limits_of_exposure():
    alone = build("A")
    assert exposed(alone.atoms, alone.native[None]).tolist() == [[True]]
    assert not exposed(TARGET.atoms, wobble(TARGET, 5, 0))[:, [0, 34]].any()  # glycine
    # A carbon in a box of carbons is buried.
    cage = np.array(list(itertools.product([-3.0, 0.0, 3.0], repeat=3)))
    cage = cage[np.argsort(np.abs(cage).sum(1) == 0, kind="stable")]
    atoms = Atoms(np.array(["CA"] * 26 + ["CB"]), np.array(["ALA"] * 27), np.array([0] * 26 + [0]))
    assert exposed(atoms, cage[None].astype(np.float32)).tolist() == [[False]]


def test_sphere_points_are_even():
    points = sphere_points(POINTS)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(points.T @ points / POINTS, np.eye(3) / 3, atol=1e-3)


def test_mutual_information():
    rng = np.random.default_rng(0)
    coin, other = rng.random((2, 4000)) < 0.5
    found = mutual_information(np.stack([coin, coin, ~coin, other, np.ones(4000, bool)], axis=1))
    assert found[0, 1] == pytest.approx(np.log(2), abs=1e-3)
    assert found[0, 2] == pytest.approx(np.log(2), abs=1e-3)
    assert found[0, 3] == pytest.approx(0, abs=1e-3)
    assert np.abs(found[4]).max() < 1e-12
    assert (np.diag(found) == 0).all()
    np.testing.assert_allclose(found, found.T, atol=1e-15)


def test_spearman():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 5))
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(spearman(x, np.zeros((5, 5))))


def test_jaccard():
    yes, no = np.array([True, True, False, False]), np.array([False, False, True, True])
    assert jaccard(yes, yes) == 1
    assert jaccard(yes, no) == 0
    assert jaccard(yes, np.array([True, False, True, False])) == pytest.approx(1 / 3)
    assert np.isnan(jaccard(no & yes, no & yes))


def test_contacts_of_a_line():
    line = np.zeros((2, 6, 3), np.float32)
    line[..., 0] = 3.9 * np.arange(6)
    line[1] *= 2
    expected = np.select([np.abs(np.subtract.outer(range(6), range(6))) == k for k in range(3)], [1, 1, 0.5], 0)
    np.testing.assert_array_equal(contact_frequency(line), expected)


def test_contacts_are_those_of_scipy():
    from scipy.spatial.distance import cdist

    frames = np.random.default_rng(0).uniform(0, 20, (30, 40, 3)).astype(np.float32)
    expected = np.mean([cdist(frame.astype(float), frame.astype(float)) < 8 for frame in frames], axis=0)
    np.testing.assert_array_equal(contact_frequency(frames), expected)
    np.testing.assert_array_equal(contact_frequency(frames[:, :1]), [[1]])


def test_rmwd_of_known_gaussians():
    """Isotropic widths 1 and 2, means 3 apart: 3 and sqrt(3) (2 - 1)."""
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((2, 40000, 2, 3))
    sides = one, 2 * two + np.array([3, 0, 0])
    translation, variance = rmwd(*(gaussians(side.astype(np.float32)) for side in sides))
    assert translation == pytest.approx(3, rel=0.01)
    assert variance == pytest.approx(np.sqrt(3), rel=0.01)
    assert rmwd(gaussians(one), gaussians(one)) == pytest.approx((0, 0), abs=1e-6)
    # Two frames, or none that differ: covariances without an inverse.
    assert np.isfinite(rmwd(gaussians(one[:2]), gaussians(two[:2]))).all()
    assert rmwd(gaussians(one[[0, 0]]), gaussians(one[[0, 0]])) == (0, 0)


def test_the_reference_against_itself_is_perfect():
    """All of the reference's frames, each as often as the scorer draws it: nothing is left but the scorer's noise."""
    md = reference(TARGET, frames=20)
    frames = np.concatenate(md.replicas)
    values = scored(reordered(Ensemble("synthetic", TARGET.atoms, turned(frames))), md)
    assert values["rmsf_r"] == pytest.approx(1)
    assert values["pc_sim"] == pytest.approx(1)
    assert values["rmwd"] < 0.1
    assert values["md_pca_w2"] < values["md_vs_md_pca_w2"]


@pytest.mark.parametrize("sequence", ["K", "KA"])
def test_a_single_motion_has_no_direction_to_compare(sequence):
    """One C-alpha does not move once it is superposed, and two do in one way: a cosine of 1 would say nothing."""
    target = build(sequence)
    found = METRICS.load("distribution").compute(make_pair(ensemble(target), reference(target)))
    assert isinstance(found["pc_sim"], NotAvailable)


def test_empty_unions_stay_undefined():
    """Nothing moves: no contact is weak or transient."""
    helix = build("GSLMKNFVIVDLL")
    still = Reference(helix, (wobble(helix, 10, 0, 0.0, 0.01),), "test")
    values = scored(Ensemble("synthetic", helix.atoms, wobble(helix, 10, 9, 0.0, 0.01)), still)
    assert np.isnan(values["weak_contacts_j"])
    assert np.isnan(values["transient_contacts_j"])
    absent = {key for key, value in values.items() if isinstance(value, NotAvailable)}
    assert absent == {"exposure_coupling_r"}


@pytest.mark.parametrize("sequence", ["GG", "GAIK"])
def test_tiny_peptides(sequence):
    target = build(sequence)
    values = scored(ensemble(target), reference(target))
    absent = {key for key, value in values.items() if isinstance(value, NotAvailable)}
    assert absent == {"exposure_coupling_r"} | ({"contact_rmse", "pc_sim"} if sequence == "GG" else set())
    assert all(np.isnan(v).all() or np.isfinite(v).all() for key, v in values.items() if key not in absent)
