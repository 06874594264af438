"""Files from the network: whole or absent, gone on with where they broke off, and pinned.

Built on requests, whose ``Retry`` (urllib3) knows when to ask a busy server again; what it lacks, and is here, is to go
on within a file.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebabench.errors import InputError, RunError
from ebabench.system.files import exclusive, replace_file

if TYPE_CHECKING:
    from requests import HTTPError, Response, Session

Progress = Callable[[int, int | None], None]
"""Told of the bytes that are here, and of how many there will be if the server says so."""

TIMEOUT = (10.0, 60.0)  # seconds to connect, and to wait for the next bytes
ATTEMPTS = 5
BACKOFF = 1.0  # seconds before the second attempt, twice as long before each further one
_BUSY = (429, 500, 502, 503, 504)
_BLOCK = 1 << 14


class NotThereError(RunError):
    """The server says that it has no such file."""


class UnreachableError(RunError):
    """There is no way to the server at all: neither will there be for the next file."""


def download(url: str, path: Path, progress: Progress | None = None) -> None:
    """Fetch ``url`` to ``path``.

    What arrived of a file lies beside it as ``NAME.part`` until it is whole, and the next call goes on from there if
    the server can and still has the same file (HTTP ``Range`` with ``If-Range``). A server that is busy, silent for a
    minute, or breaks off is asked again, five times in all.

    Raises:
        NotThereError: 404 or 410.
        UnreachableError: the server cannot be reached.
        RunError: any other refusal, or five failures; what has arrived is kept.
        OSError: it cannot be written.
    """
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _session() as session:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _receive(session, url, part, progress)
                break
            except requests.HTTPError as error:
                raise _refused(url, error) from error
            except requests.RequestException as error:
                if attempt == ATTEMPTS:
                    raise _given_up(url, error) from error
                time.sleep(BACKOFF * 2 ** (attempt - 1))
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
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read ({error})") from error
        if not isinstance(found, dict):
            raise InputError(f"{self.path} is not a lock file")
        return found

    def pin(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write the facts down, unless there are some of that name."""
        with exclusive(self.path.parent):
            known = self.read()
            if name not in known:
                replace_file(self.path, json.dumps(known | {name: facts}, indent=1, sort_keys=True) + "\n")


def _session() -> Session:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        status=ATTEMPTS - 1,
        backoff_factor=BACKOFF,
        status_forcelist=_BUSY,
        raise_on_status=False,
        respect_retry_after_header=False,  # who is told to come back in an hour had better end, and say so
        connect=0,
        read=0,
    )
    session = requests.Session()
    session.headers["User-Agent"] = "ebabench"
    session.headers["Accept-Encoding"] = "identity"  # so that bytes on the disk are bytes of the file
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _receive(session: Session, url: str, part: Path, progress: Progress | None) -> None:
    """The rest of the file onto ``part``."""
    from requests.exceptions import ChunkedEncodingError

    here, validator = _kept(url, part)
    headers = {"Range": f"bytes={here}-", "If-Range": validator} if here else {}
    with session.get(url, stream=True, timeout=TIMEOUT, headers=headers) as answer:
        if answer.status_code == 416:  # what is kept is not a part of what is there
            part.unlink()
            raise ChunkedEncodingError("the server has another file now")
        answer.raise_for_status()
        if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            part.unlink()
            raise ChunkedEncodingError("the server sent another part of the file than was asked for")
        if answer.status_code != 206:
            here = 0
            part.unlink(missing_ok=True)  # before it is written down that what is here is of this answer
        length = answer.headers.get("Content-Length")
        total = here + int(length) if length else None
        replace_file(_validator_file(part), json.dumps([url, _validator(answer)]))
        with part.open("r+b" if here else "wb") as file:
            file.seek(here)
            for block in answer.iter_content(_BLOCK):
                if progress is not None:
                    progress(here, total)
                file.write(block)
                here += len(block)
        if total is not None and here != total:
            raise ChunkedEncodingError(f"the connection ended after {here} of {total} bytes")


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


def _refused(url: str, error: HTTPError) -> RunError:
    status, words = (error.response.status_code, error.response.reason) if error.response is not None else (0, "")
    return (NotThereError if status in (404, 410) else RunError)(f"{url}: the server answers {status} {words}")


def _given_up(url: str, error: Exception) -> RunError:
    import requests

    reason = getattr(error.args[0], "reason", None) if error.args else None  # what urllib3 says of it
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return RunError(f"{url}: the server was silent for {TIMEOUT[1]:.0f} s, {ATTEMPTS} times")
    if reason is not None:
        return UnreachableError(f"{url}: cannot be reached ({reason})")
    return RunError(f"{url}: broke off {ATTEMPTS} times ({error})")
