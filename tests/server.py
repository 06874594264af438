"""A web server that can be told to fail, and archives in the layout of ATLAS for it to serve."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from proteins import build, wobble

from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble, Target


@dataclass
class Server:
    """``files`` by path; ``faults``: what to do instead, once each, in order; ``asked``: path and Range of requests.

    A fault is a status, or one of these: ``("cut", n)``: break off after n bytes; ``("silent", s)``: wait before the
    answer; ``("slow", s)``: wait after every 8 kB; ``("drip", s)``: wait after every byte; ``("elsewhere", n)``: go on
    n bytes further than asked; ``("headers", {...})``: say these, None for not at all; ``("status", n)``: send the file
    under another status; ``("redirect", url)``; ``("endless", n)``: go on beyond the file's end without a length, for n
    bytes. ``ranges`` and ``tags`` say whether the server knows Range and sends an ETag.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: defaultdict[str, list[object]] = field(default_factory=lambda: defaultdict(list))
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    ranges: bool = True
    tags: bool = True
    url: str = ""


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a port of its own, in threads."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: PLR0912
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            fault = state.faults[self.path].pop(0) if state.faults[self.path] else None
            kind, amount = fault if isinstance(fault, tuple) else (None, 0)
            if kind == "silent":
                time.sleep(amount)
            if isinstance(fault, int) or self.path not in state.files:
                self.send_error(fault if isinstance(fault, int) else 404)
                return
            body = state.files[self.path]
            tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            start = 0
            if kind == "redirect":
                self.send_response(302)
                self.send_header("Location", str(amount))
                self.end_headers()
                return
            if wanted and state.ranges and self.headers.get("If-Range") == tag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) + (amount if kind == "elsewhere" else 0)
            self.send_response(amount if kind == "status" else 416 if start >= len(body) > 0 else 206 if start else 200)
            headers = {"Content-Length": str(len(body) - start)}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            if state.tags:
                headers["ETag"] = tag
            if kind == "headers":
                headers |= amount
            if kind == "endless":
                headers["Content-Length"] = None
                body = body * (amount // len(body) + 1)
            for name, value in headers.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            block = 1 if kind == "drip" else 1 << 13
            stop = start + amount if kind == "cut" else len(body)
            try:
                for at in range(start, min(stop, len(body)), block):
                    self.wfile.write(body[at : min(at + block, stop)])
                    time.sleep(amount if kind in ("slow", "drip") else 0)
            except OSError:
                return
            if kind == "cut":
                self.connection.close()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def chain_files(
    folder: Path, chain: str, sequence: str, frames: int, pattern: str, *, only_ca: bool = True
) -> dict[str, bytes]:
    """What an archive of ATLAS holds of a chain that shakes about a helix; frame 0 of each replica is the PDB file."""
    from mdtraj.formats import XTCTrajectoryFile

    target = build(sequence)
    if only_ca:
        rows = target.atoms.select("CA")
        target = Target(chain, sequence, target.atoms.take(rows), target.native[rows])
    write_pdb(Ensemble(chain, target.atoms, target.native[None]), folder / "native.pdb")
    files = {f"{chain}.pdb": (folder / "native.pdb").read_bytes(), "README.txt": b"as ATLAS has one"}
    for replica in (1, 2, 3):
        positions = wobble(target, frames, seed=replica)
        positions[0] = target.native
        with XTCTrajectoryFile(str(folder / "one.xtc"), "w") as trajectory:
            trajectory.write(positions / 10)
        files[pattern.format(chain, replica)] = (folder / "one.xtc").read_bytes()
    return files
