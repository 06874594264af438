"""Sources of one target become one: copies and input structures are left out, runs are joined, doubts are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from ebabench.errors import InputError
from ebabench.io.layouts.source import LeftOut, Source, joined
from ebabench.io.layouts.structures import MODELS, SINGLE
from ebabench.io.layouts.wording import candidates, is_trajectory, listed, no_sample, pattern, words

_STATES = listed(
    "min minimised minimized relaxed unrelaxed raw equil equilibrated aligned fit ca nopbc whole centered filtered "
    "unfiltered physical unphysical noisy clean sidechain sidechains backbone"
)
"""Words for versions of the same conformations: files that differ in one of them are no runs."""
_VERSIONS = _STATES | listed("refined h hydrogens protonated")
"""The same for single structures, whose names have fewer words of other meaning."""
_MOST_ODD = 0.5


def settled(target: str, sources: Sequence[Source]) -> Source:
    """Return one source of a target; its ``fault`` names both ways where it may be meant in two.

    Args:
        target: The name of the target.
        sources: All that lies there of it, at least one.
    """
    kept, left = _without_inputs(target, sources)
    singles = [one for one in kept if one.layout == SINGLE]
    others = [one for one in kept if one.layout != SINGLE]
    if not others:
        found, more, fault = _conformations(target, singles)
        return _final(found, [*left, *more], fault)
    doubtful = next((one for one in others[1:] if not _are_runs(others[0], one)), None)
    twice = _in_two_formats(others)
    fault = None
    if twice is not None:
        fault = _doubt(target, *twice, "one name in two formats")
    elif doubtful is not None:
        why = "runs are joined if their names differ in a number only" if _together(others[0], doubtful) else ""
        fault = _doubt(target, others[0], doubtful, why)
    if _numbered(singles):
        fault = fault or _doubt(target, others[0], joined(singles))
    why = f"one structure beside {others[0].paths[0].name}"
    return _final(joined(others), [*left, *(LeftOut(one.paths[0], why) for one in singles)], fault)


def _final(source: Source, left: Sequence[LeftOut], fault: InputError | None) -> Source:
    return replace(source, left_out=(*source.left_out, *left), fault=source.fault or fault).tidy()


def _without_inputs(target: str, sources: Sequence[Source]) -> tuple[list[Source], list[LeftOut]]:
    """Return the sources that are samples by their names, and the others as left out; never are all left out."""
    reasons = {}
    for one in sources:
        names = (one.names[0], *one.place[:-1])
        reasons[one.place] = no_sample(names, target) if one.plain else ""
    kept = [one for one in sources if not reasons[one.place]] or list(sources)
    denoising = {one.place: is_trajectory(one.names[0], target) for one in kept if one.layout == MODELS}
    kept = [one for one in kept if not denoising.get(one.place)] or kept
    left = _but(kept, sources)
    return kept, [
        LeftOut(path, reasons[one.place] or denoising.get(one.place, "")) for one in left for path in one.files
    ]


def _but(some: Sequence[Source], sources: Sequence[Source]) -> list[Source]:
    """Return the sources that are not among some of them. Thousands of them are not compared pair by pair."""
    known = set(map(id, some))
    return [one for one in sources if id(one) not in known]


def _are_runs(one: Source, other: Source) -> bool:
    """Return whether two sources are runs of one model: files or folders that differ in a running number only."""
    if one.layout != other.layout and not (one.plain and other.plain and _together(one, other)):
        return False
    places = ["/".join(source.place) for source in (one, other)]
    if (words(places[0]) ^ words(places[1])) & _STATES:
        return False
    return pattern(places[0]) == pattern(places[1]) or (_label(one) == _label(other) and _together(one, other))


def _in_two_formats(sources: Sequence[Source]) -> tuple[Source, Source] | None:
    """Return two trajectories of one name that lie in one folder; None if there are no such ones."""
    known: dict[tuple[str, ...], Source] = {}
    for one in sources:
        if one.plain and one.parts[0].topology and known.setdefault((*one.place[:-1], one.names[0]), one) is not one:
            return known[*one.place[:-1], one.names[0]], one
    return None


def _label(source: Source) -> str:
    """Return the name of a file with ``#`` in place of its number, or of the one letter that it consists of."""
    return pattern(source.names[0]) if len(source.names[0]) > 1 else "#"


def _together(one: Source, other: Source) -> bool:
    """Return whether two trajectories lie in one folder and have one topology."""
    topology = one.parts[0].topology
    return topology is not None and topology == other.parts[0].topology and one.paths[0].parent == other.paths[0].parent


def _conformations(target: str, singles: list[Source]) -> tuple[Source, list[LeftOut], InputError | None]:
    """Return the conformations among single structures, what is left out, and the doubt if there is one."""
    kept, left = _one_state(singles)
    groups = _series(kept)
    numbered = [one for group in _long(groups) for one in group]
    odd = [group[0] for group in groups.values() if len(group) == 1]
    fault = _two_formats(target, groups) or _same_numbers(target, groups)
    inputs = [one for one in odd if _after(target, one)]
    if numbered and odd and len(odd) < _MOST_ODD * len(kept):
        series = {list(candidates(one.names[0]))[-1] for one in numbered}
        doubtful = _but([one for one in inputs if one.names[0] not in series], odd)
        if doubtful:
            why = f"{doubtful[0].paths[0].name} has no number, {numbered[0].paths[0].name} and others have"
            fault = fault or _doubt(target, joined(numbered), doubtful[0], why)
        kept = numbered
    elif len(inputs) == 1 and len(kept) > 1:
        kept = _but(inputs, kept)
    left += [
        LeftOut(one.paths[0], "the input structure: it is named after the target, the conformations are not")
        for one in _but(kept, inputs)
    ]
    return joined(kept), left, fault or _same_sample(target, kept)


def _one_state(singles: list[Source]) -> tuple[list[Source], list[LeftOut]]:
    """Return the unrelaxed structures where there are relaxed ones of the same samples, too."""
    states: dict[str, list[Source]] = {"unrelaxed": [], "relaxed": [], "": []}
    for one in singles:
        said = words("/".join(one.place))
        states["unrelaxed" if "unrelaxed" in said else "relaxed" if "relaxed" in said else ""].append(one)
    if not states["unrelaxed"] or not states["relaxed"]:
        return singles, []
    why = f"a relaxed copy: the {len(states['unrelaxed'])} unrelaxed structures are read"
    return _but(states["relaxed"], singles), [LeftOut(one.paths[0], why) for one in states["relaxed"]]


def _series(singles: Sequence[Source]) -> dict[str, list[Source]]:
    """Return single structures by the pattern of their paths."""
    groups: dict[str, list[Source]] = {}
    for one in singles:
        groups.setdefault(pattern("/".join(one.place)), []).append(one)
    return groups


def _numbered(singles: Sequence[Source]) -> bool:
    return bool(_long(_series(singles)))


def _after(target: str, single: Source) -> bool:
    """Return whether a file is named after the target, or after its own folder."""
    name = single.names[0].lower()
    return name == target.lower() or name == single.names[1].lower()


def _two_formats(target: str, groups: Mapping[str, Sequence[Source]]) -> InputError | None:
    """Return the doubt where the same numbered names are there in two formats."""
    stems: dict[tuple[str, ...], Sequence[Source]] = {}
    for group in groups.values():
        key = (*group[0].place[:-1], pattern(group[0].names[0]))
        if key in stems and {one.names[0] for one in stems[key]} & {one.names[0] for one in group}:
            return _doubt(target, joined(stems[key]), joined(group), "the same names in two formats")
        stems.setdefault(key, group)
    return None


def _same_numbers(target: str, groups: Mapping[str, Sequence[Source]]) -> InputError | None:
    """Return the doubt where two series have the same running numbers: perhaps each sample is there twice."""
    for one, other in combinations(_long(groups), 2):
        if _numbers(one) & _numbers(other):
            why = "two series have the same numbers and may be the same samples"
            return _doubt(target, joined(one), joined(other), why)
    return None


def _same_sample(target: str, singles: Sequence[Source]) -> InputError | None:
    """Return the doubt where two names differ in a word for a version of the same conformation only."""
    known: dict[frozenset[str], tuple[Source, str]] = {}
    for one in singles:
        place = "/".join((*one.place[:-1], one.names[0]))
        other, there = known.setdefault(frozenset(words(place) - _VERSIONS), (one, place))
        if pattern(there) != pattern(place):
            return _doubt(target, other, one, "they may be one sample twice")
    return None


def _numbers(group: Sequence[Source]) -> set[str]:
    """Return the running numbers of a series: the last number in its paths that is not the same in all."""
    rows = [re.findall(r"0*(\d+)", "/".join(one.place)) for one in group]
    varying = [numbers for column in zip(*rows, strict=True) if len(numbers := set(column)) > 1]
    return varying[-1] if varying else set()


def _long(groups: Mapping[str, Sequence[Source]]) -> list[Sequence[Source]]:
    """Return the groups of more than one file."""
    return [group for group in groups.values() if len(group) > 1]


def _doubt(target: str, one: Source, other: Source, why: str = "") -> InputError:
    """Return the error that names two ways to read a target."""
    ways = [f"{source.paths[0]} ({_count(source)}, {source.layout})" for source in (one, other)]
    return InputError(
        f"{target}: there are two ways to read its conformations{f': {why}' if why else ''}: {ways[0]} or {ways[1]}; "
        "move one of them away, or give the file or folder that is meant itself",
        code="ensembles.ambiguous",
        target=target,
        files=[str(source.paths[0]) for source in (one, other)],
    )


def _count(source: Source) -> str:
    return "1 file" if len(source.parts) == 1 else f"{len(source.parts)} files"
