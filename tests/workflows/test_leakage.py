"""Leakage: what a card lists, and figures at unseen targets."""

from dataclasses import replace
from pathlib import Path

import pytest
from proteins import build, bundle, rotations

import ebabench
from ebabench.datasets.suites import SuiteTarget, load_suite
from ebabench.errors import InputError
from ebabench.generators.cards import load_card, read_card
from ebabench.structures import Target
from ebabench.structures.sequence_identity import Similarity
from ebabench.structures.structure_similarity import LEAST_RESIDUES, FoldSimilarity
from ebabench.workflows import leakage_structures
from ebabench.workflows.leakage import at_unseen, read_fasta, training_sequences, unseen, unseen_rows
from ebabench.workflows.leakage_structures import fold_similarities

CARD = """
name = "mine"
title = "Mine"
family = "mine"
paper = "none"
licence = "MIT"
entry = "mine:build"

[training]
data = "some"
overlap = "uncertain"
evidence = "none"
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def card(folder: Path, more: str) -> ebabench.generators.cards.Card:
    path = folder / "mine.toml"
    path.write_text(CARD + more)
    return read_card(path)


def test_a_card_lists_suites_files_and_chains(tmp_path: Path) -> None:
    (tmp_path / "own.fasta").write_text(">a first\nKLED\nAG\n>b\nwwww\n")
    listed = 'sequences = { suites = ["peptides-val-v1"], fasta = ["own.fasta"], chains = ["1y6i_A"] }'
    found = training_sequences(card(tmp_path, listed))
    assert found["a"] == "KLEDAG"
    assert found["b"] == "WWWW"
    assert found["1y6i_A"] == load_suite("atlas-test-v1").target("7e2s_A").sequence
    assert {target.name for target in load_suite("peptides-val-v1").targets} < set(found)


def test_the_list_is_no_part_of_a_run(tmp_path: Path) -> None:
    bare = card(tmp_path, "").facts()
    assert card(tmp_path, 'sequences = { suites = ["peptides-val-v1"] }').facts() == bare


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        ("", "leakage.unlisted"),
        ('sequences = { suites = ["nowhere"] }', "unknown.suite"),
        ('sequences = { fasta = ["nowhere.fasta"] }', "leakage.fasta"),
        ('sequences = { chains = ["9zzz_A"] }', "leakage.chain"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, listed: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        training_sequences(card(tmp_path, listed))
    assert refused.value.code == code


@pytest.mark.parametrize("text", ["", "KLED", ">a\n>b\nKLED", ">a\nKL1D", ">a\nKLED\n>a\nKLED"])
def test_a_broken_fasta_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_fasta(text)


def test_letters_that_are_no_amino_acid_stand_for_any() -> None:
    assert read_fasta(">a\nKLBUZ*\n") == {"a": "KLXXX"}


def test_no_test_peptide_was_trained_on() -> None:
    table = ebabench.leakage("eba", "peptides-v1", jobs=1)
    assert len(table) == 8
    assert (table["identity"] < 1).all()
    assert table.equals(ebabench.leakage("eba", "peptides-v1", jobs=1))  # from the cache


def test_every_listed_suite_is_there() -> None:
    for name in ("sft", "mdgen", "bbflow", "confdiff-of-r3-md"):
        assert len(training_sequences(load_card(name))) > 100


def test_unseen_targets_are_below_the_threshold() -> None:
    found = {"a": Similarity("x", 0.1, 1.0), "b": Similarity("x", 0.3, 1.0), "c": Similarity("x", 0.9, 1.0)}
    assert unseen(found, 0.3) == ["a"]


def test_a_row_is_shown_at_targets_that_its_model_has_not_seen(tmp_path: Path) -> None:
    suite = load_suite("peptides-v1")
    options = {"samples": 5, "metrics": ["pairwise_rmsd"], "leaderboards": None, "jobs": 1, "targets": ["KLED"]}
    static = ebabench.run("static", "peptides-v1", out=tmp_path / "static", **options)
    nobody = ebabench.score_ensembles(
        static.folder / "ensembles", suite="peptides-v1", name="mine", metrics=["pairwise_rmsd"],
        out=tmp_path / "mine", leaderboards=None, jobs=1,
    )  # fmt: skip
    trained, unknown = unseen_rows(suite, [static, nobody], 0.3, ["pairwise_rmsd_mae"], jobs=1)
    assert (trained.model, trained.unseen, trained.why) == ("static", 8, "")  # it was not trained at all
    assert trained.at_unseen[0].estimate.value == trained.every[0].estimate.value
    assert (unknown.unseen, unknown.at_unseen) == (None, [])
    assert "mine" in unknown.why


@pytest.mark.slow
def test_figures_at_unseen_targets_leave_the_others_out(tmp_path: Path) -> None:
    options = {"samples": 5, "metrics": ["pairwise_rmsd"], "out": tmp_path, "leaderboards": None, "jobs": 1}
    run = ebabench.run("static", "peptides-v1", targets=["KLED", "GAPF"], **options)
    every, some = at_unseen(run, ["KLED"], ["pairwise_rmsd_mae"])
    assert (every[0].estimate.n_targets, some[0].estimate.n_targets) == (2, 1)


class Natives:
    """References of which some are here."""

    def __init__(self, here: dict[str, Target]) -> None:
        self.here = here

    def target(self, name: str) -> Target:
        if name not in self.here:
            raise InputError(f"{name} is not here", code="reference.missing")
        return self.here[name]


def test_folds_are_compared_where_structures_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold seen in training, turned round; a chain without a reference; one of another sequence."""
    fold = bundle("ADEFGHIKLMNQRSTVWYAD" * 3, helices=3)
    native = fold.native @ rotations(1, 5)[0]
    here = {"seen_A": fold, "train_A": replace(fold, native=native), "other_A": build("A" * 60)}
    made = {
        name: replace(load_suite("atlas-test-v1"), id=name, targets=tuple(SuiteTarget(n, fold.sequence) for n in names))
        for name, names in (("asked-v1", ("seen_A", "absent_A")), ("known-v1", ("train_A", "lost_A", "other_A")))
    }
    listed = {"train_A": fold.sequence, "lost_A": fold.sequence, "other_A": "A" * 60}
    monkeypatch.setattr(leakage_structures, "suite_ids", lambda: list(made))
    monkeypatch.setattr(leakage_structures, "load_suite", made.get)
    monkeypatch.setattr(leakage_structures, "training_sequences", lambda _: listed)
    monkeypatch.setattr(leakage_structures, "reference_reader", lambda suite, data: Natives(here))
    for _ in range(2):  # computed, then from the cache
        found, there, asked = fold_similarities(card(tmp_path, ""), made["asked-v1"], jobs=1)
        assert found.keys() == {"seen_A"}
        assert (found["seen_A"].name, there, asked) == ("train_A", 1, 3)
        assert found["seen_A"].tm == pytest.approx(1, abs=1e-3)


def test_peptides_have_no_fold_to_compare(tmp_path: Path) -> None:
    suite = load_suite("peptides-v1")
    assert all(len(target.sequence) < LEAST_RESIDUES for target in suite.targets)
    found, here, _ = fold_similarities(card(tmp_path, 'sequences = { suites = ["peptides-val-v1"] }'), suite, jobs=1)
    assert here == len(load_suite("peptides-val-v1").targets)
    assert {one.name for one in found.values()} == {""}
    assert isinstance(found["KLED"], FoldSimilarity)
