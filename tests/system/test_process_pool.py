import os
import signal
import subprocess
import sys
import time
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


def test_workers_end_when_their_process_is_killed(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert pids
    assert all(alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


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
