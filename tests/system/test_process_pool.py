import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import pytest

from ebabench.errors import RunError
from ebabench.system.process_pool import workers

SLOW = """
import time
from test_process_pool import process, wait
from ebabench.system.process_pool import workers

if __name__ == "__main__":
    with workers(2) as pool:
        print(*{pool.submit(process, k).result() for k in range(8)}, flush=True)
        pool.submit(wait, 60).result()
"""


# The command ends when it has started a process and has not told it yet what to do, or has told it a part of that.
ENDS_EARLY = """
import builtins, os, signal, time
from test_process_pool import process
from ebabench.system.process_pool import workers

OPEN = open

class Cut:
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def write(self, data):
        self.file.write(bytes(data)[:{told}])
        self.file.flush()
        {end}

def opened(file, *arguments, **options):
    found = OPEN(file, *arguments, **options)
    return Cut(found) if isinstance(file, int) and "wb" in arguments else found

if __name__ == "__main__":
    builtins.open = opened
    with workers(2) as pool:
        pool.submit(process, 0).result()
"""


def process(_):
    time.sleep(0.05)
    return os.getpid()


def wait(seconds):
    time.sleep(seconds)


def threads(_):
    import numpy as np  # noqa: F401  (loads BLAS)
    from threadpoolctl import threadpool_info

    return [library["num_threads"] for library in threadpool_info()]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True


def test_a_worker_has_one_thread_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with workers(1) as pool:
        found = pool.submit(threads, 0).result()
    assert found
    assert set(found) == {1}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def started(script, text):
    """Start a script. Its output ends when the last process ends that it started."""
    script.write_text(text)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
        # A shell that starts the tests in the background has interruptions ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def test_workers_end_when_their_process_is_killed(tmp_path):
    parent = started(tmp_path / "slow.py", SLOW)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert pids
    assert all(alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    _, errors = parent.communicate(timeout=60)
    assert not errors
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("told", [0, 100, 100_000])
def test_workers_that_have_just_been_started_end_without_a_word(told, tmp_path):
    parent = started(tmp_path / "early.py", ENDS_EARLY.format(told=told, end="os.kill(os.getpid(), signal.SIGKILL)"))
    out, errors = parent.communicate(timeout=60)
    assert parent.returncode == -signal.SIGKILL
    assert not out + errors


def test_an_interruption_of_workers_that_are_being_started_is_told_once(tmp_path):
    text = ENDS_EARLY.format(told=0, end="time.sleep(0.5); os.killpg(0, signal.SIGINT)")
    parent = started(tmp_path / "early.py", text)
    _, errors = parent.communicate(timeout=60)
    assert errors.count("KeyboardInterrupt") == 1


def test_a_script_without_a_guard_is_run_once(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(
        "print('once in', __name__)\n"
        + SLOW.replace('if __name__ == "__main__":', "if True:").replace("wait, 60", "wait, 0")
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_was_killed_is_one_line():
    with pytest.raises(RunError) as error, workers(1) as pool:
        pool.submit(die, 0).result()
    assert error.value.code == "process.died"


def test_a_pool_that_cannot_hand_out_tasks_is_one_line(monkeypatch, capsys):
    """Where memory is short no thread starts. The pool's own threads then end, and nobody fills the futures."""

    def full(_queue):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("multiprocessing.queues.Queue._start_thread", full)
    with pytest.raises(RunError) as told, workers(1) as pool:
        pool.submit(abs, -1).result(timeout=30)
    assert told.value.code == "process.died"
    with workers(1) as pool, suppress(BrokenProcessPool):
        pool.submit(abs, -1).result(timeout=30)
    for process in multiprocessing.active_children():
        process.join(5)
    assert not multiprocessing.active_children()
    assert capsys.readouterr().err == ""
