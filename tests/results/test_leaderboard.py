import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console
from synthetic_runs import SEQUENCES, TOY, ensemble, identity, make_run, suite

from ebabench.errors import InputError, RunError
from ebabench.results import leaderboard
from ebabench.results.aggregation import summarise
from ebabench.results.leaderboard import FLOOR, board_tables, print_summary, rebuild, refusal, short
from ebabench.results.report import html, markdown, write_report


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two official runs, a stiff one (collapsed), and one with another n."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBABENCH_CACHE", str(folder / "cache"))
        return {
            "wobble": make_run(folder / "wobble"),
            "stiff": make_run(folder / "stiff", identity("stiff"), amplitude=0.1),
            "short": make_run(folder / "short", identity("wobble", samples=10), samples=10),
        }


def lines(folder):
    with (folder / "toy-v1.csv").open(newline="") as file:
        return {(line["model"], line["status"]): line for line in csv.DictReader(file)}


def test_a_leaderboard_has_a_row_a_model_and_the_floor(tmp_path, runs):
    rebuild(suite(), [runs["wobble"], runs["stiff"]], TOY.specs, tmp_path)
    found = lines(tmp_path)
    assert list(found) == [(FLOOR, "official"), ("stiff", "official"), ("wobble", "official")]
    wobble = found["wobble", "official"]
    (row,) = (row for row in summarise(runs["wobble"].records(), TOY.specs) if row.spec.key == "shift")
    assert float(wobble["shift"]) == pytest.approx(row.estimate.value, rel=1e-5)
    assert float(wobble["shift_low"]) == pytest.approx(row.estimate.low, rel=1e-5)
    assert float(found[FLOOR, "official"]["shift"]) == pytest.approx(row.floor, rel=1e-5)
    assert (wobble["samples"], wobble["seed"], wobble["targets"]) == ("20", "0", "5/5")
    assert wobble["overlap"] == "not_trained"
    assert "shift=1" in wobble["versions"].split()
    assert wobble["stale"] == ""


@pytest.mark.parametrize("width", [60, 100, 10_000])
def test_no_figure_is_cut_however_narrow_the_terminal(tmp_path, runs, width):
    board = rebuild(suite(), [runs["wobble"], runs["stiff"], runs["short"]], TOY.specs, tmp_path)
    console = Console(width=width, record=True, file=io.StringIO())
    for shown in board_tables(board, TOY.specs, width):
        console.print(shown)
    text = console.export_text()
    assert "…" not in text
    for (model, _), line in lines(tmp_path).items():
        assert model in text
        assert f"{short(line['shift'])} [{short(line['shift_low'])}, " in text or not line["shift_low"]
    assert "wobble (unofficial)" in text


def test_undefined_values_and_marks_are_said(tmp_path, runs):
    rebuild(suite(), [runs["stiff"]], TOY.specs, tmp_path)
    line = lines(tmp_path)["stiff", "official"]
    assert "jaccard: 1 of 5 (undefined)" in line["undefined"]
    assert "side_chains: 5 of 5 (the model lacks side chains)" in line["undefined"]
    assert line["side_chains"] == ""
    assert line["marks"].count("collapsed") == 5


def test_rows_of_other_models_stay(tmp_path, runs):
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    before = lines(tmp_path)["wobble", "official"]
    rebuild(suite(), [runs["stiff"]], TOY.specs, tmp_path)
    assert lines(tmp_path)["wobble", "official"] == before
    text = (tmp_path / "toy-v1.csv").read_bytes()
    rebuild(suite(), [], TOY.specs, tmp_path)
    assert (tmp_path / "toy-v1.csv").read_bytes() == text


def test_an_unofficial_run_never_replaces_an_official_row(tmp_path, runs):
    rebuild(suite(), [runs["short"], runs["wobble"]], TOY.specs, tmp_path)
    found = lines(tmp_path)
    assert found["wobble", "official"]["samples"] == "20"
    assert found["wobble", "unofficial"]["samples"] == "10"
    assert "samples 10, the suite has 20" in found["wobble", "unofficial"]["because"]
    assert found[FLOOR, "official"]["samples"] == "20"


def test_a_row_made_with_other_versions_is_marked_and_kept(tmp_path, runs):
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    before = lines(tmp_path)["wobble", "official"]
    newer = [replace(spec, version=2) if spec.key == "shift" else spec for spec in TOY.specs]
    rebuild(suite(), [], newer, tmp_path)
    found = lines(tmp_path)["wobble", "official"]
    assert found["stale"] == "shift"
    assert found | {"stale": ""} == before


@pytest.mark.parametrize("change", [{"id": "toy-v2"}, {"tier": "atlas-protein"}])
def test_runs_of_other_suites_and_tiers_are_refused(tmp_path, runs, change):
    with pytest.raises(InputError, match=r"not of toy-v2|tiers are never mixed"):
        rebuild(suite(**change), [runs["wobble"]], TOY.specs, tmp_path)
    assert list(tmp_path.glob("*.csv")) == []


def test_rows_against_other_references_never_stand_together(tmp_path):
    md, other = (dict.fromkeys(SEQUENCES, digit * 64) for digit in "ab")
    first = make_run(tmp_path / "first", identity("first", references=md))
    second = make_run(tmp_path / "second", identity("second", references=md | {"two": other["two"]}))
    board = tmp_path / "board"
    rebuild(suite(), [first], TOY.specs, board)
    before = (board / "toy-v1.csv").read_bytes()
    for runs in ([second], [first, second]):
        with pytest.raises(InputError, match="first and second were scored against different references of two"):
            rebuild(suite(), runs, TOY.specs, board)
    assert (board / "toy-v1.csv").read_bytes() == before
    # A run that takes the only row's place brings its own floor.
    rebuild(suite(), [make_run(tmp_path / "again", identity("first", references=other))], TOY.specs, board)
    assert {line["references"] for line in lines(board).values()} == {" ".join(f"{k}=bbbbbbbb" for k in sorted(other))}


def test_a_table_of_an_earlier_version_is_gone_on_with(tmp_path, runs):
    """It has no column of references, and its rows are taken as they are."""
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    path = tmp_path / "toy-v1.csv"
    rows = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(rows) + "\n")
    known = identity("stiff", references=dict.fromkeys(SEQUENCES, "c" * 64))
    rebuild(suite(), [make_run(tmp_path / "stiff", known)], TOY.specs, tmp_path)
    assert lines(tmp_path)["wobble", "official"]["references"] == ""
    assert lines(tmp_path)["stiff", "official"]["references"].startswith("five=cccccccc ")


def test_random_weights_are_refused(tmp_path):
    run = make_run(tmp_path / "run", make=lambda name: replace(ensemble(name), random_weights=True))
    assert "random weights" in refusal(run, suite())
    with pytest.raises(InputError, match="random weights"):
        rebuild(suite(), [run], TOY.specs, tmp_path)


def test_a_run_of_some_targets_is_incomplete(tmp_path):
    run = make_run(tmp_path / "run", identity(targets=("one", "two", "three")))
    rebuild(suite(), [run], TOY.specs, tmp_path)
    line = lines(tmp_path)["wobble", "incomplete"]
    assert line["targets"] == "3/5"
    assert "not scored: four, five" in line["because"]


def test_runs_that_finish_together_both_stand(tmp_path, runs):
    with ThreadPoolExecutor(2) as executor:
        for board in executor.map(
            lambda name: rebuild(suite(), [runs[name]], TOY.specs, tmp_path), ("wobble", "stiff")
        ):
            assert len(board.lines) >= 2
    assert list(lines(tmp_path)) == [(FLOOR, "official"), ("stiff", "official"), ("wobble", "official")]


def test_a_run_without_summary_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (run.folder / "summary.csv").unlink()
    assert "not finished" in refusal(run, suite())


def test_another_csv_is_not_overwritten(tmp_path, runs):
    path = tmp_path / "toy-v1.csv"
    path.write_text("name,score\nx,1\n")
    with pytest.raises(InputError, match="not a leaderboard"):
        rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    assert path.read_text() == "name,score\nx,1\n"


def test_an_unwritable_leaderboard_is_a_run_error(tmp_path, runs, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(leaderboard, "replace_file", full)
    with pytest.raises(RunError, match="No space left on device; it is as it was"):
        rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)


def test_the_printed_table_shows_interval_floor_and_what_is_undefined(runs):
    out = io.StringIO()
    Console(file=out, width=160).print(print_summary(summarise(runs["wobble"].records(), TOY.specs), "wobble"))
    text = out.getvalue()
    assert "1 of 5 targets undefined" in text
    assert "the model lacks side chains" in text
    assert re.search(r"shift .* A +│ lower +│", text)
    assert re.search(r"md_rmsf .* A +│ – +│", text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.23456, "1.23"),
        (0.0, "0.00"),
        (12345.6, "12346"),
        ("", "–"),
        (float("nan"), "–"),
        (250.0, "250"),
        (-0.5, "-0.500"),
    ],
)
def test_figures_for_readers_have_three_digits(value, text):
    assert short(value) == text


@pytest.fixture
def board(tmp_path, runs):
    newer = [replace(spec, version=2) if spec.key == "rmsf" else spec for spec in TOY.specs]
    return rebuild(suite(), list(runs.values()), newer, tmp_path)


def test_the_markdown_shows_models_intervals_floor_and_notes(board):
    text = markdown(board, suite())
    rows = {
        line.split("|")[1].strip(): [x.strip() for x in line.split("|")[2:-1]]
        for line in text.splitlines()
        if line[:1] == "|"
    }
    assert rows["metric"] == ["MD", "MD against itself", "stiff", "wobble", "wobble (unofficial)"]
    assert re.fullmatch(r"\*\*[\d.]+ \([\d.]+–[\d.]+\)\*\*", rows["shift [A] ↓"][2])
    assert rows["rmsf [A] → MD"][3].endswith("†")
    assert rows["pairwise_rmsd [A] → MD"][0] == rows["pairwise_rmsd [A] → MD"][0].strip("*–") != ""
    assert "md_rmsf" not in text.split("## Notes")[0]
    for said in (
        "jaccard: 1 of 5",
        "collapsed (diversity 0.",
        "samples 10, the suite has 20",
        "not_trained",
        "other versions of rmsf",
    ):
        assert said in text


class Checker(HTMLParser):
    """Every element is closed, and nothing is fetched."""

    void = ("meta", "line", "circle", "br", "wbr")

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        assert not {"src", "href"} & {name for name, _ in attrs}
        self.seen.append(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in self.void or self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(board):
    page = html(board, suite())
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "http" not in page
    assert checker.seen.count("svg") == 5
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)
    for said in ("MD against itself", "wobble (unofficial)", "collapsed", "the model lacks side chains", "not_trained"):
        assert said in page


def test_names_and_reasons_cannot_break_the_page(tmp_path, runs):
    found = rebuild(suite(title="<b>&"), [runs["wobble"]], TOY.specs, tmp_path)
    found.lines[1]["because"] = "<script>alert(1)</script>"
    page = html(found, suite(title="<b>&"))
    assert "<script>alert" not in page
    assert "&lt;b&gt;&amp;" in page


def test_only_official_and_current_rows_can_be_best(board):
    page = html(board, suite())
    stale = next(column for column in board.specs if column.key == "rmsf")
    assert stale.version == 2
    aside = [row for row in page.split("<tr class=") if row.startswith(('"aside"', '"floor"'))]
    assert aside
    assert all('class="best"' not in row for row in aside)
    assert page.count('class="best"') >= 3


def test_the_report_lies_beside_the_table(tmp_path, board, monkeypatch):
    paths = write_report(board, suite(), tmp_path)
    assert sorted(path.name for path in paths) == ["toy-v1.html", "toy-v1.md"]
    assert paths[0].read_text() == markdown(board, suite())
    with pytest.raises(RunError, match="the table is kept"):
        write_report(board, suite(), tmp_path / "nowhere")
