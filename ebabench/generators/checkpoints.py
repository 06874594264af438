"""Checkpoints of a model: their place, their verification and their download.

Downloaded checkpoints are in the cache, under ``weights/MODEL/CHECKPOINT/``. The file ``pins.json`` above them holds
the SHA-256 and size of the first download. A later download must have the same.
"""

from __future__ import annotations

import glob
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from ebabench.errors import InputError
from ebabench.system.cache import cache_dir
from ebabench.system.download import MOST, Pins, Progress, download, sha256
from ebabench.system.fields import Name, RelativePath
from ebabench.system.files import exclusive
from ebabench.system.names import file_name
from ebabench.system.schema import Strict, Url

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Checkpoint(Strict):
    """Weights on a card: a ``file`` beside the card or a ``url``.

    Size (in bytes) and SHA-256 of a ``url`` may be unknown. They are then pinned at the first download.
    """

    name: Name
    file: RelativePath | None = None
    url: Url | None = None
    size: int | None = Field(default=None, gt=0)
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Checkpoint:
        if (self.file is None) == (self.url is None):
            raise ValueError("give either file or url")
        if self.file is not None and (self.size is None or self.sha256 is None):
            raise ValueError("a file needs size and sha256")
        return self


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one model.

    Attributes:
        model: The model's name.
        card: The file of its card, beside which a checkpoint with a ``file`` lies.
        called: What commands call the model.
        checkpoints: What the card lists.
    """

    model: str
    card: Path
    called: str
    checkpoints: tuple[Checkpoint, ...]

    def place(self, checkpoint: Checkpoint) -> Path:
        """Return the path of a checkpoint, beside the card or in the cache, whether or not the file exists."""
        if checkpoint.file is not None:
            return self.card.parent / checkpoint.file
        return self._cache() / checkpoint.name / file_name(str(checkpoint.url), checkpoint.name)

    def missing(self) -> list[Checkpoint]:
        """Return the checkpoints whose files do not exist. No file is read."""
        return [checkpoint for checkpoint in self.checkpoints if not self.place(checkpoint).exists()]

    def pinned(self, checkpoint: Checkpoint) -> str | None:
        """Return the SHA-256 that a checkpoint must have: the card's, or that of the first download, or None."""
        if checkpoint.sha256 is not None:
            return checkpoint.sha256
        pin = self._pins().get(str(checkpoint.url), sha256=str)
        return None if pin is None else str(pin["sha256"])

    def verified(self, checkpoint: Checkpoint) -> Path:
        """Return the file of a checkpoint after its size and SHA-256 were checked. Nothing is downloaded.

        Args:
            checkpoint: A checkpoint of the card.

        Raises:
            InputError: The file is missing (``checkpoint.missing``), unreadable (``checkpoint.unreadable``) or another
                file (``checkpoint.altered``).
        """
        path = self.place(checkpoint)
        if checkpoint.url is not None and not path.exists():
            raise InputError(
                f"{self.model} needs weights: the checkpoint {checkpoint.name!r} is not shipped, it is at "
                f"{checkpoint.url}; `ebabench models install {self.called}` fetches it",
                code="checkpoint.missing",
                model=self.model,
                checkpoint=checkpoint.name,
            )
        try:
            self._check(checkpoint, path)
        except OSError as error:
            raise InputError(
                f"{self.model}: cannot read the checkpoint {path}, which the card {self.card} names: {error.strerror}",
                code="checkpoint.unreadable",
                file=path,
            ) from error
        return path

    def fetch(self, checkpoint: Checkpoint, progress: Progress | None = None) -> Path:
        """Return the verified file of a checkpoint, downloaded if it is not there.

        The first download pins size and SHA-256. If another model has a file with the SHA-256 on the card, that file
        is linked and not downloaded.

        Args:
            checkpoint: A checkpoint of the card.
            progress: Called with the bytes that are here and the total.

        Raises:
            RunError: The file cannot be downloaded.
            InputError: The file is not the one on the card or not the one of the first download
                (``checkpoint.altered``), or a web page (``checkpoint.web_page``).
        """
        path = self.place(checkpoint)
        if checkpoint.url is None or path.exists():
            return self.verified(checkpoint)
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.parent):
            if path.exists() or self._linked(checkpoint, path):
                return self.verified(checkpoint)
            return self._arrive(checkpoint, path, progress)

    def _linked(self, checkpoint: Checkpoint, path: Path) -> bool:
        """Link the file of another model with the same SHA-256. Return whether there is one."""
        for other in self._cache().parent.glob(f"*/*/{glob.escape(path.name)}"):
            if checkpoint.sha256 is not None and other.is_file() and sha256(other) == checkpoint.sha256:
                with suppress(OSError):  # not every file system has such links
                    path.hardlink_to(other)
                    return True
        return False

    def _arrive(self, checkpoint: Checkpoint, path: Path, progress: Progress | None) -> Path:
        arrived = path.with_name(f".{path.name}.unverified")
        download(str(checkpoint.url), arrived, progress, most=checkpoint.size or MOST)
        size = arrived.stat().st_size
        if _is_page(arrived):
            arrived.unlink()
            raise InputError(
                f"{self.model}: {checkpoint.url} gives a web page, not the checkpoint {checkpoint.name!r} of the card "
                f"{self.card}",
                code="checkpoint.web_page",
                url=str(checkpoint.url),
            )
        if self.pinned(checkpoint) is None and checkpoint.size in (size, None):
            self._pins().pin(str(checkpoint.url), {"sha256": sha256(arrived), "size": size})
        try:
            self._check(checkpoint, arrived)
        except InputError:
            arrived.unlink()
            raise
        arrived.replace(path)
        return path

    def _check(self, checkpoint: Checkpoint, path: Path) -> None:
        expected, size, found = self.pinned(checkpoint), path.stat().st_size, sha256(path)
        if found != expected or checkpoint.size not in (size, None):
            due = f"{checkpoint.size or 'any number of'} bytes with {expected or 'one that was pinned'}"
            raise InputError(
                f"{self.model}: the checkpoint {path} is not the one on the card {self.card}: {size} bytes with "
                f"SHA-256 {found}, expected {due}",
                code="checkpoint.altered",
                file=path,
            )

    def _cache(self) -> Path:
        return cache_dir() / "weights" / self.model

    def _pins(self) -> Pins:
        return Pins(self._cache() / "pins.json")


def _is_page(path: Path) -> bool:
    """Return whether a file is HTML, which a server sends in place of a file if a login is missing."""
    with path.open("rb") as file:
        start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html"))
