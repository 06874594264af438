"""Checkpoints: where they lie, whether they are those on the card, and how they get there.

Those with a ``url`` are kept in the cache, under ``weights/MODEL/CHECKPOINT/``. Beside each lies its pin, the SHA-256
of what was first downloaded: a later download, or a file that was changed since, must have the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ebabench.atomic import exclusive, write_atomic
from ebabench.cache import cache_dir
from ebabench.errors import InputError, RunError

if TYPE_CHECKING:
    from ebabench.cards import Card, Checkpoint


def place(card: Card, checkpoint: Checkpoint) -> Path:
    """Where a checkpoint lies once it is there: beside the card, or in the cache."""
    if checkpoint.file is not None:
        return card.path.parent / checkpoint.file
    name = PurePosixPath(unquote(urlsplit(str(checkpoint.url)).path)).name or checkpoint.name
    return cache_dir() / "weights" / card.name / checkpoint.name / name


def missing(card: Card) -> list[Checkpoint]:
    """The checkpoints that are not here yet; nothing is read but the folder."""
    return [checkpoint for checkpoint in card.checkpoints if not place(card, checkpoint).exists()]


def pinned(card: Card, checkpoint: Checkpoint) -> str | None:
    """The SHA-256 that a checkpoint must have: the card's, else that of the first download; None before it."""
    if checkpoint.sha256 is not None:
        return checkpoint.sha256
    pin = _pin(place(card, checkpoint))
    return pin.read_text(encoding="utf-8").strip() if pin.exists() else None


def verified(card: Card, checkpoint: Checkpoint) -> Path:
    """The checkpoint's file, after its size and SHA-256 were checked. Raises InputError; nothing is downloaded."""
    path, expected = place(card, checkpoint), pinned(card, checkpoint)
    if checkpoint.url is not None and not path.exists():
        raise InputError(
            f"{card.name}: the checkpoint {checkpoint.name!r} is not shipped; it is at {checkpoint.url} "
            f"(`ebabench models install {card.name}` fetches it)"
        )
    try:
        size, found = path.stat().st_size, _sha256(path)
    except OSError as error:
        raise InputError(f"{card.name}: cannot read the checkpoint {path}: {error.strerror}") from error
    if found != expected or checkpoint.size not in (size, None):
        raise InputError(
            f"{card.name}: the checkpoint {path} is not the one on the card: {size} bytes with SHA-256 {found}, "
            f"expected {checkpoint.size or 'any number of'} bytes with {expected or 'one that was pinned'}"
        )
    return path


def fetch(card: Card, checkpoint: Checkpoint) -> Path:
    """Downloads a checkpoint unless it is here, checks it, and pins it if nothing did before.

    Raises:
        RunError: it cannot be downloaded, or is another file than the one on the card or the one first downloaded.
    """
    path = place(card, checkpoint)
    if checkpoint.url is None:
        return verified(card, checkpoint)
    import pooch

    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.parent):
        expected = pinned(card, checkpoint)
        try:
            pooch.retrieve(
                checkpoint.url,
                known_hash=f"sha256:{expected}" if expected else None,
                fname=path.name,
                path=path.parent,
            )
        except Exception as error:  # requests and pooch raise many kinds
            raise RunError(f"{card.name}: cannot download {checkpoint.url}: {error}") from error
        if checkpoint.size not in (path.stat().st_size, None):
            found = path.stat().st_size
            path.unlink()
            raise RunError(f"{card.name}: {checkpoint.url} has {found} bytes, the card says {checkpoint.size}")
        if expected is None:
            write_atomic(_pin(path), _sha256(path) + "\n")
    return path


def _pin(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
