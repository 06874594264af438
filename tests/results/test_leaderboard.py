import csv
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from stub_runs import Stub
from synthetic_runs import SEQUENCES, TOY, digests, ensemble, identity, make_run, reference, spec, suite, whole_run

from ebabench.errors import InputError, RunError
from ebabench.results import leaderboard
from ebabench.results.aggregation import summarise
from ebabench.results.board import read_board
from ebabench.results.leaderboard import FLOOR, rebuild, refusal, short
from ebabench.results.pairs import Ranking, all_pairs
from ebabench.results.report import html, markdown
from ebabench.results.runs import Run
from ebabench.results.verdicts import better_than
from ebabench.results.worth import verdict_text
from ebabench.scoring.metric import Metric
from ebabench.scoring.records import MetricValues
from ebabench.scoring.score import Job


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
    with pytest.raises(InputError, match=r"not of toy-v2|was changed"):
        rebuild(suite(**change), [runs["wobble"]], TOY.specs, tmp_path)
    assert list(tmp_path.glob("*.csv")) == []


def moved(name):
    """Other molecular dynamics of the target ``two``."""
    md = reference(name)
    return replace(md, replicas=md.replicas[::-1]) if name == "two" else md


def all_moved(name):
    md = reference(name)
    return replace(md, replicas=md.replicas[::-1])


def test_rows_against_other_references_never_stand_together(tmp_path):
    first = make_run(tmp_path / "first", identity("first"))
    second = make_run(tmp_path / "second", identity("second", references=digests(moved)), read=moved)
    board = tmp_path / "board"
    rebuild(suite(), [first], TOY.specs, board)
    before = (board / "toy-v1.csv").read_bytes()
    for runs in ([second], [first, second]):
        with pytest.raises(InputError) as raised:
            rebuild(suite(), runs, TOY.specs, board)
        assert raised.value.code == "board.references"
        assert str(raised.value).count("two:") == 1
    assert (board / "toy-v1.csv").read_bytes() == before
    # A run that takes the only row's place brings its own floor.
    again = make_run(tmp_path / "again", identity("first", references=digests(all_moved)), read=all_moved)
    rebuild(suite(), [again], TOY.specs, board)
    expected = " ".join(f"{name}={digest[:8]}" for name, digest in sorted(digests(all_moved).items()))
    assert {line["references"] for line in lines(board).values()} == {expected}


def test_rows_of_an_earlier_version_stay_and_are_claimed(tmp_path, runs):
    """They have no digests: nobody can tell whether they are as they were written."""
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    before = lines(tmp_path)["wobble", "official"]
    path = tmp_path / "toy-v1.csv"
    rows = [line.rsplit(",", 4)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(rows) + "\n")
    rebuild(suite(), [runs["stiff"]], TOY.specs, tmp_path)
    found = lines(tmp_path)
    assert found["wobble", "claimed"]["shift"] == before["shift"]
    assert "cannot be traced" in found["wobble", "claimed"]["because"]
    assert found["stiff", "official"]["references"].startswith("five=")
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    assert lines(tmp_path)["wobble", "official"] == before
    assert ("wobble", "claimed") not in lines(tmp_path)


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_row_that_was_changed_by_hand_is_claimed(tmp_path, runs):
    rebuild(suite(), [runs["wobble"], runs["stiff"]], TOY.specs, tmp_path)
    figure = lines(tmp_path)["wobble", "official"]["shift"]
    edited(tmp_path / "toy-v1.csv", f",{figure},", ",0.0001,")
    page = markdown(rebuild(suite(), [], TOY.specs, tmp_path), suite())
    assert ("wobble", "claimed") in lines(tmp_path)
    assert ("stiff", "official") in lines(tmp_path)
    assert "wobble (claimed)" in page
    assert "**0.000100" not in page


@pytest.mark.parametrize("edit", ["value,low", "emptied", "gone"])
def test_the_tables_of_a_run_are_never_read(tmp_path, edit):
    run = whole_run(tmp_path / "run")
    summary = run.folder / "summary.csv"
    text = {
        "value,low": summary.read_text().replace("0.", "9."),
        "emptied": "",
        "gone": "metric,value,low,high,floor\n",
    }
    summary.write_text(text[edit])
    rebuild(suite(), [Run.read(run.folder)], TOY.specs, tmp_path / "board")
    expected = next(row for row in summarise(run.records(), TOY.specs) if row.spec.key == "shift").estimate.value
    assert float(lines(tmp_path / "board")["wobble", "official"]["shift"]) == pytest.approx(expected, rel=1e-5)


def test_an_edited_record_is_never_read(tmp_path):
    run = whole_run(tmp_path / "run")
    record = run.records()[0]
    value = json.dumps(record.figures.values["shift"])
    edited(run.folder / "records" / "one.json", value, "0.0001")
    with pytest.raises(InputError) as raised:
        Run.read(run.folder).records()
    assert raised.value.code == "run.record"
    assert make_run(run.folder).records()[0].to_json() == record.to_json()


@pytest.mark.parametrize(
    ("old", "new"),
    [('"samples": 20', '"samples": 30'), ('"model": "wobble"', '"model": "better"'), ('"seed": 0', '"seed": 1')],
)
def test_an_edited_manifest_is_refused(tmp_path, old, new):
    run = whole_run(tmp_path / "run")
    edited(run.folder / "manifest.json", old, new)
    assert "the manifest was changed" in refusal(Run.read(run.folder), suite())


def test_a_run_that_says_it_is_official_is_not_believed(tmp_path):
    run = make_run(tmp_path / "run", identity(samples=10), samples=10)
    manifest = json.loads((run.folder / "manifest.json").read_text())
    (run.folder / "manifest.json").write_text(json.dumps(manifest | {"official": True, "unofficial_because": []}))
    rebuild(suite(), [Run.read(run.folder)], TOY.specs, tmp_path / "board")
    assert ("wobble", "unofficial") in lines(tmp_path / "board")


@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_run_without_its_ensembles_is_claimed(tmp_path, change):
    run = whole_run(tmp_path / "run")
    if change == "gone":
        run.ensemble_path("two").unlink()
    else:
        run.save_ensemble(ensemble("two", seed=9))
    rebuild(suite(), [run], TOY.specs, tmp_path / "board")
    line = lines(tmp_path / "board")["wobble", "claimed"]
    assert "cannot be traced" in line["because"]
    assert "two" in line["because"]


def test_a_suite_that_was_edited_under_its_id_is_another_suite(tmp_path, runs):
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    before = (tmp_path / "toy-v1.csv").read_bytes()
    other = suite(seed=7)
    assert "was changed" in refusal(runs["stiff"], other)
    with pytest.raises(InputError) as raised:
        rebuild(other, [], TOY.specs, tmp_path)
    assert raised.value.code == "board.suite"
    assert (tmp_path / "toy-v1.csv").read_bytes() == before
    assert suite(title="Another title").digest() == suite().digest()


def test_the_table_of_another_suite_under_this_name_is_refused(tmp_path, runs):
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    (tmp_path / "toy-v1.csv").rename(tmp_path / "toy-v2.csv")
    with pytest.raises(InputError) as raised:
        rebuild(suite(id="toy-v2"), [], TOY.specs, tmp_path)
    assert raised.value.code == "board.suite"


def test_a_run_that_failed_erases_no_figures(tmp_path, runs):
    whole = make_run(tmp_path / "whole", identity("model", seed=3))
    broken = make_run(tmp_path / "broken", identity("model", seed=4))
    for name in list(SEQUENCES)[:3]:
        broken.save_record(Job(name, SEQUENCES[name], "md-implicit", None, None).failed("torn"))
    broken.finish(TOY.specs, suite())
    rebuild(suite(), [whole], TOY.specs, tmp_path)
    before = lines(tmp_path)["model", "unofficial"]
    board = rebuild(suite(), [broken], TOY.specs, tmp_path)
    assert lines(tmp_path)["model", "unofficial"] == before
    assert ("model", "incomplete") not in lines(tmp_path)
    (remark,) = board.remarks
    assert "this run has 2/5" in remark


def test_a_run_of_which_nothing_was_scored_has_no_row(tmp_path):
    run = make_run(tmp_path / "run")
    for name in SEQUENCES:
        run.save_record(Job(name, SEQUENCES[name], "md-implicit", None, None).failed("torn"))
    run.finish(TOY.specs, suite())
    assert refusal(run, suite()) == "none of its targets was scored"


def test_columns_of_metrics_that_are_not_installed_here_stay(tmp_path, runs):
    extra = Metric("extra", (spec("theirs", aggregate="mean"),), lambda pair: {"theirs": 4.0})
    both = Metric("both", (*TOY.specs, *extra.specs), lambda pair: {**TOY.compute(pair), **extra.compute(pair)})
    with_plugin = make_run(tmp_path / "run", identity("model"), metric=both)
    rebuild(suite(), [with_plugin], both.specs, tmp_path)
    before = lines(tmp_path)["model", "official"]
    assert before["theirs"] == "4"
    rebuild(suite(), [runs["stiff"]], TOY.specs, tmp_path)
    assert lines(tmp_path)["model", "official"] == before
    assert lines(tmp_path)["stiff", "official"]["theirs"] == ""
    rebuild(suite(), [], both.specs, tmp_path)
    assert lines(tmp_path)["model", "official"] == before


def test_ensembles_from_elsewhere_never_take_the_row_of_a_card(tmp_path, runs):
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    before = lines(tmp_path)["wobble", "official"]
    who = identity("wobble", card={}, ensembles="a" * 64, samples=None, seed=None)
    board = rebuild(suite(), [make_run(tmp_path / "own", who)], TOY.specs, tmp_path)
    assert lines(tmp_path)["wobble", "official"] == before
    assert "another --name" in board.remarks[0]


@pytest.mark.parametrize("name", ["(floor)", "", "=1+1", "../x", "a\nb", "\x1b[2J", "x" * 300])
def test_a_name_that_is_none_has_no_row(tmp_path, runs, name):
    run = runs["wobble"]
    other = Run(run.folder, replace(run.identity, model=name), {})
    assert "no name" in refusal(other, suite())


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
    run = whole_run(tmp_path / "run")
    (run.folder / "summary.csv").unlink()
    assert "not finished" in refusal(run, suite())


def test_another_csv_is_not_overwritten(tmp_path, runs):
    path = tmp_path / "toy-v1.csv"
    path.write_text("name,score\nx,1\n")
    with pytest.raises(InputError, match="not a leaderboard"):
        rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    assert path.read_text() == "name,score\nx,1\n"


@pytest.mark.parametrize(
    "damage", ["short row", "long row", "no number", "not UTF-8", "NUL", "quote", "empty", "columns of one name"]
)
def test_a_damaged_table_is_one_line_and_stays(tmp_path, runs, damage):
    rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    path = tmp_path / "toy-v1.csv"
    data = path.read_bytes()
    figure = lines(tmp_path)["wobble", "official"]["shift"].encode()
    damaged = {
        "short row": data.rsplit(b",", 1)[0],
        "long row": data.rstrip(b"\n") + b",x\n",
        "no number": data.replace(figure, b"1.2.3"),
        "not UTF-8": data.replace(b"wobble", b"\xff\xfe"),
        "NUL": data.replace(b"wobble", b"wob\0ble"),
        "quote": data + b'"',
        "empty": b"",
        "columns of one name": b"".join(line + b"," + line.split(b",")[-1] + b"\n" for line in data.splitlines()),
    }[damage]
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"not a leaderboard|not a number") as raised:
        rebuild(suite(), [], TOY.specs, tmp_path)
    assert raised.value.code == "board.read"
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == damaged


def test_an_unwritable_leaderboard_is_a_run_error(tmp_path, runs, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(leaderboard, "replace_file", full)
    with pytest.raises(RunError, match="No space left on device; it is as it was"):
        rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)


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
    text = markdown(board, suite(), ranking_of("stiff", "wobble"))
    rows = {
        line.split("|")[1].strip(): [x.strip() for x in line.split("|")[2:-1]]
        for line in text.splitlines()
        if line[:1] == "|"
    }
    assert rows["metric"] == ["MD", "perfect model", "MD against itself", "stiff", "wobble", "wobble (unofficial)"]
    assert re.fullmatch(r"\*\*[\d.]+ \([\d.]+–[\d.]+\)\*\*", rows["shift [A] ↓"][3])
    assert rows["rmsf [A] → MD"][4].endswith("†")
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


def ranking_of(better, worse, *untested):
    """The ranking where one model is better than another in all metrics of one number, on twelve targets."""
    keys = [spec for spec in TOY.specs if spec.better == "lower"]
    runs = {
        name: Stub(name, [MetricValues({spec.key: base + 0.01 * (k % 5) for spec in keys}) for k in range(12)])
        for name, base in ((better, 0.0), (worse, 1.0))
    }
    return Ranking(frozenset((better, worse, *untested)), all_pairs(runs, keys))


def test_only_official_and_current_rows_can_be_best(board):
    page = html(board, suite(), ranking_of("stiff", "wobble"))
    stale = next(column for column in board.specs if column.key == "rmsf")
    assert stale.version == 2
    aside = [row for row in page.split("<tr class=") if row.startswith(('"aside"', '"floor"'))]
    assert aside
    assert all('class="best"' not in row for row in aside)
    assert 'class="best"' in page


def test_a_value_is_bold_only_where_the_paired_test_prefers_it_to_every_other(runs, tmp_path):
    made = rebuild(suite(), [runs["wobble"], runs["stiff"]], TOY.specs, tmp_path)
    of = {line["model"]: float(line["shift"]) for line in made.lines}
    best, other = sorted(("wobble", "stiff"), key=of.__getitem__)

    def bold(ranking):
        return {row.split()[1] for row in markdown(made, suite(), ranking).splitlines() if "**" in row}

    assert bold(ranking_of(best, other)) == {"shift"}
    assert bold(ranking_of(other, best)) == set()  # the best value is not the better one by the test
    assert bold(Ranking(frozenset((best, other)))) == set()  # a table without runs
    assert "**" not in (tmp_path / "toy-v1.md").read_text()  # five targets are too few for the test


def test_an_untested_model_leaves_none_the_best():
    losses = {"one": 1.0, "two": 2.0}
    pairs = ranking_of("one", "two").pairs
    assert pairs.best("shift", losses) == "one"
    assert pairs.best("shift", losses | {"three": 3.0}) == ""
    assert pairs.best("shift", {"one": 1.0}) == ""


def test_all_files_of_a_leaderboard_are_written_together(tmp_path, board):
    assert {path.name for path in tmp_path.glob("toy-v1.*")} == {"toy-v1.csv", "toy-v1.md", "toy-v1.html"}
    assert (tmp_path / "toy-v1.md").read_text() == markdown(board, suite())
    assert (tmp_path / "toy-v1.html").read_text() == html(board, suite())


def test_texts_from_outside_are_inert_in_markdown_and_csv(tmp_path, runs):
    found = rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path)
    evil = "<script>x</script> [a](javascript:x) | =1+1\n# head \x1b[2J"
    line = found.lines[1] | {"because": evil, "model": "=cmd()", "status": "unofficial"}
    text = markdown(replace(found, lines=(line,)), suite(title=evil))
    assert "<script" not in text
    assert "](" not in text
    assert "\n# head" not in text
    assert "\x1b" not in text
    assert "'=cmd()" in replace(found, lines=(line,)).to_csv()


def test_a_model_is_better_than_those_that_the_adjusted_test_tells():
    shift = spec("a", aggregate="mean")
    far, near, same = (
        Stub(name, [MetricValues({"a": base + 0.01 * (k % 5)}) for k in range(12)])
        for name, base in (("far", 1.0), ("near", 0.0), ("same", 0.0))
    )
    assert better_than([far, near, same], [shift]) == {"far": "", "near": "far=1", "same": "far=1"}
    assert better_than([far], [shift]) == {}
    other = Stub("other", [MetricValues({"a": 0.0})] * 12, energy="amber99sbildn-obc")
    assert better_than([far, other], [shift]) == {}


def test_the_board_says_which_models_are_beaten(runs, tmp_path):
    chosen = suite(primary=("shift",))
    made = rebuild(chosen, [runs["wobble"], runs["stiff"]], TOY.specs, tmp_path)
    assert "better_than" not in made.to_csv()  # five targets are too few for any verdict
    line = made.lines[-1] | {"better_than": "stiff=2 static=1"}
    assert verdict_text(line) == "stiff (2), static (1)"
    assert read_board(tmp_path / "toy-v1.csv", chosen, TOY.specs).lines[-1]["status"] == "official"
