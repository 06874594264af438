"""Files from the network: whole or absent, gone on with where they broke off, pinned, and within bounds.

Every download ends: a server must send at least ``LEAST_SPEED``, and no more than was asked for. The network is read by
a thread of its own, so that an interruption never waits for a server.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from ebabench.errors import InputError, RunError
from ebabench.system.files import exclusive, replace_file
from ebabench.system.names import printable
from ebabench.system.schema import parse_json, read_text

if TYPE_CHECKING:
    from requests import Response

Progress = Callable[[int, int | None], None]
"""Told of the bytes that are here, and of how many there will be if the server says so. What it raises ends the
download; it is called a few times a second, also while nothing arrives."""

TIMEOUT = (10.0, 60.0)  # seconds to connect, and to wait for the next bytes
LEAST_SPEED = 4096  # bytes a second, over TIMEOUT[1] seconds: a server that drips has as good as stopped
ATTEMPTS = 5
BACKOFF = 1.0  # seconds before the second attempt, twice as long before each further one
MOST = 1 << 36  # bytes of a file of which nobody says how large it may be
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_BLOCK = 1 << 14
_LOOK = 1.0  # seconds between looks at whether to stop
_REDIRECTS = 5


class NotThereError(RunError):
    """The server says that it has no such file."""


class UnreachableError(RunError):
    """There is no way to the server at all: neither will there be for the next file."""


def download(url: str, path: Path, progress: Progress | None = None, *, most: int = MOST) -> None:
    """Fetch ``url`` to ``path``.

    What arrived of a file lies beside it as ``NAME.part`` until it is whole, and the next call goes on from there if
    the server can and still has the same file (HTTP ``Range`` with ``If-Range``). A server that is busy, silent, slower
    than ``LEAST_SPEED``, or breaks off is asked again, five times in all.

    Args:
        url: An address; it may redirect, but not from https to http or to another scheme.
        path: Where the file goes; its folder is made.
        progress: Told of what has arrived.
        most: How many bytes the file may have.

    Raises:
        NotThereError: 404 or 410.
        UnreachableError: The server cannot be reached.
        RunError: Any other refusal, a file that is too large for ``most`` or for the disk, or five failures; what has
            arrived is kept.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    last: tuple[int, int | None] = (0, None)

    def tell(here: int, total: int | None) -> None:
        nonlocal last
        last = here, total
        if progress is not None:
            progress(here, total)

    for attempt in range(1, ATTEMPTS + 1):
        try:
            _receive(url, part, tell, most)
            break
        except _Again as error:
            if attempt == ATTEMPTS:
                raise _given_up(url, error) from error
            _wait(BACKOFF * 2 ** (attempt - 1), lambda: tell(*last))
    part.replace(path)
    _validator_file(part).unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Pins:
    """A lock file: facts on what was fetched, in JSON, written down at first sight; the same must hold ever after.

    Safe for many threads and processes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """All that is pinned, by name. Raises InputError if the file cannot be read."""
        try:
            found = parse_json(read_text(self.path))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read ({error})") from error
        if not isinstance(found, dict) or not all(isinstance(facts, dict) for facts in found.values()):
            raise InputError(f"{self.path} is not a lock file", code="pins.read", file=self.path)
        return found

    def get(self, name: str, **form: type) -> dict[str, Any] | None:
        """Return the facts that are pinned under a name; None if there are none.

        Args:
            name: The name.
            form: The type that each fact must have.

        Raises:
            InputError: The file cannot be read, or a fact is missing or of another type.
        """
        facts: dict[str, Any] | None = self.read().get(name)
        for key, kind in form.items() if facts is not None else ():
            if not isinstance((facts or {}).get(key), kind):
                raise InputError(
                    f"{self.path}: {printable(name)}: {key} is missing, or is not what it should be: remove the entry",
                    code="pins.read",
                    file=self.path,
                )
        return facts

    def pin(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write the facts down, unless there are some of that name."""
        with exclusive(self.path.parent):
            known = self.read()
            if name not in known:
                replace_file(self.path, json.dumps(known | {name: facts}, indent=1, sort_keys=True) + "\n")

    def unlock(self) -> None:
        """Remove the lock that a killed process may have left. Waits for a process that holds it."""
        with exclusive(self.path.parent):
            pass


class _Again(Exception):  # noqa: N818
    """An attempt failed, and the next may not: why, in words."""

    def __init__(self, reason: str, *, silent: bool = False, unreachable: bool = False, status: int = 0) -> None:
        super().__init__(reason)
        self.silent, self.unreachable, self.status = silent, unreachable, status


class _Stream(threading.Thread):
    """Reads one answer of a server, and hands it on in blocks. Nobody waits for it."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__(daemon=True, name="ebabench download")
        self.url, self.headers = url, headers
        self.items: Queue[Any] = Queue(maxsize=64)
        self.abandoned = False

    def run(self) -> None:
        try:
            with _session().get(self.url, stream=True, timeout=TIMEOUT, headers=self.headers) as answer:
                self._put(answer)
                if answer.ok:
                    for block in answer.raw.stream(_BLOCK, decode_content=False):
                        self._put(block)
                self._put(None)
        except _Abandoned:
            pass
        except Exception as error:
            with suppress(_Abandoned):
                self._put(error)

    def _put(self, item: Any) -> None:
        while not self.abandoned:
            with suppress(Full):
                self.items.put(item, timeout=_LOOK)
                return
        raise _Abandoned


class _Abandoned(Exception):  # noqa: N818
    """Nobody takes what is read."""


@contextmanager
def _answer(url: str, headers: Mapping[str, str], idle: Callable[[], None]) -> Iterator[Iterator[Any]]:
    """The answer of a server, then its body in blocks; ``idle`` is called while nothing arrives.

    Raises _Again for all that another attempt may mend, RunError for the rest.
    """
    stream = _Stream(url, headers)
    stream.start()
    try:
        yield _in_time(stream, idle)
    finally:
        stream.abandoned = True


def _in_time(stream: _Stream, idle: Callable[[], None]) -> Iterator[Any]:
    window, arrived = time.monotonic(), 0
    while True:
        patience = TIMEOUT[1] + (0 if arrived else TIMEOUT[0])
        now = time.monotonic()
        if now - window > patience:
            if arrived < LEAST_SPEED * patience:
                slow = f"sent {arrived} bytes in {now - window:.0f} s" if arrived else ""
                raise _Again(slow, silent=not arrived)
            window, arrived = now, 0
        try:
            item = stream.items.get(timeout=_LOOK)
        except Empty:
            idle()
            continue
        if item is None:
            return
        if isinstance(item, Exception):
            raise _failed(stream.url, item) from item
        arrived += len(item) if isinstance(item, bytes) else 1
        yield item


def _failed(url: str, error: Exception) -> Exception:
    """What an exception of requests or urllib3 means."""
    import requests

    if isinstance(error, requests.exceptions.InvalidSchema | requests.exceptions.InvalidURL | _Downgraded):
        return RunError(
            f"{url}: leads to an address that is not fetched from ({printable(str(error))})", code="download.redirect"
        )
    if isinstance(error, requests.TooManyRedirects):
        return RunError(f"{url}: redirects more than {_REDIRECTS} times", code="download.redirect")
    if "timed out" in str(error).lower():
        return _Again(str(error), silent=True)
    reason = getattr(error.args[0], "reason", None) if error.args else None  # what urllib3 says of it
    unreachable = isinstance(error, requests.ConnectionError) and reason is not None
    return _Again(printable(str(reason if unreachable else error)), unreachable=unreachable)


class _Downgraded(Exception):  # noqa: N818
    """A redirection from https to something else."""


def _session() -> Any:
    import requests

    def no_downgrade(answer: Response, **_: Any) -> None:
        target = str(answer.headers.get("location", "")).lower()
        if answer.is_redirect and answer.url.startswith("https:") and target.startswith("http:"):
            raise _Downgraded(f"from {answer.url} to {target}")

    session = requests.Session()
    session.max_redirects = _REDIRECTS
    session.headers["User-Agent"] = "ebabench"
    session.headers["Accept-Encoding"] = "identity"  # so that bytes on the disk are bytes of the file
    session.hooks["response"].append(no_downgrade)
    return session


def _receive(url: str, part: Path, progress: Progress, most: int) -> None:
    """The rest of the file onto ``part``."""
    here, validator = _kept(url, part)
    asked = {"Range": f"bytes={here}-", "If-Range": validator} if here else {}
    total: int | None = None

    with _answer(url, asked, lambda: progress(here, total)) as items:
        answer: Response = next(items)
        here = _begins_at(url, answer, part, here)
        length = answer.headers.get("Content-Length", "")
        total = here + int(length) if length.isascii() and length.isdigit() else None
        _check_size(url, part, here, total, most)
        replace_file(_validator_file(part), json.dumps([url, _validator(answer)]))
        with part.open("r+b" if here else "wb") as file:
            file.seek(here)
            progress(here, total)
            for block in items:
                if here + len(block) > most:
                    raise RunError(f"{url}: sends more than {most} bytes", code="download.size")
                file.write(block)
                here += len(block)
                progress(here, total)
            file.flush()
    if total is not None and here != total:
        raise _Again(f"the connection ended after {here} of {total} bytes")


def _begins_at(url: str, answer: Response, part: Path, here: int) -> int:
    """The byte of the file that the answer begins with; ``part`` is then what precedes it."""
    status = answer.status_code
    if status in _BUSY:
        raise _Again(f"the server answers {status} {printable(answer.reason or '')}", status=status)
    if status == 416 or (status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-")):
        part.unlink(missing_ok=True)  # what is kept is not a part of what is there
        raise _Again("the server has another file now, or sent another part of it than was asked for")
    if status not in (200, 206):
        kind = NotThereError if status in (404, 410) else RunError
        raise kind(f"{url}: the server answers {status} {printable(answer.reason or '')}", code="download.status")
    if status == 206:
        return here
    part.unlink(missing_ok=True)  # before it is written down that what is here is of this answer
    return 0


def _check_size(url: str, part: Path, here: int, total: int | None, most: int) -> None:
    if total is None:
        return
    if total > most:
        raise RunError(f"{url}: has {total} bytes, at most {most} were expected", code="download.size")
    free = shutil.disk_usage(part.parent).free
    if total - here > free:
        raise RunError(
            f"{url}: {total - here} bytes do not fit into {part.parent}, where {free} are free", code="download.disk"
        )


def _wait(seconds: float, look: Callable[[], None]) -> None:
    """Wait, and look whether to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        look()
        time.sleep(min(left, _LOOK))


def _kept(url: str, part: Path) -> tuple[int, str]:
    """How many bytes there are to go on from, and what the server called the file that they are of."""
    with suppress(OSError, ValueError):
        of, validator = json.loads(_validator_file(part).read_text(encoding="utf-8"))
        if of == url and validator:
            return part.stat().st_size, validator
    return 0, ""


def _validator(answer: Response) -> str:
    """What tells this file from a later one at the same address; a weak ETag does not."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.of")


def _given_up(url: str, error: _Again) -> RunError:
    if error.silent:
        silent = f"{url}: the server was silent for {TIMEOUT[1]:.0f} s, {ATTEMPTS} times"
        return RunError(silent, code="download.silent")
    if error.status:
        return RunError(f"{url}: {error}", code="download.status")
    if error.unreachable:
        return UnreachableError(f"{url}: cannot be reached ({error})", code="download.unreachable")
    return RunError(f"{url}: broke off {ATTEMPTS} times ({error})", code="download.broken")
