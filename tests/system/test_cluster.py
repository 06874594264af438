"""Workers of a Dask cluster do what processes do, survive kills, and are refused where they are not fit."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from ebabench.errors import InputError, RunError
from ebabench.system.process_pool import THREADS, WorkerDiedError, stream, workers

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

from ebabench.system.cluster import ClusterExecutor, connect

pytestmark = pytest.mark.slow


def fit() -> str:
    return ""


def square(number: int) -> tuple[int, str]:
    return number * number, str(Path.cwd())


def refuse(folder: Path) -> str:
    """The first worker that is asked is fit, the others are not."""
    try:
        (folder / "asked").touch(exist_ok=False)
    except FileExistsError:
        return "it has ebabench 0.0.1, and here is 0.1.0"
    return ""


def late(folder: Path) -> str:
    return "it came later" if (folder / "later").exists() else ""


def fail() -> None:
    raise RunError("it cannot be", code="test.fails", target="KLED")


def die(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_kill(told: Path) -> str:
    """Say which process this is and wait, the first time."""
    if told.exists():
        return "done"
    told.write_text(str(os.getpid()))
    time.sleep(600)
    return "never"


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterExecutor]:
    with connect("local:2", fit) as executor:
        yield executor


@pytest.fixture
def address(cluster: ClusterExecutor) -> str:
    return str(cluster._client.scheduler.address)


def test_workers_return_what_processes_return(cluster: ClusterExecutor) -> None:
    with workers(1) as pool:
        expected = {item: future.result() for item, future in stream(pool, square, range(4))}
    assert {item: future.result() for item, future in stream(cluster, square, range(4))} == expected


def test_an_error_arrives_as_it_was_raised(cluster: ClusterExecutor) -> None:
    with pytest.raises(RunError) as error:
        cluster.submit(fail).result()
    assert (error.value.code, error.value.named) == ("test.fails", {"target": "KLED"})


def test_the_task_of_a_killed_worker_is_done_by_another(cluster: ClusterExecutor, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    future = cluster.submit(wait_for_kill, told)
    while not told.exists() or not told.read_text():
        time.sleep(0.05)
    os.kill(int(told.read_text()), signal.SIGKILL)
    assert future.result(timeout=60) == "done"


def test_a_task_that_killed_three_workers_fails(cluster: ClusterExecutor, tmp_path: Path) -> None:
    with pytest.raises(WorkerDiedError):
        cluster.submit(die, tmp_path).result(timeout=60)
    assert len(list(tmp_path.iterdir())) == 3
    assert cluster.submit(square, 3).result(timeout=60)[0] == 9


def test_a_worker_that_is_not_fit_is_named_before_any_work(
    cluster: ClusterExecutor, address: str, tmp_path: Path
) -> None:
    cluster._client.wait_for_workers(2, timeout=60)
    with pytest.raises(InputError) as error, connect(address, partial(refuse, tmp_path)):
        pytest.fail("work began")
    assert error.value.code == "cluster.worker"
    assert error.value.named["worker"] in {str(worker["name"]) for worker in cluster._workers().values()}


def test_a_worker_that_joins_later_is_checked_before_its_first_task(address: str, tmp_path: Path) -> None:
    with connect(address, partial(late, tmp_path)) as executor:
        (tmp_path / "later").touch()
        executor._client.restart()  # other processes, which no one has asked
        with pytest.raises(InputError) as error:
            executor.submit(square, 2).result(timeout=60)
    assert error.value.code == "cluster.worker"


def test_an_interruption_cancels_what_is_queued(cluster: ClusterExecutor, address: str, tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), connect(address, fit) as executor:
        futures = [executor.submit(time.sleep, 1) for _ in range(60)]
        raise KeyboardInterrupt
    assert not wait(futures, timeout=30).not_done
    assert cluster.submit(square, 2).result(timeout=30)[0] == 4


def test_a_scheduler_file_is_an_address(address: str, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": address}))
    with connect(file, fit) as executor:
        assert executor.submit(square, 5).result(timeout=30)[0] == 25


def test_a_resource_that_no_worker_has_is_refused(cluster: ClusterExecutor) -> None:
    with pytest.raises(InputError) as error:
        cluster.using(GPU=1)
    assert (error.value.code, error.value.named) == ("cluster.resources", {"resource": "GPU"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("local:0", "cluster.form"),
        ("nowhere", "cluster.form"),
        ("{}", "cluster.file"),
        ("no JSON", "cluster.file"),
        ("kind = 'slurm'", "cluster.file"),
        ("kind = 'cloud'\nworkers = 1", "cluster.file"),
        ("kind = 'slurm'\nworkers = 1\n[options]\nno_such_option = 1", "cluster.file"),
    ],
)
def test_what_is_no_cluster_is_refused(text: str, code: str, tmp_path: Path) -> None:
    if any(sign in text for sign in "={ "):
        file = tmp_path / ("cluster.toml" if "=" in text else "scheduler.json")
        file.write_text(text)
        text = str(file)
    with pytest.raises(InputError) as error, connect(text, fit):
        pytest.fail("connected")
    assert error.value.code == code


def silent(connection: socket.socket) -> None:
    """Say nothing."""


def another(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("answer", [silent, another])
def test_a_server_of_another_kind_is_no_scheduler(
    answer: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebabench.system.cluster._WAIT", 1)
    taken = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                taken.append(server.accept()[0])
                answer(taken[-1])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError) as error, connect(address, fit):
            pytest.fail("connected")
    assert (error.value.code, error.value.named) == ("cluster.unreachable", {"cluster": address})


def test_the_address_of_a_worker_is_none_of_a_scheduler(cluster: ClusterExecutor) -> None:
    cluster._client.wait_for_workers(1, timeout=60)
    with pytest.raises(InputError) as error, connect(next(iter(cluster._workers())), fit):
        pytest.fail("connected")
    assert error.value.code == "cluster.unreachable"


def test_what_waits_for_a_worker_fails_when_none_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebabench.system.cluster._ALONE", 2)
    with connect("local:1", fit) as executor:
        executor._client.cluster.scale(0)
        while executor._workers():
            time.sleep(0.05)
        with pytest.raises(RunError) as error:
            executor.submit(square, 2).result(timeout=60)
    assert error.value.code == "cluster.lost"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch system of this machine with the commands of SLURM; ``ended`` lists the jobs that were cancelled."""
    commands = {
        "sbatch": f'cp "$1" "$1.job"; setsid sh "$1.job" >{tmp_path}/job 2>&1 &\necho "Submitted batch job $!"',
        "scancel": f'echo "$1" >>{tmp_path}/ended; kill -- "-$1"',
    }
    for name, command in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{command}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    queue = "kind = 'slurm'\nworkers = 2\n[options]\nmemory = '1GB'\ninterface = 'lo'\n"
    (tmp_path / "cluster.toml").write_text(queue + "scheduler_options = {dashboard_address = ':0'}\n")
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="setsid")
def test_jobs_of_a_batch_system_work_and_are_ended(slurm: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with connect(slurm / "cluster.toml", str) as executor:  # a job does not know this module
        assert executor.submit(pow, 3, 2).result(timeout=60) == 9
        assert signal.getsignal(signal.SIGINT) is before
    assert len((slurm / "ended").read_text().split()) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="setsid")
@pytest.mark.parametrize("command", ["echo 'error: invalid partition' >&2; exit 1", "echo 'not now'", None])
def test_jobs_that_a_batch_system_does_not_take_are_told(
    slurm: Path, command: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (slurm / "sbatch").write_text(f"#!/bin/sh\n{command}\n")
    if command is None:
        monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(InputError) as error, connect(slurm / "cluster.toml", fit):
        pytest.fail("connected")
    assert (error.value.code, error.value.named) == ("cluster.jobs_refused", {"file": slurm / "cluster.toml"})


def test_libraries_that_a_worker_loaded_before_have_one_thread() -> None:
    program = (
        "import numpy, threadpoolctl; from ebabench.system.process_pool import limit_threads; limit_threads();"
        "import scipy.linalg; print({library['num_threads'] for library in threadpoolctl.threadpool_info()})"
    )
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{1}"


def test_items_are_begun_when_a_worker_is_free() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        done = [item for item, _ in stream(pool, square, range(6), lambda item: not begun.append(item) and item != 3)]
    assert begun == list(range(6))
    assert sorted(done) == [0, 1, 2, 4, 5]
