"""Frames of a reference, read once: whoever asks gets what a reading of their own would give."""

import numpy as np
import pytest
from proteins import build, ensemble, reference

from ebabench.errors import InputError
from ebabench.scoring import superposed as aligned
from ebabench.scoring.metric import METRICS
from ebabench.scoring.pair import make_pair
from ebabench.scoring.score import score_target
from ebabench.structures import Ensemble

TARGET = build("GAIKHW")


def without(md, number):
    """A pair whose model is one replica, scored against the others."""
    return Ensemble(TARGET.name, TARGET.atoms, md.replicas[number - 1], held_out=(number,))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_shared_frames_are_those_of_a_reference_without_the_replica(number):
    md, model = reference(TARGET, frames=300), without(reference(TARGET, frames=300), number)
    shared = make_pair(model, md, aligned=make_pair(ensemble(TARGET), md).aligned)
    alone = make_pair(model, md.without((number,)))
    np.testing.assert_array_equal(shared.md_ca, alone.md_ca)
    np.testing.assert_array_equal(shared.md_rmsf, alone.md_rmsf)
    np.testing.assert_array_equal(shared.md(shared.md_draw_1000), alone.md(alone.md_draw_1000))
    np.testing.assert_array_equal(shared.md_as_read(shared.md_draw), alone.md_as_read(alone.md_draw))


def test_frames_that_are_not_held_are_read_anew(monkeypatch):
    md = reference(TARGET, frames=300)
    held = make_pair(ensemble(TARGET), md)
    assert len(held.md_ca) == 900
    monkeypatch.setattr(aligned, "_HELD", 0)
    long = make_pair(ensemble(TARGET), md)
    np.testing.assert_array_equal(long.md_ca, held.md_ca)
    np.testing.assert_array_equal(long.md(long.md_draw_1000), held.md(held.md_draw_1000))


def test_torsions_that_are_not_held_are_those_that_are(monkeypatch):
    md, draw = reference(TARGET, frames=300), np.array([7, 3, 899, 3, 400])
    held = make_pair(ensemble(TARGET), md)
    every = held.md_torsions(np.arange(900))
    monkeypatch.setattr(aligned, "_HELD", 0)
    long = make_pair(ensemble(TARGET), md)
    np.testing.assert_array_equal(long.md_torsions(draw), every[draw])


@pytest.mark.parametrize("held", [0, 10**6])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_is_counted_in_torsions_is_of_the_frames_that_count(monkeypatch, number, held):
    monkeypatch.setattr(aligned, "_HELD", held)
    monkeypatch.setattr(aligned, "_AT_ONCE", 700)
    md = reference(TARGET, frames=300)
    whole = make_pair(ensemble(TARGET), md)
    seen = []

    def positive(angles):
        seen.append(len(angles))
        return {"positive": (angles > 0).sum(0)}

    expected = (whole.md_torsions(np.arange(900)) > 0).sum(0)
    np.testing.assert_array_equal(whole.counted_torsions("positive", positive)["positive"], expected)
    assert len(seen) > 3
    assert sum(seen) == 900
    part = make_pair(without(md, number), md, aligned=whole.aligned)
    expected = (part.md_torsions(np.arange(600)) > 0).sum(0)
    np.testing.assert_array_equal(part.counted_torsions("positive", positive)["positive"], expected)
    assert sum(seen) == 900  # each replica was counted once


def test_frames_of_other_atoms_are_not_shared():
    md, whole = reference(TARGET), ensemble(TARGET)
    ca = TARGET.atoms.select("CA")
    model = Ensemble(TARGET.name, TARGET.atoms.take(ca), whole.positions[:, ca])
    other = make_pair(whole, md).aligned
    assert make_pair(model, md, aligned=other).aligned is not other
    assert make_pair(whole, md, aligned=other).aligned is other


def test_fluctuation_is_about_the_mean_of_the_frames_that_count():
    md = reference(TARGET, frames=300)
    pair = make_pair(without(md, 2), md)
    frames = pair.md(np.arange(600)).astype(np.float64)
    expected = np.sqrt(((frames - frames.mean(0)) ** 2).sum(2).mean(0))
    np.testing.assert_allclose(pair.md_rmsf, expected, rtol=1e-5)


def changed(replicas):
    md = reference(TARGET, frames=300)
    return type(md)(TARGET, tuple(replicas(md.replicas)), md.tier)


def refused(md, model=None):
    with pytest.raises(InputError) as error:
        score_target(model or ensemble(TARGET), md, [METRICS.load("divergence")])
    return error.value


@pytest.mark.parametrize(
    ("first", "second"), [(slice(None), slice(None)), (slice(300), slice(100)), (slice(100), slice(300))]
)
def test_a_replica_that_is_a_copy_of_another_is_refused(first, second):
    """Its floor would be nothing, and it is no independent sample: R1 was copied to R2."""
    error = refused(changed(lambda md: (md[0][first], md[1], md[0][second])))
    assert error.code == "reference.copies"
    assert "replicas 1 and 3" in str(error)


def test_replicas_may_begin_with_the_same_frame():
    md = changed(lambda md: [np.concatenate([md[0][:1], one[1:]]) for one in md])
    assert score_target(ensemble(TARGET), md, [METRICS.load("divergence")]).floor


def test_a_replica_that_does_not_move_is_refused():
    error = refused(changed(lambda md: (md[0], np.repeat(md[1][:1], 300, axis=0), md[2])))
    assert error.code == "reference.static"
    assert "replica 2" in str(error)


@pytest.mark.parametrize("number", [1, 3])
def test_a_mirrored_replica_is_the_reference_s_fault(number):
    error = refused(changed(lambda md: [-one if k == number else one for k, one in enumerate(md, 1)]))
    assert error.code == "ensemble.mirrored"
    assert f"replica {number}" in str(error)


def test_a_mirrored_reference_of_one_replica_is_refused():
    error = refused(changed(lambda md: [-md[0]]))
    assert error.code == "ensemble.mirrored"
    assert "the reference of" in str(error)


def test_md_that_repeats_a_few_conformations_has_no_slow_motions():
    """Fewer directions than components: TICA has no solution."""
    md = changed(lambda md: [np.tile(one[:3], (100, 1, 1)) for one in md])
    figures = score_target(ensemble(TARGET), md, [METRICS.load("divergence")], with_floor=False).figures
    assert "too few directions" in figures.reasons["js_tic"]
    assert np.isfinite(figures.values["js_radius_of_gyration"])
