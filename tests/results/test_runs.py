import csv
import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_runs import SEQUENCES, TOY, ensemble, identity, make_run, reference, suite, whole_run

from ebabench.errors import InputError, RunError
from ebabench.results.identity import files_digest
from ebabench.results.leaderboard import rebuild
from ebabench.results.runs import Run
from ebabench.results.tables import SUMMARY_COLUMNS
from ebabench.scoring.score import Job, score_target
from ebabench.system import files as atomic
from ebabench.system.files import replace_file

root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json" and not path.name.startswith(".")
    }


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_that_another_process_begins_meanwhile_is_gone_on_with(tmp_path, monkeypatch):
    folder, look = tmp_path / "run", Path.glob

    def glob(self, pattern):
        monkeypatch.setattr(Path, "glob", look)
        Run.open(folder, identity())  # by the other process
        return look(self, pattern)

    folder.mkdir()
    monkeypatch.setattr(Path, "glob", glob)
    assert Run.open(folder, identity()).identity == Run.read(folder).identity


def test_a_run_folder_holds_what_it_promises(tmp_path):
    run = make_run(tmp_path / "run")
    assert set(files(run.folder)) == {
        "targets.csv", "summary.csv", *(f"ensembles/{name}.npz" for name in SEQUENCES),
        *(f"records/{name}.json" for name in SEQUENCES),
    }  # fmt: skip
    summary = rows(run.folder / "summary.csv")
    assert tuple(summary[0]) == SUMMARY_COLUMNS
    assert [row["metric"] for row in summary] == [spec.key for spec in TOY.specs if spec.aggregate]
    by_key = {row["metric"]: row for row in summary}
    assert float(by_key["shift"]["low"]) <= float(by_key["shift"]["value"]) <= float(by_key["shift"]["high"])
    assert (by_key["jaccard"]["n_targets"], by_key["jaccard"]["n_undefined"]) == ("4", "1")
    assert by_key["side_chains"]["value"] == ""
    targets = rows(run.folder / "targets.csv")
    assert [row["target"] for row in targets] == list(SEQUENCES)
    assert targets[1]["jaccard"] == ""
    assert float(targets[0]["rmsf"]) > 0
    assert "pairwise_rmsd_r" not in targets[0]


def test_two_runs_of_one_identity_have_the_same_bytes(tmp_path):
    assert files(make_run(tmp_path / "a").folder) == files(make_run(tmp_path / "b").folder)


def test_the_manifest_says_whose_and_where_and_whether_it_is_official(tmp_path):
    run = whole_run(tmp_path / "run")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["identity"]["model"] == "wobble"
    assert manifest["official"] is True
    (session,) = manifest["sessions"]
    assert {"started", "finished", "platform", "python", "libraries", "command"} <= set(session)
    assert Run.read(str(run.folder)).identity == run.identity


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": 10}, "samples 10, the suite has 20"),
        ({"seed": 1}, "seed 1, the suite has 0"),
        ({"protocol": "alphaflow"}, "protocol alphaflow, the suite has corrected"),
        ({"targets": ("one", "two", "three")}, "not scored: four, five"),
    ],
)
def test_a_run_with_other_settings_is_unofficial(tmp_path, change, said):
    run = make_run(tmp_path / "run", identity(**change))
    assert any(said in reason for reason in run.unofficial_because)


@pytest.mark.parametrize(("batch_size", "official"), [(None, True), (8, True), (20, True), (4, False)])
def test_smaller_batches_than_the_cards_are_said(tmp_path, batch_size, official):
    """Samples of such models depend on how many are computed at once: those of another machine would be others."""
    card = {"name": "wobble", "sampling": {"batch_size": 8}, "training": {"overlap": "not_trained"}}
    make = lambda name: replace(ensemble(name), batch_size=batch_size)  # noqa: E731
    run = make_run(tmp_path / "run", identity(card=card), make=make)
    assert (run.unofficial_because == []) == official
    assert run.load_ensemble("one").batch_size == batch_size


def test_a_run_of_parts_of_the_targets_is_unofficial(tmp_path):
    run = make_run(tmp_path / "run")
    run.save_record(replace(run.record("two"), missing_residues=1))
    run.finish(TOY.specs, suite())
    assert run.unofficial_because == ["residues are missing: two"]
    assert "two: 1 of 6 residues are missing" in rebuild(suite(), [run], TOY.specs, tmp_path).lines[1]["marks"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_what_was_damaged_is_made_again(tmp_path, damage):
    run = whole_run(tmp_path / "run")
    before = files(run.folder)
    for path in (run.ensemble_path("two"), run.folder / "records" / "one.json"):
        data = path.read_bytes()
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"cut": data[:-20], "flipped": flipped, "other": b"{}"}[damage])
    assert files(make_run(run.folder).folder) == before


def test_a_failed_target_makes_the_run_incomplete_and_is_tried_again(tmp_path):
    run = whole_run(tmp_path / "run")
    job = Job("two", SEQUENCES["two"], "md-implicit", lambda: None, lambda: None)
    run.save_record(job.failed("torn"))
    summary = run.finish(TOY.specs, suite())
    assert run.unofficial_because == ["incomplete: failed: two"]
    assert all(row.estimate.n_undefined >= 1 for row in summary)
    assert rows(run.folder / "targets.csv")[1]["error"] == "torn"
    assert run.pending(TOY.specs) == ["two"]
    assert make_run(run.folder).unofficial_because == []


def test_random_weights_and_missing_suites_are_never_official(tmp_path):
    run = make_run(tmp_path / "run", make=lambda name: replace(ensemble(name), random_weights=True))
    assert any("random weights" in reason for reason in run.unofficial_because)
    run.finish(TOY.specs, None)
    assert run.unofficial_because


def test_records_of_older_metrics_are_scored_again(tmp_path):
    run = whole_run(tmp_path / "run")
    assert run.pending(TOY.specs) == []
    newer = [replace(spec, version=2) if spec.key == "shift" else spec for spec in TOY.specs]
    assert run.pending(newer) == list(SEQUENCES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "other"}, "model: wobble there, other asked"),
        ({"suite": "toy-v2"}, "suite: toy-v1 there, toy-v2 asked"),
        ({"seed": 9}, "seed: 0 there, 9 asked"),
        ({"samples": 9}, "samples: 20 there, 9 asked"),
        ({"card": {"name": "wobble", "checkpoints": ["0" * 64]}}, "other card"),
        ({"targets": ("one",)}, "other targets"),
        ({"random_weights": True}, "random_weights: False there, True asked"),
        ({"references": {"one": "a"}}, "other references of one"),
        ({"references": None}, "an earlier version .* did not say what the references were"),
        ({"suite_digest": "a"}, "the suite toy-v1 was changed since"),
    ],
)
def test_the_folder_of_another_run_is_refused_and_left_alone(tmp_path, change, said):
    run = whole_run(tmp_path / "run")
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=said):
        Run.open(run.folder, identity(**change))
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_a_run_does_not_go_on_with_other_references(tmp_path):
    run = make_run(tmp_path / "run", identity(references={"one": "a", "two": "b"}))
    with pytest.raises(InputError, match=r"belongs to another run \(other references of two\)"):
        Run.open(run.folder, identity(references={"one": "a", "two": "c"}))
    with pytest.raises(InputError, match="did not say"):
        Run.open(run.folder, identity(references=None))


def test_a_reference_that_was_missing_may_come_later(tmp_path):
    Run.open(tmp_path / "run", identity(references={"one": "a"}))
    Run.open(tmp_path / "run", identity(references={"two": "b"}))
    assert Run.read(tmp_path / "run").identity.references == {"one": "a", "two": "b"}
    with pytest.raises(InputError, match="other references of one, two"):
        Run.open(tmp_path / "run", identity(references={"one": "c", "two": "d"}))


def test_a_manifest_of_an_earlier_version_can_be_read(tmp_path):
    run = whole_run(tmp_path / "run")
    path = run.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["identity"]["references"]
    path.write_text(json.dumps(manifest))
    assert Run.read(run.folder).identity.references is None
    assert len(Run.read(run.folder).records()) == len(SEQUENCES)


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not a run folder"):
        Run.open(tmp_path, identity())
    with pytest.raises(InputError, match="not a run folder"):
        Run.open(tmp_path / "thesis.tex", identity())
    with pytest.raises(InputError, match="not a run folder"):
        Run.read(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not the manifest"):
        Run.open(tmp_path, identity())


def test_a_damaged_record_is_named(tmp_path):
    run = whole_run(tmp_path / "run")
    path = run.folder / "records" / "two.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match=r"two\.json .*score the target again"):
        run.records()


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_no_space_or_permission_says_what_was_kept_and_goes_on_later(tmp_path, monkeypatch, fault):
    run = whole_run(tmp_path / "whole")
    small = Run.open(tmp_path / "small", identity())
    small.save_ensemble(ensemble("one"))
    small.save_record(run.records()[0])

    def full(handle):
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        with pytest.raises(RunError, match=rf"{os.strerror(fault)}; kept in .*: 1 ensembles and 1 records"):
            small.save_record(run.records()[1])
    assert not list(small.folder.rglob("*.tmp"))
    assert files(make_run(small.folder).folder) == files(run.folder)


@root
def test_no_permission_is_an_error_of_one_line(tmp_path):
    run = whole_run(tmp_path / "run")
    for path in (run.folder / "records", run.folder):
        path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="Permission denied"):
            run.save_record(run.records()[0])
        with pytest.raises(RunError, match="Permission denied"):
            Run.open(run.folder, identity())
    finally:
        for path in (run.folder, run.folder / "records"):
            path.chmod(0o700)


def test_a_run_that_was_killed_at_its_very_start_can_be_opened(tmp_path):
    left, live = tmp_path / ".manifest.json.abc.tmp", tmp_path / ".manifest.json.def.tmp"
    left.write_text("{")
    live.write_text("{")
    os.utime(left, (0, 0))
    Run.open(tmp_path, identity())
    assert not left.exists()
    assert live.exists(), "another process may be writing it"


def test_a_run_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        Run.open(tmp_path / "file" / "run", identity())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "x"
    replace_file(path, "old")

    def die(source, goal):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, "new")
    assert [item.name for item in tmp_path.iterdir()] == ["x"]
    assert path.read_text() == "old"


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    """A leaderboard that lies elsewhere, by a link: the row goes to where the others are."""
    (tmp_path / "shared").mkdir()
    replace_file(tmp_path / "shared" / "board", "old")
    link = tmp_path / "board"
    link.symlink_to(Path("shared") / "board")
    replace_file(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "shared" / "board").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["board", "board", "shared"]
    dangling = tmp_path / "dangling"
    dangling.symlink_to("not-yet")
    replace_file(dangling, "made")
    assert (tmp_path / "not-yet").read_text() == "made"


def test_the_digest_of_files_sees_contents_names_and_targets(tmp_path):
    (tmp_path / "a.pdb").write_text("1")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.cif").write_text("2")
    found = {"a": [tmp_path / "a.pdb"], "b": [tmp_path / "b" / "1.cif"]}
    before = files_digest(found)
    assert files_digest(found) == before
    (tmp_path / "b" / "1.cif").write_text("3")
    assert files_digest(found) != before
    assert files_digest({"a": [tmp_path / "a.pdb"]}) != files_digest({"z": [tmp_path / "a.pdb"]})


SLOWLY = """
import sys, time
from pathlib import Path
import synthetic_runs as toys
from ebabench.results.runs import Run

save = Run.save_record

def slow(run, record):
    save(run, record)
    print("kept", record.target, flush=True)
    time.sleep(float(sys.argv[2]))

Run.save_record = slow
toys.make_run(Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path):
    undisturbed = make_run(tmp_path / "undisturbed")
    folder = tmp_path / "killed"

    def start(pause):
        return subprocess.Popen(
            [sys.executable, "-c", SLOWLY, str(folder), pause],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )

    process = start("30")
    assert process.stdout is not None
    assert process.stdout.readline() == "kept one\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path.name for path in (folder / "records").iterdir()] == ["one.json"]
    left = folder / "records" / ".two.json.abc.tmp"
    left.write_text("what a kill in the middle of writing leaves")
    os.utime(left, (0, 0))
    resumed, _ = start("0").communicate()
    assert resumed.split() == ["kept", "two", "kept", "three", "kept", "four", "kept", "five"]
    assert files(folder) == files(undisturbed.folder)
    assert len(json.loads((folder / "manifest.json").read_text())["sessions"]) == 2


def test_scoring_order_does_not_matter(tmp_path):
    run = make_run(tmp_path / "run")
    other = Run.open(tmp_path / "other", identity())
    for name in reversed(SEQUENCES):
        other.save_ensemble(ensemble(name))
        other.save_record(score_target(ensemble(name), reference(name), [TOY]))
    other.finish(TOY.specs, suite())
    assert files(other.folder) == files(run.folder)
