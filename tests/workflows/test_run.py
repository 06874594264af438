"""A model sampled and scored from Python: what a run opens, how sessions share it, and what it leaves out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from command import Tiny

import ebabench
from ebabench import InputError, Metric, MetricSpec, RunError

QUICK = ["pairwise_rmsd"]
NAMES = ["AGS", "KDE", "FAV"]
_watched: list[Counter[str]] = []

# Samples slowly and says what it samples, so that a test sees who did what.
MODULE = """
import os, time
from pathlib import Path
import numpy as np
from ebabench.structures import Ensemble

class Slow:
    def sample(self, target, samples, seed):
        with Path(__file__).with_name("said").open("a") as said:
            said.write(f"{os.getpid()} {target.name}\\n")
        time.sleep(float(os.environ.get("SLOW", "0")))
        noise = np.random.default_rng(seed).normal(scale=0.1, size=(samples, *target.native.shape))
        return Ensemble(target.name, target.atoms, (target.native + noise).astype(np.float32))

def build(card, resources):
    return Slow()
"""
CARD = """
name = "slow"
title = "Slow"
family = "test"
paper = "none"
licence = "MIT"
entry = "slow_module:build"
[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"
"""


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], str) and "w" not in str(arguments[1] or ""):
        for counter in _watched:
            counter[arguments[0]] += 1


sys.addaudithook(_audit)


@contextmanager
def openings(*folders: Path) -> Iterator[Counter[str]]:
    """Counts how often each file below the folders is opened for reading in this process."""
    counted: Counter[str] = Counter()
    _watched.append(counted)
    try:
        yield counted
    finally:
        _watched.remove(counted)
        for path in list(counted):
            inside = any(path.startswith(str(folder)) for folder in folders)
            if not inside or not Path(path).is_file() or path.endswith(".lock"):
                del counted[path]


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    (tmp_path / "slow.toml").write_text(CARD)
    (tmp_path / "slow_module.py").write_text(MODULE)
    return tmp_path / "slow.toml"


@pytest.fixture
def started(tiny: Tiny, tmp_path: Path) -> Callable[..., ebabench.Run]:
    """``ebabench.run`` on the tiny suite, scored by a thread of this process."""

    def start(model: str = "static", **options: object) -> ebabench.Run:
        settings = {"data": tiny.data, "metrics": QUICK, "out": tmp_path / "run", "leaderboards": None}
        with ThreadPoolExecutor(1) as executor:
            return ebabench.run(model, str(tiny.suite), **{"executor": executor, **settings, **options})

    return start


def test_a_run_opens_each_trajectory_once_and_parses_no_record(
    tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run]
) -> None:
    with openings(tiny.data, tmp_path / "run") as counted:
        started("md-replica")
    assert {Path(path).name: count for path, count in counted.items() if path.endswith((".xtc", ".pdb"))} == {
        **{f"{name}.pdb": 1 for name in NAMES},
        **{f"{name}_prod_R{k}_fit.xtc": 1 for name in NAMES for k in (1, 2)},
    }
    own = {Path(path).name: count for path, count in counted.items() if path.startswith(str(tmp_path / "run"))}
    assert {name: count for name, count in own.items() if name.endswith((".json", ".csv"))} == {}


def test_a_resumed_run_parses_each_record_once(
    tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run]
) -> None:
    started()
    with openings(tiny.data, tmp_path / "run") as counted:
        made = started(metrics=[*QUICK, "rmwd"])
        _ = made.summary, made.targets, made.failed, repr(made)
    parsed = {Path(path).name: count for path, count in counted.items() if path.endswith((".json", ".csv"))}
    assert parsed == {"manifest.json": 1, **{f"{name}.json": 1 for name in NAMES}}
    assert max(count for path, count in counted.items() if path.endswith((".xtc", ".pdb"))) == 1


def test_scores_against_a_folder_open_each_file_once(
    tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run]
) -> None:
    given = started().folder / "ensembles"
    with openings(tiny.data, tmp_path / "scored") as counted, ThreadPoolExecutor(1) as executor:
        ebabench.score_ensembles(
            given, reference=tiny.data, name="x", metrics=QUICK, out=tmp_path / "scored", executor=executor
        )
    assert {path: count for path, count in counted.items() if count > 1} == {}


def test_a_refusal_names_the_files_of_the_ensemble(
    tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run]
) -> None:
    given = tmp_path / "given"
    shutil.copytree(started().folder / "ensembles", given)
    with np.load(given / "KDE.npz") as file:
        arrays = dict(file)
    arrays["positions"][1] = np.nan
    np.savez(given / "KDE.npz", **arrays)
    options = {"name": "x", "metrics": QUICK, "jobs": 1, "out": tmp_path / "scored"}
    made = ebabench.score_ensembles(given, reference=tiny.data, **options)
    assert list(made.failed) == ["KDE"]
    assert str(given / "KDE.npz") in made.failed["KDE"]


def test_copies_are_counted_and_told(tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run]) -> None:
    given = tmp_path / "given"
    shutil.copytree(started().folder / "ensembles", given)
    with np.load(given / "KDE.npz") as file:
        arrays = dict(file)
    arrays["positions"][1] = arrays["positions"][0]
    np.savez(given / "KDE.npz", **arrays)
    options = {"name": "x", "metrics": QUICK, "jobs": 1, "out": tmp_path / "scored"}
    made = ebabench.score_ensembles(given, reference=tiny.data, **options)
    told = [remark for remark in made.remarks if "are copies" in remark]
    assert [remark.partition(":")[0] for remark in told] == ["KDE"]
    assert f"1 of {len(arrays['positions'])} conformations are copies" in told[0]


def test_large_references_are_not_read_before_sampling(
    tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ebabench.workflows import targets

    monkeypatch.setattr(targets, "_SMALL", 0)
    with openings(tiny.data, tmp_path / "sampled") as counted:
        ebabench.sample("static", str(tiny.suite), data=tiny.data, out=tmp_path / "sampled")
    assert not [path for path in counted if path.endswith(".xtc")]
    made = started()
    digests = made.identity.references
    assert set(digests or ()) == set(NAMES), "known once they are scored"
    shutil.copytree(tiny.data, tmp_path / "data")
    kde = tmp_path / "data" / "KDE"
    shutil.copy(kde / "KDE_prod_R2_fit.xtc", kde / "KDE_prod_R1_fit.xtc")
    with pytest.raises(InputError) as refused:
        started(data=tmp_path / "data")
    assert refused.value.code == "run.other"


def test_a_run_of_some_targets_is_completed_by_a_later_session(started: Callable[..., ebabench.Run]) -> None:
    made = started(targets=["KDE"])
    assert made.targets.index.tolist() == ["KDE"]
    assert any("not scored: AGS, FAV" in because for because in made.unofficial_because)
    again = started()
    assert again.targets.index.tolist() == NAMES
    assert not any("not scored" in because for because in again.unofficial_because)


def test_shards_make_a_whole(started: Callable[..., ebabench.Run], tmp_path: Path) -> None:
    for shard in ("1/2", "2/2"):
        started(shard=shard, out=tmp_path / "shared")
    whole = started()
    for name in ("targets.csv", "summary.csv"):
        assert (tmp_path / "shared" / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_shard_that_is_none(started: Callable[..., ebabench.Run], shard: str) -> None:
    with pytest.raises(InputError) as refused:
        started(shard=shard)
    assert refused.value.code == "usage.shard"


@pytest.mark.parametrize("settings", [{"samples": 2.5}, {"samples": "5"}, {"samples": 0}, {"seed": 0.5}])
def test_what_is_no_number_of_samples_or_no_seed_leaves_no_folder(
    started: Callable[..., ebabench.Run], tmp_path: Path, settings: dict[str, object]
) -> None:
    with pytest.raises(InputError) as refused:
        started(**settings)
    assert refused.value.code == "run.settings"
    assert not (tmp_path / "run").exists()


def test_one_target_and_one_metric_need_no_list(started: Callable[..., ebabench.Run]) -> None:
    made = started(targets="AGS", metrics="pairwise_rmsd")
    assert [record.target for record in made.records()] == ["AGS"]


def test_metrics_add_up(started: Callable[..., ebabench.Run], tmp_path: Path) -> None:
    """Two sessions with one family each leave what one session with both leaves."""
    first = started(metrics=["collapse"], out=tmp_path / "added")
    assert "pairwise_rmsd" not in first.summary.index
    assert any("not computed" in because for because in first.unofficial_because)
    added = started(metrics=QUICK, out=tmp_path / "added")
    both = started(metrics=["collapse", *QUICK])
    for path in sorted((both.folder / "records").iterdir()):
        assert (added.folder / "records" / path.name).read_bytes() == path.read_bytes()
    assert (added.folder / "summary.csv").read_bytes() == (both.folder / "summary.csv").read_bytes()


def test_no_energy_is_computed_where_none_is_wanted(
    started: Callable[..., ebabench.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ebabench.physics import energy

    monkeypatch.setattr(energy, "potential_energies", None)
    made = started(metrics=None, energy=False, targets=["AGS"])
    assert not made.failed
    assert "energy_w1" not in made.summary.index


def test_a_metric_of_ones_own_in_a_run(started: Callable[..., ebabench.Run]) -> None:
    """It need not pickle."""
    spec = MetricSpec("conformations", 1, "Conformations", "", "higher", "mean", "ca", "")
    made = started(metrics=[Metric("mine", (spec,), lambda pair: {"conformations": float(len(pair))})], executor=None)
    assert made.summary.loc["conformations", "value"] == 12


def test_a_metric_of_ones_own_is_computed_anew_since_its_code_may_have_changed(
    started: Callable[..., ebabench.Run],
) -> None:
    def value(number: float) -> float:
        spec = MetricSpec("mine", 1, "Mine", "", "higher", "mean", "ca", "")
        metric = Metric("mine", (spec,), lambda pair: {"mine": number})
        return float(started(metrics=[metric, *QUICK], targets=["AGS"]).summary.loc["mine", "value"])

    assert (value(1.0), value(2.0)) == (1.0, 2.0)


def test_references_that_are_not_here_are_left_out_and_named(
    tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run]
) -> None:
    shutil.copytree(tiny.data, tmp_path / "some")
    shutil.rmtree(tmp_path / "some" / "FAV")
    made = started(data=tmp_path / "some")
    assert made.targets.index.tolist() == ["AGS", "KDE"]
    assert any("1 of 3 targets" in remark and "FAV" in remark for remark in made.remarks)
    assert any("FAV" in because for because in made.unofficial_because)
    with pytest.raises(InputError) as refused:
        started(data=tmp_path / "some", targets=["FAV"])
    assert (refused.value.code, refused.value.named["target"]) == ("reference.missing", "FAV")
    assert started().targets.index.tolist() == NAMES, "goes on where the others are"


def test_a_failed_target_is_a_reason_and_not_an_exception(
    tiny: Tiny, tmp_path: Path, started: Callable[..., ebabench.Run], slow: Path
) -> None:
    module = slow.with_name("slow_module.py")
    module.write_text(MODULE.replace("noise = ", "assert target.name != 'KDE', 'no such peptide'\n        noise = "))
    made = started(str(slow))
    assert made.failed == {"KDE": "AssertionError: no such peptide"}
    assert len(made.targets) == 3
    with pytest.raises(RunError) as failed:
        made.check()
    assert (failed.value.code, failed.value.named["target"]) == ("run.failed", "KDE")


def test_ensembles_of_code_that_was_changed_since_are_named(
    started: Callable[..., ebabench.Run], slow: Path, tmp_path: Path
) -> None:
    """The code is no part of a card: what was kept stands, and is not taken for what the code of today samples."""
    first = started(str(slow), targets=["AGS"])
    assert not any("code" in told for told in [*first.remarks, *started(str(slow), targets=["AGS"]).remarks])
    slow.with_name("slow_module.py").write_text(MODULE.replace("scale=0.1", "scale=2.125"))
    mixed = started(str(slow))
    assert any("changed" in told and told.endswith("made anew") and "of AGS;" in told for told in mixed.remarks)
    assert any("versions of the model's code" in because for because in mixed.unofficial_because)
    spread = mixed.targets["pairwise_rmsd"]
    assert spread["KDE"] > 5 * spread["AGS"], "in one process, too"
    anew = started(str(slow), out=tmp_path / "anew")
    assert anew.targets["pairwise_rmsd"]["AGS"] > 5 * spread["AGS"]
    assert not any("code" in because for because in anew.unofficial_because)


def test_progress_is_told_and_nothing_is_printed(
    started: Callable[..., ebabench.Run], capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, int, int]] = []
    started(progress=lambda what, done, total: told.append((what, done, total)))
    assert told == [(what, done, 3) for what in ("sampling", "scoring") for done in range(4)]
    assert capfd.readouterr() == ("", "")


def test_runs_are_compared_by_a_metric_of_ones_own(started: Callable[..., ebabench.Run], tmp_path: Path) -> None:
    metric = Metric(
        "mine",
        (MetricSpec("mine_size", 1, "Mine", "", "lower", "mean", "ca", ""),),
        lambda pair: {"mine_size": float(pair.model_ca.std())},
    )
    runs = [started(name, metrics=metric, out=tmp_path / name) for name in ("static", "gaussian")]
    for asked in (None, "mine_size", ["mine_size"], metric):
        assert ebabench.compare(*runs, metrics=asked).index.tolist() == ["mine_size"]
    assert "mine_size" in ebabench.compare(*runs, metrics="all").index
    folders = [run.folder for run in runs]
    assert ebabench.compare(*folders, metrics=[metric]).loc["mine_size", "targets"] == 3
    with pytest.raises(InputError) as refused:
        ebabench.compare(*folders, metrics=["mine_size"])
    assert refused.value.code == "compare.own_metric"


def test_two_runs_are_compared_as_a_table(started: Callable[..., ebabench.Run], tmp_path: Path) -> None:
    static, replica = started(), started("md-replica", out=tmp_path / "other")
    table = ebabench.compare(static, tmp_path / "other", metrics=["pairwise_rmsd_mae"])
    assert table.loc["pairwise_rmsd_mae", "targets"] == 3
    mine, theirs = (run.targets["pairwise_rmsd_mae"] for run in (static, replica))
    assert table.loc["pairwise_rmsd_mae", "difference"] == pytest.approx(np.mean(mine - theirs))


def in_a_process(tiny: Tiny, card: Path, folder: Path, **environment: str) -> subprocess.Popen[str]:
    code = (
        "import sys, ebabench\n"
        f"run = ebabench.run({str(card)!r}, {str(tiny.suite)!r}, data={str(tiny.data)!r}, metrics={QUICK!r}, jobs=1,"
        f" out={str(folder)!r}, leaderboards=None)\n"
        "print(*run.remarks, sep='\\n')"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def said(card: Path) -> list[str]:
    """Targets that were sampled, by any process."""
    path = card.with_name("said")
    return [line.split()[1] for line in path.read_text().splitlines()] if path.exists() else []


def test_two_processes_share_the_targets_of_one_run(
    tiny: Tiny, slow: Path, tmp_path: Path, started: Callable[..., ebabench.Run]
) -> None:
    processes = [in_a_process(tiny, slow, tmp_path / "shared", SLOW="1") for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted(said(slow)) == sorted(NAMES), "each was sampled once"
    alone = started(str(slow))
    for name in ("targets.csv", "summary.csv"):
        assert (tmp_path / "shared" / name).read_bytes() == (alone.folder / name).read_bytes()


def test_a_target_of_a_killed_process_is_free_again(
    tiny: Tiny, slow: Path, tmp_path: Path, started: Callable[..., ebabench.Run]
) -> None:
    process = in_a_process(tiny, slow, tmp_path / "run", SLOW="60")
    while not said(slow):
        assert process.poll() is None
        time.sleep(0.01)
    made = started(str(slow))
    assert any("AGS" in remark for remark in made.remarks), "the other process holds it"
    assert made.targets.index.tolist() == ["KDE", "FAV"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert started(str(slow)).targets.index.tolist() == NAMES


def test_an_interruption_says_what_is_kept(started: Callable[..., ebabench.Run], slow: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("sampling", 2):
            raise KeyboardInterrupt

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt) as stopped:
        started(str(slow), progress=interrupt)
    assert any("2 ensembles" in note for note in stopped.value.__notes__)
    assert started(str(slow)).targets.index.tolist() == NAMES
    assert sorted(said(slow)) == sorted(NAMES), "nothing is sampled twice"


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_device_that_is_not_there(started: Callable[..., ebabench.Run], tmp_path: Path, device: str) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError) as refused:
        started(device=device)
    assert (refused.value.code, refused.value.named["device"]) == ("device.missing", device)
    assert not (tmp_path / "run").exists()
