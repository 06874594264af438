"""A result and a run in a notebook: the figures of the site's pages, and no text that is markup."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_runs import TOY, ensemble, identity, make_run, reference

import ebabench
from ebabench.results.report import short
from ebabench.structures import Reference, Target


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def test_a_result_shows_its_figures_with_the_floor_and_the_fluctuation() -> None:
    result = ebabench.score(ensemble("one"), reference("one"), metrics=["flexibility", "rmwd"], threads=1)
    text = result._repr_html_()
    for key in ("rmsf_r", "rmwd"):
        assert f"<td>{key}</td><td>{short(result.values[key])} " in text
        assert f"<td>{short(result.floor[key])}</td>" in text
    (drawing,) = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert ElementTree.fromstring(drawing).tag == "svg"
    assert "residue" in drawing
    assert "RMSF of the C-alpha (Å)" in drawing


def test_a_result_says_what_it_lacks() -> None:
    result = ebabench.score(ensemble("one"), reference("one"), metrics=["ramachandran"], floor=False, threads=1)
    text = result._repr_html_()
    assert "not available" in text
    assert "There is no floor" in text
    assert "<svg" not in text


def test_a_result_says_that_residues_are_missing() -> None:
    whole = ensemble("one")
    cut = replace(whole, atoms=whole.atoms.take(np.arange(4)), positions=whole.positions[:, :4])
    result = ebabench.score(cut, reference("one"), metrics=["flexibility"], floor=False, threads=1)
    assert "2 of 6 residues are missing" in repr(result).splitlines()[0]
    assert "2 of 6 residues are missing" in result._repr_html_()


def test_a_run_shows_value_interval_floor_and_verdict(tmp_path) -> None:
    run = make_run(tmp_path / "run", identity("wobble"))
    run.finish(TOY.specs, None)
    text = run._repr_html_()
    row = next(row for row in run.rows if row.spec.key == "shift")
    shown = f"<td>shift</td><td>{short(row.estimate.value)} A</td><td>{short(row.estimate.low)} to "
    assert shown in text
    assert "wobble on toy-v1: 5 of 5 targets scored" in text


def test_names_are_text(tmp_path) -> None:
    one = ensemble("one")
    native = reference("one").target
    evil = Target("<script>alert(1)</script>", native.sequence, native.atoms, native.native)
    md = Reference(evil, tuple(ensemble("one", 60, seed=100 + k).positions for k in range(2)), "md-implicit")
    text = ebabench.score(one, md, metrics=["rmsf_r"], name="<script>alert(1)</script>", threads=1)._repr_html_()
    assert "<script" not in text
    assert "&lt;script" in text


def test_what_a_notebook_shows_of_an_object_is_one_short_line() -> None:
    suite = ebabench.load_suite("peptides-v1")
    known = suite.reference("KLED")
    model = ebabench.load_model("static")
    sampled = model.sample(known.target, 3, seed=1)
    weighted = replace(sampled, weights=np.array([2.0, 1.0, 1.0]))
    shown = [repr(one) for one in (suite, known, known.target, known.target.atoms, model, sampled)]
    assert all(len(text) < 120 and "\n" not in text for text in shown)
    assert "8 targets" in shown[0]
    assert str(len(known.replicas[0])) in shown[1]
    assert "KLED" in shown[2]
    assert "4 residues" in shown[3]
    assert "static" in shown[4]
    assert "3 conformations" in shown[5]
    assert "2.67" in repr(weighted)  # (2 + 1 + 1)^2 / (4 + 1 + 1)
