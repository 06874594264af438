"""Which target a source belongs to: by its names, else by the sequence of its atoms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ebabench.errors import InputError
from ebabench.io.layouts.reading import sequence_of
from ebabench.io.layouts.source import Source
from ebabench.io.layouts.structures import SINGLE
from ebabench.io.layouts.wording import candidates, generic
from ebabench.structures.matching import align
from ebabench.system.names import folded

Groups = dict[str, list[Source]]


def by_targets(sources: Sequence[Source], targets: Mapping[str, str]) -> tuple[Groups, list[Source]]:
    """Return the sources by target, and those that fit none.

    Args:
        sources: The sources.
        targets: Sequences by name. The most specific name of a source that means a target decides; upper and lower
            case, and underscores, are no difference unless two targets differ in nothing else. A source whose names
            mean none belongs to the only target that fits its sequence, if no source is named after that target.
    """
    spellings = [(_unique(targets, spell), spell) for spell in (str, folded, _squeezed)]
    groups: Groups = {}
    nameless = []
    for source in sources:
        name = _meant(source, spellings)
        if name is None:
            nameless.append(source)
        else:
            groups.setdefault(name, []).append(source)
    named = set(groups)
    if named >= set(targets):
        return groups, nameless  # no file is read
    strangers = []
    sequences: dict[tuple[object, ...], str | None] = {}
    for source in nameless:
        # The files of one folder and kind are of one protein: the first of them is read.
        key = (source.place[:-1], source.layout, None if source.layout == SINGLE else source.place[-1])
        if key not in sequences:
            sequences[key] = sequence_of(source)
        name = _of_sequence(sequences[key], targets)
        if name is None or name in named:
            strangers.append(source)
        else:
            groups.setdefault(name, []).append(source)
    return groups, strangers


def by_own_names(sources: Sequence[Source]) -> Groups:
    """Return the sources by what they call their target themselves: a layout's own name, a folder, a file.

    Files that differ in a running number only are runs of one target if they have one sequence.
    """
    stems = Counter((one.place[:-1], _last(one.names[0])) for one in sources if one.layout == SINGLE)
    groups: Groups = {}
    for source in sources:
        groups.setdefault(_own_name(source, stems), []).append(source)
    return {name: group for shared, together in groups.items() for name, group in _of_one_sequence(shared, together)}


def _meant(source: Source, spellings: Sequence[tuple[Mapping[str, str], Callable[[str], str]]]) -> str | None:
    """Return the target that the most specific of a source's names means."""
    for targets, spell in spellings:
        for name in source.names:
            for one in candidates(name):
                if found := targets.get(spell(one)):
                    return found
    return None


def _of_sequence(sequence: str | None, targets: Mapping[str, str]) -> str | None:
    """Return the only target of a sequence; if none has just this one, the only target that it fits."""
    if sequence is None:
        return None
    same = [name for name, own in targets.items() if own == sequence]
    fitting = same or [name for name, own in targets.items() if _fits(sequence, own)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(model: str, reference: str) -> bool:
    try:
        align(model, reference)
    except InputError:
        return False
    return True


def _own_name(source: Source, stems: Counter[tuple[tuple[str, ...], str]]) -> str:
    """Return what a source calls its target.

    Args:
        source: The source.
        stems: How many single structures a folder has by the stem of their names, running numbers taken away.
    """
    own, root = _last(source.names[0]), source.names[-1]
    if not source.plain:
        return next((name for name in map(_last, source.names) if not generic(name)), source.names[0])
    folder = next((name for name in map(_last, source.place[:-1]) if not generic(name)), None)
    if source.layout != SINGLE:
        return folder or (root if generic(own) else own)
    here = [(stem, count) for (place, stem), count in stems.items() if place == source.place[:-1]]
    series = [stem for stem, count in here if count > 1 and not generic(stem)]
    if own in series and (len(series) > 1 or folder is None):
        return own
    return folder or (own if len(here) == 1 and not generic(own) else root)


def _of_one_sequence(name: str, sources: list[Source]) -> list[tuple[str, list[Source]]]:
    """Return a group, or each of its sources under its own name if they are of several proteins."""
    several = [one for one in sources if one.layout != SINGLE]
    if len({one.names[0] for one in several}) < 2 or len({sequence_of(one) for one in several}) < 2:
        return [(name, sources)]
    return [(one.names[0], [one]) for one in sources]


def _last(name: str) -> str:
    return list(candidates(name))[-1]


def _squeezed(name: str) -> str:
    return "".join(letter for letter in folded(name) if letter.isalnum())


def _unique(targets: Mapping[str, str], spell: Callable[[str], str]) -> dict[str, str]:
    """Return the targets by a spelling of their names; a spelling that two share names neither."""
    counts = Counter(map(spell, targets))
    return {spell(name): name for name in targets if counts[spell(name)] == 1}
