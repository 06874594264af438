"""Layouts of one structure file per conformation, as a pattern of paths with what may lie beside the conformations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ebabench.io.layouts.listing import Listing, full, kind
from ebabench.io.layouts.source import LeftOut, Part, Source

Found = dict[str, list[tuple[Path, re.Match[str]]]]
"""Matched files by their base: the path up to the end of the target's name."""


def matched(listing: Listing, samples: str) -> Found:
    """Return the files that fit a pattern, by base.

    Args:
        listing: The files.
        samples: A regular expression that ends at the end of an absolute path; its group ``target`` is the name of the
            target.
    """
    found: Found = {}
    for path in listing.of_kind("structure"):
        if match := re.search(rf"{samples}$", full(path)):
            found.setdefault(match.string[: match.end("target")], []).append((path, match))
    return found


def beside(listing: Listing, base: str, patterns: Mapping[str, str]) -> list[LeftOut]:
    """Return the files below a base that are no conformations.

    Args:
        listing: The files.
        base: The start of their paths.
        patterns: The reason, by a regular expression that the rest of the path fits.
    """
    left = []
    for path in listing.below(base) if patterns else ():
        rest = full(path)[len(base) :]
        reason = next((why for pattern, why in patterns.items() if re.fullmatch(pattern, rest)), None)
        if reason is not None and kind(path) in ("structure", "trajectory", "array"):
            left.append(LeftOut(path, reason))
    return left


def series(
    listing: Listing,
    layout: str,
    samples: str,
    others: Mapping[str, str] | None = None,
    names: Callable[[str], Sequence[str]] = lambda name: [name],
) -> list[Source]:
    """Return the sources of a layout that needs no more than a pattern.

    Args:
        listing: The files.
        layout: The layout's name.
        samples: See ``matched``.
        others: See ``beside``.
        names: Gives the names of the target from the name in the path.
    """
    sources = []
    for base, files in matched(listing, samples).items():
        paths = {path: None for path, _ in files}
        left = [one for one in beside(listing, base, others or {}) if one.path not in paths]
        parts = tuple(map(Part, paths))
        own = (*names(files[0][1]["target"]), *folders_above(listing, base, files[0][0]))
        sources.append(Source(layout, own, parts, tuple(left)))
    return sources


def folders_above(listing: Listing, base: str, path: Path) -> tuple[str, ...]:
    """Return the names of the folders above a base, innermost first.

    Args:
        listing: The files.
        base: The start of the path, up to the end of the target's name.
        path: The path of a file of the base.
    """
    below = len(path.absolute().parts) - len(Path(base).parts)
    return listing.folders(path)[below:] if below else listing.folders(path)


def one_state(files: Mapping[str, list[Path]], order: Mapping[str, str]) -> tuple[list[Path], list[LeftOut]]:
    """Return the files of one state of the same samples, and those of the others as left out.

    The state with the most files is taken; of states with as many, the first of ``order``.

    Args:
        files: The files by state (``{"unrelaxed": [...], "relaxed": [...]}``).
        order: By state, what files of this state are to those that are taken (``"relaxed copies"``).
    """
    taken = max(order, key=lambda state: (len(files.get(state, ())), -list(order).index(state)))
    left = [
        LeftOut(path, f"{what}: the {len(files[taken])} {taken} structures are read")
        for state, what in order.items()
        if state != taken
        for path in files.get(state, ())
    ]
    return files[taken], left
