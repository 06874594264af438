"""Workers: what they get, what is taken from them, and that every fault is the failure of one target with its log."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import ebabench
from proteins import build as protein

from ebabench.errors import InputError, RunError
from ebabench.generators.build import build
from ebabench.generators.cards import CARDS, Card, load_card
from ebabench.generators.protocol import Resources
from ebabench.generators.sampling import Outcome, sample
from ebabench.results.runs import Run
from ebabench.structures import Ensemble, Target
from ebabench.system.batching import is_out_of_memory, retry_with_smaller_batch

pytestmark = pytest.mark.slow

CARD = """
name = "faulty"
title = "Faulty"
family = "test"
paper = "none"
licence = "MIT"
script = "faulty_worker.py"
provides = "{provides}"
[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"
[environment]
kind = "worker"
timeout = {timeout}
variables = {{ COLOUR = "green" }}
[sampling]
batch_size = 8
fault = "{fault}"
"""


def card(folder: Path, fault: str = "", provides: str = "heavy", timeout: float = 60, more: str = "") -> Card:
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parents[1].joinpath("faulty_worker.py"), folder)
    path = folder / "faulty.toml"
    path.write_text(CARD.format(fault=fault, provides=provides, timeout=timeout) + more)
    return load_card(str(path))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def peptide() -> Target:
    return protein("GASTY")


def drawn(model: Card, target: Target, logs: Path, samples: int = 5, **resources: object) -> Outcome:
    """What the sampler makes of one target."""
    kept: dict[str, Ensemble] = {}
    generator = build(model, Resources("cpu", lambda name: None, logs=logs, **resources))
    (outcome,) = sample([generator], [target], samples, 1, kept.get, lambda e: None, model.provides)
    return outcome


def ends(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process is gone, or is a zombie that nobody fetched, within some time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("silent", "ended with exit code 0 and left no result.json"),
        ("garbage", "result.json cannot be read"),
        ("half a result", "result.json cannot be read"),
        ("pipe", "result.json cannot be read: .*is not a regular file"),
        ("endless answer", "result.json cannot be read: .*is not a regular file"),
        ("deletes its folder", "left no result.json"),
        ("piped samples", "samples.npz cannot be read: .*is not a regular file"),
        ("packed zeros", "samples.npz cannot be read: it holds 480000[0-9]* bytes"),
        ("ok without samples", "says ok, but left no samples.npz"),
        ("half a file", "samples.npz cannot be read"),
        ("pickled", "samples.npz cannot be read: .*allow_pickle"),
        ("lacks a column", "samples.npz lacks chains"),
        ("another shape", "positions have shape"),
        ("NaN", "1 of 5 conformations have positions that are not finite, first 4"),
        ("too few", "returned 4 conformations, 5 were asked for"),
        ("another sequence", "other atoms than the target's: the model's sequence does not fit"),
        ("lacks atoms", "it lacks ALA2:CB, SER3:CB, THR4:CB and 1 more"),
        ("only the backbone", "it lacks"),
        ("an atom twice", "returned an atom twice"),
        ("memory", "ended with exit code 1 and left no result.json.*MemoryError"),
        ("killed", r"was killed \(SIGKILL\), perhaps for want of memory"),
        ("says failed", "the worker failed: the sequence has an X"),
        ("no memory", "ran out of memory: CUDA out of memory"),
        ("random weights", "random weights, which were not asked for"),
    ],
)
def test_a_fault_is_found_and_its_log_kept(tmp_path: Path, peptide: Target, fault: str, said: str) -> None:
    logs = tmp_path / "logs"
    outcome = drawn(card(tmp_path / "model", fault), peptide, logs)
    assert outcome.ensemble is None
    with pytest.raises(RunError, match=said):
        raise RunError(outcome.error)
    assert "\n" not in outcome.error
    assert "sample synthetic in batches of" in (logs / "synthetic.log").read_text(errors="replace")


def test_a_sound_answer_is_taken_whatever_the_exit_code(tmp_path: Path, peptide: Target) -> None:
    sound = drawn(card(tmp_path / "a"), peptide, tmp_path / "logs").ensemble
    assert sound.positions.dtype == np.float32
    assert np.abs(sound.positions - peptide.native).max() < 0.5
    kept = json.loads((tmp_path / "logs" / "synthetic.json").read_text())
    assert (kept["status"], kept["batch_size"], list(kept["versions"])) == ("ok", 5, ["numpy"])
    for fault in ("exits with 1", "reversed within residues"):
        other = drawn(card(tmp_path / "b", fault), peptide, tmp_path / "logs").ensemble
        assert other.atoms.digest() == peptide.atoms.digest()
        assert np.array_equal(other.positions, sound.positions)


def test_a_hanging_worker_is_killed_with_all_that_it_started(tmp_path: Path, peptide: Target) -> None:
    started = time.monotonic()
    outcome = drawn(card(tmp_path / "model", "hang", timeout=6), peptide, tmp_path / "logs")
    assert time.monotonic() - started < 60
    assert "was killed at its deadline" in outcome.error
    assert "its last line: hanging" in outcome.error
    pids = (tmp_path / "cache" / "workers" / "faulty" / "pids").read_text().split()
    assert len(pids) == 3
    assert all(ends(int(pid)) for pid in pids)


@pytest.mark.parametrize("fault", ["leaves a child", "starts a daemon"])
def test_what_a_worker_leaves_behind_is_killed(tmp_path: Path, peptide: Target, fault: str) -> None:
    assert drawn(card(tmp_path / "model", fault), peptide, tmp_path / "logs").error is None
    assert ends(int((tmp_path / "cache" / "workers" / "faulty" / "pids").read_text()))


def test_a_worker_that_multiplies_is_killed_as_a_whole(tmp_path: Path, peptide: Target) -> None:
    model = card(tmp_path / "model", "bomb", timeout=4)
    assert "was killed at its deadline" in drawn(model, peptide, tmp_path / "logs").error
    script = str(tmp_path / "model" / "faulty_worker.py").encode()
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if script in path.read_bytes()]
    assert all(ends(int(path.parent.name)) for path in left)


def test_a_flood_of_output_is_kept_within_bounds(tmp_path: Path, peptide: Target) -> None:
    outcome = drawn(card(tmp_path / "model", "flood"), peptide, tmp_path / "logs")
    assert "ended with exit code 3" in outcome.error
    assert outcome.error.endswith("its last line: the last word)")
    log = tmp_path / "logs" / "synthetic.log"
    assert log.stat().st_size < 3 << 20
    assert b" bytes left out]" in log.read_bytes()


def test_half_the_batch_when_memory_runs_out(tmp_path: Path, peptide: Target) -> None:
    outcome = drawn(card(tmp_path / "model", "small memory"), peptide, tmp_path / "logs")
    assert len(outcome.ensemble) == 5
    assert json.loads((tmp_path / "logs" / "synthetic.json").read_text())["batch_size"] == 2
    assert outcome.ensemble.batch_size == 2
    asked = drawn(card(tmp_path / "model", ""), peptide, tmp_path / "logs", batch_size=3)
    assert asked.error is None
    assert json.loads((tmp_path / "logs" / "synthetic.json").read_text())["batch_size"] == 3


def test_the_compact_model_takes_as_many_at_once_as_memory_allows(peptide: Target) -> None:
    import torch

    card = CARDS.load("sft")
    whole = build(card, Resources("cpu", lambda name: None, batch_size=2)).sample(peptide, 4, 1)
    generator = build(card, Resources("cpu", lambda name: None))
    inner, seen = generator.denoiser.sample, []

    def scarce(*arguments: object, batch_residues: int, **settings: object) -> np.ndarray:
        seen.append(batch_residues // len(peptide.sequence))
        if seen[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(*arguments, batch_residues=batch_residues, **settings)

    generator.denoiser.sample = scarce
    assert np.array_equal(generator.sample(peptide, 4, 1).positions, whole.positions)
    assert seen == [4, 2]


def test_a_gpu_is_counted_among_those_that_are_visible(
    tmp_path: Path, peptide: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = card(tmp_path / "model")
    (tmp_path / "model" / "faulty_worker.py").write_text(
        "import json, os\nprint(os.environ.get('CUDA_VISIBLE_DEVICES'), json.load(open('request.json'))['device'])\n"
    )
    for visible, device, said in (
        ("4,5", "cuda:1", "5"),
        ("7", "cuda:0", "7"),
        ("", "cuda:1", "1"),
        ("7", "cuda", "7"),
        ("7", "cpu", ""),
    ):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        generator = build(model, Resources(device, lambda name: None, logs=tmp_path))
        with pytest.raises(RunError, match=f"last line: ?{said} {'cpu' if device == 'cpu' else 'cuda:0'}"):
            generator.sample(peptide, 2, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES shows 2") as refused:
        build(model, Resources("cuda:2", lambda name: None, logs=tmp_path)).sample(peptide, 2, 1)
    assert (refused.value.code, refused.value.named) == ("device.missing", {"device": "cuda:2"})


def test_halving_is_for_want_of_memory_only() -> None:
    import torch

    seen: list[int] = []

    def work(size: int, limit: int, error: type[Exception]) -> int:
        seen.append(size)
        if size > limit:
            raise error("no")
        return size

    assert retry_with_smaller_batch(9, lambda size: work(size, 1, torch.OutOfMemoryError)) == 1
    assert seen == [9, 4, 2, 1]
    with pytest.raises(MemoryError):
        retry_with_smaller_batch(4, lambda size: work(size, 0, MemoryError))
    seen.clear()
    with pytest.raises(RuntimeError):
        retry_with_smaller_batch(4, lambda size: work(size, 1, RuntimeError))
    assert seen == [4]


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("unable to mmap 9456 bytes from file <a.safetensors>: Cannot allocate memory (12)"), True),
        (ImportError("a.so: failed to map segment from shared object"), True),
        (SystemError("error return without exception set"), True),
        (SystemError("<built-in function f> returned NULL without setting an exception"), True),
        (SystemError("<built-in function f> returned a result with an exception set"), False),
        (RuntimeError("error return without exception set"), False),
        (ImportError("No module named 'a'"), False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), False),
        (RuntimeError("shapes do not fit"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_want_of_memory_has_many_names(error: BaseException, lacks: bool) -> None:
    assert is_out_of_memory(error) is lacks


def test_a_model_of_the_backbone_gives_the_backbone(tmp_path: Path, peptide: Target) -> None:
    outcome = drawn(card(tmp_path / "a", "only the backbone", "backbone"), peptide, tmp_path / "logs")
    assert sorted(set(outcome.ensemble.atoms.name.tolist())) == ["C", "CA", "N", "O"]
    assert outcome.ensemble.atoms.sequence == peptide.sequence


def test_random_weights_are_asked_for_and_marked(tmp_path: Path, peptide: Target) -> None:
    ensemble = drawn(card(tmp_path / "a"), peptide, tmp_path / "logs", random_weights=True).ensemble
    assert ensemble.random_weights
    assert not drawn(card(tmp_path / "a"), peptide, tmp_path / "logs").ensemble.random_weights


def test_a_worker_that_lacks_something_says_what(tmp_path: Path) -> None:
    needs = 'requirements = ["nothing-of-the-kind==1.0"]\n'
    model = card(tmp_path / "a")
    path = tmp_path / "a" / "faulty.toml"
    path.write_text(path.read_text().replace("timeout =", needs + "timeout ="))
    with pytest.raises(InputError, match=r"faulty needs install: `ebabench models install \S+faulty.toml`"):
        build(load_card(str(path)), Resources("cpu", lambda name: None))
    weights = '[[checkpoints]]\nname = "main"\nurl = "http://localhost:9/w.pt"\n'
    model = card(tmp_path / "b", more=weights)
    told = r"faulty needs weights: the checkpoint 'main' is not shipped.*`ebabench models install \S+faulty.toml`"
    with pytest.raises(InputError, match=told):
        build(model, Resources("cpu", lambda name: None))
    build(model, Resources("cpu", lambda name: None, random_weights=True))


def test_several_devices_share_the_targets(tmp_path: Path, peptide: Target) -> None:
    model = card(tmp_path / "model")
    targets = [replace(peptide, name=f"t{k}") for k in range(4)]
    devices = ("cuda:1", "cuda:2")
    generators = [build(model, Resources(one, lambda name: None, logs=tmp_path / "logs")) for one in devices]
    kept: dict[str, Ensemble] = {}
    outcomes = list(sample(generators, targets, 3, 1, kept.get, lambda e: kept.__setitem__(e.target, e)))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    alone: dict[str, Ensemble] = {}
    list(sample(generators[:1], targets[::-1], 3, 1, alone.get, lambda e: alone.__setitem__(e.target, e)))
    assert all(np.array_equal(kept[name].positions, alone[name].positions) for name in kept)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_workers_of_all_devices_end_with_the_run(tmp_path: Path, end: signal.Signals) -> None:
    model = card(tmp_path / "model", "hang")
    command = [sys.executable, "-c", "from ebabench.cli import main; main()", "sample", "--model", str(model.path)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored here
    process = subprocess.Popen([*command, "--device", "cpu,cpu"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    pids = tmp_path / "cache" / "workers" / "faulty" / "pids"
    while not pids.exists() or len(pids.read_text().split()) < 6:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(end)
    said = process.communicate(timeout=60)[1]
    assert all(ends(int(pid)) for pid in pids.read_text().split())
    if end == signal.SIGINT:
        assert process.returncode == 1
        assert "interrupted; kept in runs/peptides-v2/faulty" in said


def test_a_run_goes_on_past_a_fault_and_resumes(tmp_path: Path) -> None:
    model = card(tmp_path / "model", "NaN", more='on = "KLED"\n')
    command = ["sample", "--model", str(model.path), "--suite", "peptides-v1", "--samples", "4", "--out", "run"]
    done = ebabench(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "1 of 8 targets failed, KLED: 1 of 4 conformations have positions that are not finite" in done.stderr
    run = Run.read(tmp_path / "run")
    (record,) = run.records()
    assert (record.target, record.error is None) == ("KLED", False)
    first = {path.name: path.read_bytes() for path in (tmp_path / "run" / "ensembles").iterdir()}
    assert len(first) == 7
    assert (tmp_path / "run" / "logs" / "KLED.log").read_text().startswith("sample KLED")
    (tmp_path / "model" / "mended").touch()
    again = ebabench(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    second = {path.name: path.read_bytes() for path in (tmp_path / "run" / "ensembles").iterdir()}
    assert set(second) - set(first) == {"KLED.npz"}
    assert all(second[name] == data for name, data in first.items())


def test_a_worker_is_offline_and_keeps_to_itself(
    tmp_path: Path, peptide: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    model = card(tmp_path / "model")
    script = tmp_path / "model" / "faulty_worker.py"
    script.write_text(
        "import json, os\n"
        "names = ('COLOUR', 'https_proxy', 'HF_HUB_OFFLINE', 'PYTHONPATH', 'CUDA_VISIBLE_DEVICES')\n"
        "print(json.dumps([os.environ.get(name) for name in names] + [os.listdir('.')]))\n"
    )
    drawn(model, peptide, tmp_path / "logs")
    seen = json.loads((tmp_path / "logs" / "synthetic.log").read_text())
    assert seen[:5] == ["green", "http://127.0.0.1:9", "1", None, ""]
    assert sorted(seen[5]) == ["native.pdb", "request.json"]
    assert os.environ["PYTHONPATH"] == "/somewhere"
