"""One's own rows lie in a leaderboard of one's own, and are shown beside those that are shipped."""

import csv

import pytest
from synthetic_runs import TOY, identity, make_run, suite

from ebabench.errors import InputError
from ebabench.results import leaderboard
from ebabench.results.leaderboard import FLOOR, rebuild


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBABENCH_CACHE", str(folder / "cache"))
        return {
            "wobble": make_run(folder / "wobble"),
            "stiff": make_run(folder / "stiff", identity("stiff"), amplitude=0.1),
            "softer": make_run(folder / "softer", identity("stiff"), amplitude=0.5),
            "few": make_run(folder / "few", identity("few", targets=("one", "two"))),
            "short": make_run(folder / "short", identity("short", samples=5), samples=5),
        }


@pytest.fixture
def shipped(tmp_path, runs, monkeypatch):
    folder = tmp_path / "shipped"
    monkeypatch.setattr(leaderboard, "package_folder", lambda _: folder)
    rebuild(suite(), [runs["stiff"]], TOY.specs, folder)
    return folder


def figures(lines):
    return {line["model"]: line["shift"] for line in lines}


def table(folder):
    with (folder / "toy-v1.csv").open(newline="") as file:
        return figures(csv.DictReader(file))


def test_own_rows_are_shown_beside_shipped_ones_and_written_apart(tmp_path, runs, shipped):
    before = {path.name: path.read_bytes() for path in shipped.iterdir()}
    board = rebuild(suite(), [runs["wobble"]], TOY.specs, tmp_path / "own")
    assert list(figures(board.lines)) == [FLOOR, "stiff", "wobble"]
    assert list(table(tmp_path / "own")) == [FLOOR, "wobble"]
    for page in ("toy-v1.md", "toy-v1.html"):
        assert "stiff" in (tmp_path / "own" / page).read_text()
    assert {path.name: path.read_bytes() for path in shipped.iterdir()} == before


def test_of_one_model_the_own_row_is_shown(tmp_path, runs, shipped):
    board = rebuild(suite(), [runs["softer"]], TOY.specs, tmp_path / "own")
    assert figures(board.lines)["stiff"] == table(tmp_path / "own")["stiff"] != table(shipped)["stiff"]


@pytest.mark.parametrize("own", ["few", "short"])
def test_a_run_that_is_not_official_never_replaces_the_official_floor(tmp_path, runs, shipped, own):
    board = rebuild(suite(), [runs[own]], TOY.specs, tmp_path / "own")
    assert own in figures(board.lines)
    assert figures(board.lines)[FLOOR] == table(shipped)[FLOOR] != table(tmp_path / "own")[FLOOR]
    rebuild(suite(), [runs["short"], runs["few"]], TOY.specs, tmp_path / "both")
    rebuild(suite(), [runs["short"]], TOY.specs, tmp_path / "all")
    assert table(tmp_path / "both")[FLOOR] == table(tmp_path / "all")[FLOOR]  # of two, that of more targets


def test_the_shipped_folder_is_brought_up_to_date_itself(runs, shipped):
    rebuild(suite(), [runs["wobble"]], TOY.specs, shipped)
    assert list(table(shipped)) == [FLOOR, "stiff", "wobble"]


def test_a_row_of_ones_own_is_removed_and_a_shipped_one_is_not(tmp_path, runs, shipped):
    own = tmp_path / "own"
    rebuild(suite(), [runs["wobble"], runs["softer"]], TOY.specs, own)
    rebuild(suite(), [runs["wobble"]], TOY.specs, own, remove=["wobble"])
    assert list(table(own)) == [FLOOR, "stiff"]
    with pytest.raises(InputError) as refused:
        rebuild(suite(), [], TOY.specs, own, remove=["wobble"])
    assert refused.value.code.startswith("unknown.")
    assert list(table(own)) == [FLOOR, "stiff"]
