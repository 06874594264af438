"""A download ends with the whole file or with one line that says why not, and goes on where it broke off."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, serving

import ebabench.system.download as module
from ebabench.errors import InputError, RunError
from ebabench.system.download import NotThereError, Pins, UnreachableError, download
from ebabench.system.files import replace_file

BODY = os.urandom(1_000_000)
PATH = "/a/file.zip"
IMPATIENT = (10.0, 0.3)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "BACKOFF", 0.01)
    with serving() as state:
        state.files[PATH] = BODY
        yield state


def test_a_file_arrives_whole_and_its_progress_is_told(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    download(server.url + PATH, tmp_path / "new" / "file.zip", lambda here, total: told.append((here, total)))
    assert (tmp_path / "new" / "file.zip").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.zip"]
    assert told[0][0] == 0
    assert [here for here, _ in told] == sorted(here for here, _ in told)
    assert {total for _, total in told} == {len(BODY)}


@pytest.mark.parametrize("fault", [503, 429, 500, ("cut", 300_000)])
def test_a_passing_fault_is_waited_out(server: Server, tmp_path: Path, fault: object) -> None:
    server.faults[PATH] = [fault, fault]
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert len(server.asked) == 3


def test_a_server_that_is_silent_is_asked_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", IMPATIENT)
    server.faults[PATH] = [("silent", 2.0)]
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == BODY
    assert len(server.asked) >= 2


def test_what_arrived_before_a_break_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    server.faults[PATH] = [("cut", 300_000), ("cut", 200_000)]
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == BODY
    starts = [int((wanted or "bytes=0-").removeprefix("bytes=").removesuffix("-")) for _, wanted in server.asked]
    assert starts[0] == 0
    assert 200_000 < starts[1] < starts[2] <= 500_000


def failed(server: Server, path: Path) -> None:
    """A download that gives up part-way."""
    server.faults[PATH] = [("cut", 400_000)] + [("cut", 0)] * (module.ATTEMPTS - 1)
    with pytest.raises(RunError, match=rf"{PATH}: broke off {module.ATTEMPTS} times"):
        download(server.url + PATH, path)
    assert not path.exists()
    assert server.faults[PATH] == []
    server.asked.clear()


def test_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    failed(server, tmp_path / "file.zip")
    download(server.url + PATH, tmp_path / "file.zip")
    assert server.asked[0][1] is not None
    assert (tmp_path / "file.zip").read_bytes() == BODY


@pytest.mark.parametrize("change", ["other file", "no range", "no tag", "shorter"])
def test_the_next_call_begins_anew_where_going_on_would_be_wrong(server: Server, tmp_path: Path, change: str) -> None:
    server.tags = change != "no tag"
    failed(server, tmp_path / "file.zip")
    server.ranges = change != "no range"
    server.files[PATH] = {"other file": BODY[::-1], "shorter": BODY[:1000]}.get(change, BODY)
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == server.files[PATH]


def test_another_part_than_was_asked_for_is_not_added(server: Server, tmp_path: Path) -> None:
    failed(server, tmp_path / "file.zip")
    server.faults[PATH] = [("elsewhere", 1000)]
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_a_kill_before_the_first_byte_of_another_file_leaves_nothing_to_go_on_from(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(server, tmp_path / "file.zip")
    server.files[PATH] = BODY[::-1]

    def killed(path: Path, data: str) -> None:
        replace_file(path, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "replace_file", killed)
        with pytest.raises(KeyboardInterrupt):
            download(server.url + PATH, tmp_path / "file.zip")
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == BODY[::-1]


def test_the_rest_of_another_address_is_not_added(server: Server, tmp_path: Path) -> None:
    failed(server, tmp_path / "file.zip")
    server.files["/b/file.zip"] = BODY[::-1]
    download(f"{server.url}/b/file.zip", tmp_path / "file.zip")
    assert server.asked == [("/b/file.zip", None)]
    assert (tmp_path / "file.zip").read_bytes() == BODY[::-1]


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (404, NotThereError, "answers 404"),
        (410, NotThereError, "answers 410"),
        (403, RunError, "answers 403"),
        (503, RunError, "answers 503"),
        (("silent", 2.0), RunError, "silent for 0 s, 5 times"),
    ],
)
def test_a_lasting_fault_is_one_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: object, kind: type[RunError], said: str
) -> None:
    if "silent" in said:
        monkeypatch.setattr(module, "TIMEOUT", IMPATIENT)
    server.faults[PATH] = [fault] * module.ATTEMPTS
    with pytest.raises(kind, match=f"{PATH}: .*{said}") as caught:
        download(server.url + PATH, tmp_path / "file.zip")
    assert "\n" not in str(caught.value)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (("redirect", "file:///etc/passwd"), "download.redirect"),
        (("redirect", PATH), "download.redirect"),
        (("headers", {"Content-Length": str(1 << 50)}), "download.size"),
        (("endless", 3_000_000), "download.size"),
        (("headers", {"Content-Length": "1100000"}), "download.broken"),
        (("status", 416), "download.broken"),
        (("status", 206), "download.broken"),
        pytest.param(("drip", 0.02), "download.broken", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_server_that_lies_is_one_line_and_nothing_is_put_into_place(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: tuple[str, object], code: str
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", IMPATIENT)
    server.faults[PATH] = [fault] * 20
    with pytest.raises(RunError) as caught:
        download(server.url + PATH, tmp_path / "file.zip", most=2_000_000)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file.zip").exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2_100_000


@pytest.mark.parametrize("length", ["abc", "-5", None])
def test_a_length_that_is_none_does_not_count(server: Server, tmp_path: Path, length: str | None) -> None:
    server.faults[PATH] = [("headers", {"Content-Length": length})]
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_an_unasked_416_is_waited_out(server: Server, tmp_path: Path) -> None:
    server.faults[PATH] = [("status", 416)]
    download(server.url + PATH, tmp_path / "file.zip")
    assert (tmp_path / "file.zip").read_bytes() == BODY


def test_what_progress_raises_ends_a_silent_download(server: Server, tmp_path: Path) -> None:
    server.faults[PATH] = [("silent", 30.0)]

    def stop(here: int, total: int | None) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        download(server.url + PATH, tmp_path / "file.zip", stop)
    assert time.monotonic() - started < 20


def test_no_server_at_all(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        download("http://127.0.0.1:9/file.zip", tmp_path / "file.zip")


def test_what_was_pinned_first_stays(tmp_path: Path) -> None:
    pins = Pins(tmp_path / "lock.json")
    assert pins.read() == {}
    pins.pin("a", {"sha256": "1"})
    pins.pin("a", {"sha256": "2"})
    pins.pin("b", {"sha256": "3"})
    assert Pins(pins.path).read() == {"a": {"sha256": "1"}, "b": {"sha256": "3"}}
    pins.path.write_text("{")
    with pytest.raises(InputError, match=r"lock\.json cannot be read"):
        pins.read()


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(BODY)
    assert module.sha256(tmp_path / "x") == hashlib.sha256(BODY).hexdigest()
