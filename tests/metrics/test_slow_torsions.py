"""Torsion distributions and slow motions: closed forms and the definitions of SciPy."""

import numpy as np
import pytest
from proteins import build, ensemble, reference, turned, wobble
from scipy.spatial.distance import jensenshannon

from ebabench.metrics.histograms import jensen_shannon
from ebabench.metrics.slow_torsions import SLOW_TORSIONS, joint_histograms
from ebabench.metrics.tica import lag_time, slow_axes
from ebabench.metrics.torsions import NATURAL, TORSIONS, torsion_histograms
from ebabench.scoring.pair import make_pair
from ebabench.scoring.spec import NotAvailable
from ebabench.structures import Ensemble, Reference


def autoregressive(decays, frames, seed):
    """Independent processes x(t + 1) = d x(t) + noise, each of unit variance: its autocorrelation at lag k is d^k."""
    rng, decays = np.random.default_rng(seed), np.asarray(decays)
    values = np.empty((frames, len(decays)))
    values[0] = rng.standard_normal(len(decays))
    for k in range(1, frames):
        values[k] = decays * values[k - 1] + np.sqrt(1 - decays**2) * rng.standard_normal(len(decays))
    return values


def test_natural_distances_are_those_of_scipy():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(20), (2, 5))
    q[0, :10] = 0
    q /= q.sum(1, keepdims=True)
    expected = [jensenshannon(*rows) for rows in zip(p, q, strict=True)]
    np.testing.assert_allclose(NATURAL * jensen_shannon(p, q), expected, rtol=1e-10)
    assert NATURAL * jensen_shannon(np.eye(2)[:1], np.eye(2)[1:])[0] == pytest.approx(np.sqrt(np.log(2)))


def test_histograms_of_torsions_cover_the_circle():
    angles = np.array([[-np.pi], [np.pi], [np.float32(np.pi)], [0.0], [-1e-9]])
    shares = torsion_histograms(angles)[0]
    assert shares.sum() == pytest.approx(1)
    assert np.flatnonzero(shares).tolist() == [0, 49, 50, 99]
    assert shares[99] == pytest.approx(0.4)


def test_the_slowest_axes_of_mixed_processes_are_the_slow_processes():
    """TICA undoes any invertible mixing: the axes give back the slowest independent processes, slowest first."""
    lengths = (60_000, 60_000)
    sources = np.concatenate([autoregressive([0.99, 0.9, 0.5, 0.0], n, k) for k, n in enumerate(lengths)])
    mixing = np.random.default_rng(5).standard_normal((4, 4))
    features = sources @ mixing
    for least in (0.0, 1e-6):
        found = features @ slow_axes(features, lengths, 5, 2, least)
        correlation = np.corrcoef(found.T, sources.T)[:2, 2:]
        assert abs(correlation[0, 0]) > 0.99
        assert abs(correlation[1, 1]) > 0.99


def test_directions_without_variance_are_left_out():
    values = autoregressive([0.95, 0.2], 5000, 0)
    doubled = np.concatenate([values, values[:, :1], np.zeros((5000, 1))], axis=1)
    found = doubled @ slow_axes(doubled, (5000,), 1, 2, 1e-6)
    assert abs(np.corrcoef(found[:, 0], values[:, 0])[0, 1]) > 0.99
    assert slow_axes(np.zeros((100, 3)), (100,), 1, 2, 1e-6).shape == (3, 0)


def test_the_lag_is_a_hundredth_of_the_shortest_replica():
    assert [lag_time(lengths) for lengths in ((1001, 1001), (1001, 250), (50,))] == [10, 2, 1]


def test_joint_histograms_span_both_sides():
    one, other = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[2.0, 2.0], [2.0, 0.0]])
    shares = joint_histograms(one, other, 2, None)
    np.testing.assert_array_equal(shares, [[0.5, 0, 0, 0.5], [0, 0, 0.5, 0.5]])


def test_a_slow_side_chain_is_seen_where_c_alphas_do_not_move():
    """One chi1 flips slowly between two rotamers in MD. A model that has one of them only is found out."""
    target = build("GFG")
    atoms = target.atoms
    beyond = np.flatnonzero((atoms.residue == 1) & ~np.isin(atoms.name, ("N", "CA", "C", "O", "CB")))
    ca, cb = (target.native[np.flatnonzero((atoms.residue == 1) & (atoms.name == name))[0]] for name in ("CA", "CB"))
    axis = (cb - ca) / np.linalg.norm(cb - ca)

    def turn(frames, degrees):
        away, angle = frames[:, beyond] - cb, np.radians(degrees)[:, None, None]
        along = (away @ axis)[..., None] * axis
        frames[:, beyond] = cb + along + np.cos(angle) * (away - along) + np.sin(angle) * np.cross(axis, away)
        return frames

    slow = np.repeat([0, 120, 0, 120], 250)
    md = Reference(target, tuple(turn(wobble(target, 1000, k, 0.0, 0.02), slow) for k in (1, 2)), "test")
    half = make_pair(Ensemble("t", atoms, turned(turn(wobble(target, 200, 7, 0, 0.02), np.zeros(200)))), md)
    both = make_pair(Ensemble("t", atoms, turned(turn(wobble(target, 200, 8, 0, 0.02), slow[::5]))), md)
    half_found, both_found = (SLOW_TORSIONS.compute(pair) | TORSIONS.compute(pair) for pair in (half, both))
    for key in ("js_torsion_tic_0", "js_torsion_tic_01", "js_side_chain_torsions"):
        assert half_found[key] > both_found[key] + 0.05, key
    assert half_found["torsion_free_energy_coverage"] < 0.75 < both_found["torsion_free_energy_coverage"]
    assert half_found["js_backbone_torsions"] == pytest.approx(both_found["js_backbone_torsions"], abs=0.05)


def test_too_few_frames_or_too_many_torsions_are_not_available():
    target = build("GAWKFL")
    found = SLOW_TORSIONS.compute(make_pair(ensemble(target), reference(target, frames=50)))
    assert all("too few frames" in value.reason for value in found.values())
    long = build("W" * 70)
    found = SLOW_TORSIONS.compute(make_pair(ensemble(long, frames=10), reference(long, frames=10, replicas=1)))
    assert all("at most 250" in value.reason for value in found.values())


def test_a_chain_without_side_chains_has_no_side_chain_torsions():
    target = build("GAGAG")
    found = TORSIONS.compute(make_pair(ensemble(target), reference(target)))
    assert isinstance(found["js_side_chain_torsions"], NotAvailable)
    assert 0 < found["js_omega_torsions"] < found["js_backbone_torsions"] < np.sqrt(np.log(2))
