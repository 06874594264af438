"""Find the conformations of each target below a folder, in any of the layouts of ``LAYOUTS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ebabench.errors import InputError
from ebabench.io.layouts import (
    alphafold2,
    alphafold3,
    archives,
    arrays,
    asam,
    bioemu,
    biokinema,
    boltz,
    chai,
    colabfold,
    confrover,
    protenix,
    str2str,
    structures,
    trajectories,
)
from ebabench.io.layouts.listing import FORMATS, Listing, kind
from ebabench.io.layouts.naming import by_own_names, by_targets
from ebabench.io.layouts.settling import settled
from ebabench.io.layouts.source import LeftOut, Source
from ebabench.io.weights import Catalogue

Recogniser = Callable[[Listing], Sequence[Source]]
LAYOUTS: tuple[Recogniser, ...] = (
    bioemu.recognise,
    asam.recognise,
    confrover.recognise,
    biokinema.recognise,
    protenix.recognise,
    alphafold3.recognise,
    alphafold2.recognise,
    colabfold.recognise,
    boltz.recognise,
    chai.recognise,
    str2str.recognise,
    trajectories.recognise,
    arrays.recognise,
    structures.recognise,
)
"""The layouts, in the order in which they are asked. Each sees the files that those before it have not claimed."""


@dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Attributes:
        root: The folder or file.
        sources: The conformations, by target.
        strangers: Conformations that fit none of the targets that were asked for.
        left_out: Files that belong to no source.
    """

    root: Path
    sources: dict[str, Source]
    strangers: tuple[Source, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def find_sources(path: Path | str, targets: Mapping[str, str] | None = None) -> Found:
    """Return where the conformations of each target lie.

    Args:
        path: A folder, at any level of a layout, or one file of conformations.
        targets: Sequences by name. A source belongs to the target that its files or folders are named after, else to
            the one target whose sequence its atoms have. Without targets, names of files and folders are the targets.

    Returns:
        The sources. A source that cannot be read, or that may be meant in two ways, has a ``fault``.

    Raises:
        InputError: There is no such path (``ensembles.missing``), or nothing in it is read (``ensembles.none``).
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", code="ensembles.missing", file=path)
    if path.is_file() and kind(path) != "archive":
        claimed, left_out = _one_file(path)
        tables = Catalogue(path.parent.iterdir())
    else:
        outer = Listing.of(path) if path.is_dir() else _beside(path, [path])
        packed = archives.unpacked(outer)
        listings = [outer, *packed.values()]
        claimed, left_out = [], []
        for listing in listings:
            sources, left = _claimed(listing)
            claimed += sources
            left_out += left
        files = [one for listing in listings for one in listing.files]
        beside = () if path.is_dir() else path.parent.iterdir()
        tables = Catalogue([*files, *beside], {one.root: archive for archive, one in packed.items()})
    whole = [one for one in claimed if one.parts]
    groups, strangers = (by_own_names(whole), []) if targets is None else by_targets(whole, targets)
    left_out += [gone for one in claimed if not one.parts for gone in one.left_out]
    found = {name: _with_tables(settled(name, sources), tables) for name, sources in groups.items()}
    if not found and not strangers:
        raise _nothing(path, left_out)
    strange = tuple(_with_tables(one, tables) for one in strangers)
    order = list(targets) if targets is not None else list(found)
    return Found(path, {name: found[name] for name in order if name in found}, strange, tuple(left_out))


def _claimed(listing: Listing) -> tuple[list[Source], list[LeftOut]]:
    """Return all sources of a listing, and the files that belong to none."""
    sources: list[Source] = []
    for recognise in LAYOUTS:
        found = recognise(listing)
        sources += [replace(one, place=listing.place((one.paths or (one.left_out[0].path,))[0])) for one in found]
        listing = listing.less(path for one in found for path in (*one.files, *(gone.path for gone in one.left_out)))
    return sources, [*arrays.others(listing), *archives.others(listing), *structures.bare_topologies(listing)]


def _one_file(path: Path) -> tuple[list[Source], list[LeftOut]]:
    """Return the source of one file, in the layout of its folder."""
    beside = [other for other in sorted(path.parent.iterdir()) if other.is_file() and not other.name.startswith(".")]
    sources, _ = _claimed(_beside(path, beside))
    mine = [replace(one, left_out=()) for one in sources if path in one.paths]
    if not mine:  # a topology, or what a layout leaves out, but named by its user
        mine, left = _claimed(_beside(path, [path]))
        return mine, left
    parts = tuple(part for part in mine[0].parts if part.path == path)
    return [replace(mine[0], parts=parts)], []


def _with_tables(source: Source, tables: Catalogue) -> Source:
    """Return a source with the tables of weights that lie beside its files."""
    topologies = [part.topology for part in source.parts if part.topology is not None]
    others = [*dict.fromkeys(topologies), *(one.path for one in source.left_out)]
    return replace(source, tables=tables.of(source.paths, others))


def _beside(path: Path, files: Sequence[Path]) -> Listing:
    """Return the listing of some files of a file's folder."""
    return Listing(path.parent, tuple(files), (path.absolute().parent.name,))


def _nothing(path: Path, left_out: Sequence[LeftOut]) -> InputError:
    """Return the error for a path that holds no conformations: what is there, and what is read."""
    if left_out:
        first, more = left_out[0], f" (and {len(left_out) - 1} more)" * (len(left_out) > 1)
        text = f"{path}: no conformations in it: {first.path.name}: {first.reason}{more}"
    else:
        here = _some(path)
        held = f"it holds {', '.join(here)}" if here else "it is empty"
        text = f"{path}: no conformations in it: {held}; what is read: {FORMATS}"
    return InputError(text, code="ensembles.none", file=path)


def _some(path: Path) -> tuple[str, ...]:
    """Return the names of a few files below a path."""
    if path.is_file():
        return (path.name,)
    listing = Listing.of(path)
    return tuple(one.relative_to(listing.root).as_posix() for one in listing.files[:4])
