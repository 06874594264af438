"""Ensembles that the authors of a model published: fetched, pinned, and laid out for ``ebabench score --ensembles``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ebabench.errors import InputError, RunError
from ebabench.generators.cards import Card, PublishedEnsemble
from ebabench.io.layouts import Source, find_sources, read_source
from ebabench.io.structure_files import read_structure
from ebabench.structures.matching import align
from ebabench.system.archives import unpack
from ebabench.system.download import MOST, Pins, Progress, download, sha256
from ebabench.system.files import LOCK_FILE, exclusive
from ebabench.system.names import file_name, printable

LOCK = "ensembles.lock.json"
_UNPACKED = ".unpacked"  # no archive has such a name
_STRUCTURE = re.compile(r"\.(pdb|cif)(\.gz)?$|\.npz$")
_ARRAYS = ".npz"
_NUMBER = re.compile(r"_\d+$")


def published(card: Card, suite_id: str) -> PublishedEnsemble:
    """What the card says is published for a suite. Raises InputError if it names nothing."""
    for one in card.ensembles:
        if one.suite == suite_id:
            return one
    known = ", ".join(one.suite for one in card.ensembles) or "no suite"
    raise InputError(f"{card.name}: the card {card.path} names published ensembles for {known}, not for {suite_id}")


def fetch_ensembles(
    root: Path, source: PublishedEnsemble, sequences: Mapping[str, str], progress: Progress | None = None
) -> list[str]:
    """Have the ensembles in ``root``, and give the targets that the archive has.

    An archive holds ``TARGET.npz`` of ``ebabench sample``, ``TARGET.pdb`` with many models, or files of one each,
    ``TARGET/.../*.cif`` or ``TARGET_3.cif``, at any depth. They are kept as they are, under ``root``; what belongs to
    no target is left. ``6o2v_A`` may be called ``6O2V_A`` or ``6o2vA`` there, and its folder ``6o2v_A_0``. The
    archive's SHA-256 is the card's. Where the card has none, the first fetch pins it in ``root/ensembles.lock.json``.
    What was laid out once is not fetched again.

    Args:
        root: the folder; it is made.
        source: where the archive is, its size and SHA-256 if they are known.
        sequences: of the targets, by name; each ensemble must fit.
        progress: told of the bytes that have arrived.

    Raises:
        RunError: the archive cannot be had, is damaged or another one, or an ensemble is of another protein.
        InputError: what lies in ``root`` is not what was laid out there, or is another archive's.
    """
    work = root / ".downloads"
    work.mkdir(parents=True, exist_ok=True)
    with exclusive(work):
        pins = Pins(root / LOCK)
        _owned(root, pins, source)
        if pins.get("targets", names=list) is None:
            _obtain(root, work, pins, source, sequences, progress)
        names: list[str] = (pins.get("targets", names=list) or {"names": []})["names"]
        if gone := sorted(set(names) - _present(root, sequences).keys()):
            raise InputError(f"{root}: {', '.join(gone)} is gone; remove the folder to fetch it again")
        for path in work.iterdir():  # the folder stays: another process may be about to lock it
            if path.name != LOCK_FILE:
                path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        pins.unlock()
    return names


def _owned(root: Path, pins: Pins, source: PublishedEnsemble) -> None:
    """Refuse a folder with anything that was not fetched from there: it would be mixed with, or overwritten."""
    pinned = pins.get("archive", url=str)
    if pinned is None and (pins.read() or any(root.glob("[!.]*"))):
        raise InputError(f"{root} is not empty, and not a folder of fetched ensembles: choose another")
    if pinned and pinned["url"] != source.url:
        raise InputError(f"{root} holds what was at {printable(pinned['url'])}: choose another folder")


def _obtain(
    root: Path,
    work: Path,
    pins: Pins,
    source: PublishedEnsemble,
    sequences: Mapping[str, str],
    progress: Progress | None,
) -> None:
    archive = work / file_name(source.url, "archive")
    if not archive.exists():
        download(source.url, archive, progress, most=source.size or MOST)
    try:
        facts = {"url": source.url, "size": archive.stat().st_size, "sha256": sha256(archive)}
        _same(facts, {"size": source.size, "sha256": source.sha256}, "the card")
        _same(facts, pins.get("archive", sha256=str) or {}, "the pin")
        folder = _laid_out(work, archive, sequences)
    except RunError:
        archive.unlink()
        shutil.rmtree(work / _UNPACKED, ignore_errors=True)
        raise
    pins.pin("archive", facts)
    names = sorted(_present(folder, sequences))
    for path in folder.iterdir():
        target = root / path.name
        if target.exists():  # from when this was interrupted
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        path.rename(target)
    pins.pin("targets", {"names": names})


def _present(folder: Path, sequences: Mapping[str, str]) -> dict[str, Source]:
    """Return the ensembles in a folder by target."""
    try:
        return find_sources(folder, sequences).sources
    except InputError:
        return {}


def _same(facts: Mapping[str, Any], expected: Mapping[str, Any], who: str) -> None:
    for key, value in expected.items():
        if value not in (None, facts.get(key)):
            raise RunError(f"{facts['url']}: {key} is {facts.get(key)}, but {who} says {value}")


def _laid_out(work: Path, archive: Path, sequences: Mapping[str, str]) -> Path:
    """The folder that the archive's ensembles were written to; each fits its target."""
    folder = work / _UNPACKED
    shutil.rmtree(folder, ignore_errors=True)
    known = {called: name for name in sequences for called in (name.lower().replace("_", ""), name.lower())}

    def place(path: PurePosixPath) -> Path | None:
        suffix = _STRUCTURE.search(path.name)
        if suffix is None:
            return None
        stem = path.name[: suffix.start()].lower()
        if name := known.get(stem):
            return folder / f"{name}{suffix[0]}"
        if suffix[0] == _ARRAYS:  # no file of one conformation
            return None
        for depth, part in enumerate(path.parts[:-1]):
            if name := known.get(part.lower()) or known.get(_NUMBER.sub("", part.lower())):
                return folder.joinpath(name, *path.parts[depth + 1 :])
        name = known.get(_NUMBER.sub("", stem))
        return folder / name / path.name if name else None

    kept = _without_copies(unpack(archive, place), folder)
    present = _present(folder, sequences)
    if not present and all(path.suffix == _ARRAYS for path in kept):
        raise RunError(
            f"{archive.name}: holds no ensemble (TARGET.npz, TARGET.pdb or TARGET/.../*.cif) of the suite's targets"
        )
    for name, found in present.items():
        try:
            align(_sequence(found, name), sequences[name])
        except InputError as error:
            raise RunError(f"{archive.name}: {name}: {error}") from error
    return folder


def _without_copies(written: Sequence[Path], folder: Path) -> list[Path]:
    """The files less arrays of a target that has structures, too: these are not its ensemble, or the same again."""
    structures = {path.relative_to(folder).parts[0].partition(".")[0] for path in written if path.suffix != _ARRAYS}
    for path in written:
        if path.suffix == _ARRAYS and path.stem in structures:
            path.unlink()
    return [path for path in written if path.exists()]


def _sequence(source: Source, name: str) -> str:
    """The sequence of an ensemble, of its first structure or of its arrays."""
    if source.paths[0].suffix == _ARRAYS:
        return read_source(source, name).atoms.sequence
    return read_structure(source.paths[0])[0].sequence
