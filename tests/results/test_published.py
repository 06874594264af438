"""Quoted figures: whole, in our units, labelled, and never ranked with what is measured."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from synthetic_runs import TOY, suite, whole_run

import ebabench.results.board
from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError
from ebabench.results.leaderboard import QUOTED, Board, rebuild
from ebabench.results.published import NOT_COMPARED, PublishedResult, quotes
from ebabench.results.report import html, markdown
from ebabench.scoring.metric import METRICS

ROOT = Path(__file__).parents[2]
SPECS = {spec.key: spec for family in METRICS for spec in METRICS.load(family).specs}


def rows() -> list[dict[str, str]]:
    with (ROOT / "leaderboards" / "published" / "atlas-test.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def found(model: str, source: str, atoms: str = "heavy") -> PublishedResult:
    (one,) = (q for q in quotes("atlas-test-v1") if (q.model, q.atoms) == (model, atoms) and source in q.source)
    return one


def test_every_figure_is_carried_with_its_source_and_atoms() -> None:
    assert len(rows()) == 1181
    for row in rows():
        assert row["metric"] in {*SPECS, "seconds_per_sample", *NOT_COMPARED}
        assert float(row["value"]) == float(row["value"])
        assert row["atoms"] in ("heavy", "ca")
        assert row["source"]
        assert row["provenance"] in ("paper", "authors-repository", "third-party-rescore", "second-hand")


def test_every_figure_is_shown_or_left_out_for_a_reason() -> None:
    shown = Counter(key for quote in quotes("atlas-test-v1") for key in quote.figures)
    left = Counter(row["metric"] for row in rows() if row["metric"] in NOT_COMPARED)
    repeated = 7 + 8  # DynaProt's figures, which its rebuttal prints twice, and SimpleFold's, which two notes quote
    assert sum(shown.values()) + sum(left.values()) == 1181 - repeated
    assert set(NOT_COMPARED) == set(left)
    assert all(NOT_COMPARED.values())


def test_quoted_figures_are_in_our_units() -> None:
    """Of ATLAS, in angstrom and percent: in nm, or as a fraction, most would be below these."""
    middle = {key: sorted(float(q.figures[key]) for q in quotes("atlas-test-v1") if key in q.figures) for key in SPECS}
    for key, values in middle.items():
        if not values:
            continue
        typical = values[len(values) // 2]
        if SPECS[key].unit == "Å":
            assert 0.5 < typical < 10, key
        elif SPECS[key].unit == "%":
            assert 1 < typical <= 100, key
        else:
            assert max(values) <= 1, key


def test_what_the_papers_print() -> None:
    """AlphaFlow, Table 1; the table of its repository on 12 layers; BBFlow, Table A.9 (C-alphas)."""
    figures = found("AlphaFlow-MD, full (AlphaFlow)", "2402.04845").figures
    assert (figures["pairwise_rmsd"], figures["pairwise_rmsd_r"], figures["rmsf_r"]) == ("2.89", "0.48", "0.85")
    assert found("BBFlow, base", "2503.05738", "ca").figures["dccm_r"] == "0.87"
    assert found("MD reference, ATLAS 3x100ns", "2402.04845").figures == {"pairwise_rmsd": "2.9", "rmsf": "1.7"}


def test_suites_without_published_figures_have_none() -> None:
    assert quotes("peptides-v1") == []
    assert quotes("atlas-val-v1") == []


def test_no_two_rows_have_one_name() -> None:
    names = [quote.model for quote in quotes("atlas-test-v1")]
    assert len(set(names)) == len(names)
    assert {"AlphaFlow-MD, full (AlphaFlow)", "AlphaFlow-MD, full (ProteinBench, first table)"} < set(names)


HEAD = "model,variant,metric,value,n_samples,atoms,aggregate,provenance,source,note\n"


def _written(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    (folder / "published").mkdir()
    (folder / "published" / "some.csv").write_text(HEAD + "".join(f"{line}\n" for line in lines))
    monkeypatch.setattr("ebabench.results.published.folder", lambda package: folder)


def test_rows_of_one_name_are_told_apart_by_source_then_by_atoms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "arXiv:2402.04845 (Flow)"
    lines = [
        f"A,,rmsf,1,250,heavy,median,paper,{where},",
        f"A,,rmsf,2,250,ca,median,paper,{where},",
        "A,,rmsf,3,250,heavy,median,paper,Another paper,",
        f"B,,rmsf,4,250,heavy,median,paper,{where},",
    ]
    _written(tmp_path, monkeypatch, *lines)
    assert [quote.model for quote in quotes("some-v1")] == [
        "A (Flow) (heavy atoms)",
        "A (Flow) (C-alphas)",
        "A (Another paper)",
        "B",
    ]


def test_two_rows_that_nothing_tells_apart_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _written(tmp_path, monkeypatch, "A,,rmsf,1,250,ca,median,paper,x,", "A,,rmsf_r,1,,ca,median,paper,x,")
    with pytest.raises(InputError) as error:
        quotes("some-v1")
    assert error.value.code == "published.twice"


QUOTE = PublishedResult(
    "Other, best", "ca", "100", "median", "second-hand", "some paper", ("Table 9",), {"shift": "0.01"}
)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ebabench.results.board, "quotes", lambda suite_id: [QUOTE])
    return rebuild(suite(), [whole_run(tmp_path / "run")], TOY.specs, tmp_path)


def test_the_csv_has_quoted_rows_after_the_measured_and_reads_its_own(board: Board, tmp_path: Path) -> None:
    text = (tmp_path / "toy-v1.csv").read_text()
    lines = list(csv.DictReader(text.splitlines()))
    assert [line["status"] for line in lines] == ["official", "official", QUOTED]
    assert lines[-1]["model"] == "Other, best"
    assert (lines[-1]["shift"], lines[-1]["atoms"], lines[-1]["source"]) == ("0.01", "ca", "some paper")
    assert lines[-1]["because"] == "second-hand; median over targets; Table 9"
    rebuild(suite(), [], TOY.specs, tmp_path)
    assert (tmp_path / "toy-v1.csv").read_text() == text


def test_a_quoted_figure_is_shown_and_never_best(board: Board) -> None:
    text = markdown(board, suite())
    measured, quoted = text.split("## Quoted from others")
    assert "Other, best" not in measured
    assert "| Other, best | ca | 100 | 0.01 | some paper | second-hand; median over targets; Table 9 |" in quoted
    assert "**" not in quoted
    page = html(board, suite())
    body, rest = page.split('<tbody class="quoted">')
    row = rest.split("</tbody>")[0]
    assert "Other, best" not in body
    assert all(said in row for said in ("Other, best", "some paper", "second-hand", "<td>ca</td>", "0.01"))
    assert "best" not in re.sub("Other, best", "", row)


def test_a_page_without_measured_rows_says_so(tmp_path: Path) -> None:
    chosen = load_suite("atlas-test-v1")
    empty = rebuild(chosen, [], list(SPECS.values()), tmp_path)
    assert empty.lines == ()
    for page in (markdown(empty, chosen), html(empty, chosen)):
        assert "No model has been measured" in page
        assert "arXiv:2402.04845" in page
        assert "ca_clash_percent is not shown" in page.replace("`", "")
        assert "seconds" in page
    assert "<svg" not in html(empty, chosen)


def test_the_leaderboard_that_is_published_has_the_figures_of_today() -> None:
    with (ROOT / "leaderboards" / "atlas-test-v1.csv").open(newline="", encoding="utf-8") as file:
        kept = [line for line in csv.DictReader(file) if line["status"] == QUOTED]
    shown = {*SPECS, "seconds_per_sample"}
    figures = [{key: value for key, value in line.items() if key in shown and value} for line in kept]
    assert figures == [quote.figures for quote in quotes("atlas-test-v1")]
    for suffix in ("md", "html"):
        page = (ROOT / "leaderboards" / f"atlas-test-v1.{suffix}").read_text()
        assert all(quote.source in page for quote in quotes("atlas-test-v1"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("model,value\n", "its columns are"), (None, "rmsf is quoted twice, with two values")],
)
def test_a_broken_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str) -> None:
    row = "A,,rmsf,{},250,ca,median,paper,x,\n"
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "some.csv").write_text(text or HEAD + row.format(1) + row.format(2))
    monkeypatch.setattr("ebabench.results.published.folder", lambda package: tmp_path)
    with pytest.raises(InputError, match=said):
        quotes("some-v1")
