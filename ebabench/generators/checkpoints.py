"""Checkpoints: where they lie, whether they are those on the card, and how they get there.

Those with a ``url`` are kept in the cache, under ``weights/MODEL/CHECKPOINT/``. A file ``pins.json`` above them has the
SHA-256 and the size of what was first downloaded: a later download, or a file changed since, must have the same.
"""

from __future__ import annotations

import glob
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ebabench.errors import InputError
from ebabench.system.cache import cache_dir
from ebabench.system.download import Pins, Progress, download, sha256
from ebabench.system.files import exclusive

if TYPE_CHECKING:
    from ebabench.generators.cards import Card, Checkpoint


def place(card: Card, checkpoint: Checkpoint) -> Path:
    """Where a checkpoint lies once it is there: beside the card, or in the cache."""
    if checkpoint.file is not None:
        return card.path.parent / checkpoint.file
    name = PurePosixPath(unquote(urlsplit(str(checkpoint.url)).path)).name or checkpoint.name
    return _folder(card) / checkpoint.name / name


def missing(card: Card) -> list[Checkpoint]:
    """The checkpoints that are not here; nothing is read but folders."""
    return [checkpoint for checkpoint in card.checkpoints if not place(card, checkpoint).exists()]


def pinned(card: Card, checkpoint: Checkpoint) -> str | None:
    """The SHA-256 that a checkpoint must have: the card's, else that of the first download; None before it."""
    if checkpoint.sha256 is not None:
        return checkpoint.sha256
    pin = _pins(card).read().get(str(checkpoint.url))
    return str(pin["sha256"]) if pin else None


def verified(card: Card, checkpoint: Checkpoint) -> Path:
    """The checkpoint's file, after its size and SHA-256 were checked. Raises InputError; nothing is downloaded."""
    path = place(card, checkpoint)
    if checkpoint.url is not None and not path.exists():
        raise InputError(
            f"{card.name} needs weights: the checkpoint {checkpoint.name!r} is not shipped, it is at {checkpoint.url}; "
            f"`ebabench models install {card.name}` fetches it"
        )
    try:
        _check(card, checkpoint, path)
    except OSError as error:
        raise InputError(f"{card.name}: cannot read the checkpoint {path}: {error.strerror}") from error
    return path


def fetch(card: Card, checkpoint: Checkpoint, progress: Progress | None = None) -> Path:
    """Downloads a checkpoint unless it is here, checks it, and pins it if nothing did before.

    Of a file whose SHA-256 is on the card, another model's download will do.

    Raises:
        RunError: it cannot be downloaded.
        InputError: it is another file than the one on the card, or than the one that was first downloaded.
    """
    path = place(card, checkpoint)
    if checkpoint.url is None:
        return verified(card, checkpoint)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.parent):
        if path.exists() or _linked(card, checkpoint, path):
            return verified(card, checkpoint)
        return _arrive(card, checkpoint, path, progress)


def _linked(card: Card, checkpoint: Checkpoint, path: Path) -> bool:
    """Whether another model had the same file, which is then here, too: a second name for it, not a copy."""
    for other in _folder(card).parent.glob(f"*/*/{glob.escape(path.name)}"):
        if checkpoint.sha256 is not None and sha256(other) == checkpoint.sha256:
            path.hardlink_to(other)
            return True
    return False


def _arrive(card: Card, checkpoint: Checkpoint, path: Path, progress: Progress | None) -> Path:
    arrived = path.with_name(f".{path.name}.unverified")
    download(str(checkpoint.url), arrived, progress)
    size = arrived.stat().st_size
    if _is_page(arrived):
        arrived.unlink()
        raise InputError(f"{card.name}: {checkpoint.url} gives a web page, not the checkpoint {checkpoint.name!r}")
    if pinned(card, checkpoint) is None and checkpoint.size in (size, None):
        _pins(card).pin(str(checkpoint.url), {"sha256": sha256(arrived), "size": size})
    try:
        _check(card, checkpoint, arrived)
    except InputError:
        arrived.unlink()
        raise
    arrived.replace(path)
    return path


def _is_page(path: Path) -> bool:
    """Whether a file is HTML: what a hub shows in place of a file, for a browser or for want of a login."""
    with path.open("rb") as file:
        start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _check(card: Card, checkpoint: Checkpoint, path: Path) -> None:
    expected, size, found = pinned(card, checkpoint), path.stat().st_size, sha256(path)
    if found != expected or checkpoint.size not in (size, None):
        raise InputError(
            f"{card.name}: the checkpoint {path} is not the one on the card: {size} bytes with SHA-256 {found}, "
            f"expected {checkpoint.size or 'any number of'} bytes with {expected or 'one that was pinned'}"
        )


def _folder(card: Card) -> Path:
    return cache_dir() / "weights" / card.name


def _pins(card: Card) -> Pins:
    return Pins(_folder(card) / "pins.json")
