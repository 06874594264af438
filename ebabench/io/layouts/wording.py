"""What a file's name says: an input structure, a preview, a denoising trajectory, a running number, the target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


def listed(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_NO_SAMPLE = {
    "native input reference ref template crystal xray experimental experiment initial init start starting gt "
    "groundtruth truth true topology top": "an input structure or template, by its name",
    "preview centroid average mean medoid representative best selected": "conformations again, by its name",
    "anim animation denoising denoise diffusion noised noise x0 px0 xt": "a denoising trajectory, by its name",
    "msa processed log": "an input or a log, by its folder",
}
_REASONS = {word: reason for text, reason in _NO_SAMPLE.items() for word in listed(text)}
_TRAJECTORY = "a denoising trajectory, by its name"
_SERIES = listed(
    "sample ensemble conformation conf conformer model pred prediction predicted structure traj trajectory md run seed "
    "rep replica r output out result relaxed unrelaxed rank ranked fold frame chunk batch part generated gen trunk all "
    "data file pdb cif xtc job raw min state s f"
)
_NUMBERED = re.compile(rf"(.+?)([._-](?:(?:{'|'.join(sorted(_SERIES))})[._-]?)?\d+|[._-]?\(\d+\))", re.I)
_CONDITIONS = re.compile(r"(.+?)_npt[\d.]+_ts[\d.]+")  # pressure and time step, in the names of DynamicPDB's folders


def words(name: str) -> set[str]:
    """Return the words of a name in lower case, split where the field splits names.

    Example:
        >>> sorted(words("6o2v_A.native-start"))
        ['6o2v', 'a', 'native', 'start']
    """
    return set(re.split(r"[/._\-\s]+", name.lower())) - {""}


def pattern(name: str) -> str:
    """Return a name with ``#`` in place of every run of digits: files of one series have one pattern.

    Example:
        >>> pattern("sample_12.pdb")
        'sample_#.pdb'
    """
    return re.sub(r"\d+", "#", name)


def numbered(name: str) -> tuple[str, str] | None:
    """Return the stem of a series and its running number; None for a name without one.

    Example:
        >>> numbered("6o2v_A_sample12"), numbered("KLED_3"), numbered("6o2v_A_R1"), numbered("T1024")
        (('6o2v_A', '_sample12'), ('KLED', '_3'), ('6o2v_A', '_R1'), None)
    """
    match = _NUMBERED.fullmatch(name)
    return (match[1], match[2]) if match else None


def no_sample(names: Iterable[str], target: str) -> str:
    """Return why a file is no sample, by the words of its name and its folders; the empty string if no word says so.

    Args:
        names: The stem of the file and the names of its folders, below the target's own.
        target: The name of the target: its words mean nothing.

    Example:
        >>> no_sample(["FRG_native"], "FRG"), no_sample(["sample_1"], "FRG")
        ('an input structure or template, by its name', '')
    """
    found = [word for name in names for word in sorted(words(name) - words(target)) if _singular(word) in _REASONS]
    return _REASONS[_singular(found[0])] if found else ""


def is_trajectory(name: str, target: str) -> str:
    """Return why a structure file may be a denoising trajectory, if its name has the word; else the empty string."""
    return _TRAJECTORY if {"traj", "trajectory"} & (words(name) - words(target)) else ""


def generic(name: str) -> bool:
    """Return whether a name says nothing of the target: a running number, or words for samples, runs and inputs.

    Example:
        >>> generic("run_1"), generic("samples"), generic("seed0"), generic("KLED")
        (True, True, True, False)
    """
    plain = {_singular(word.rstrip("0123456789")) for word in words(name)} - {""}
    return plain <= {*_SERIES, *_REASONS}


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 1 else word


def candidates(name: str) -> Iterator[str]:
    """Return what a name may name, most specific first: itself, less running numbers, less words for samples.

    Example:
        >>> list(candidates("samples_6o2v_A_3"))
        ['samples_6o2v_A_3', 'samples_6o2v_A', '6o2v_A']
    """
    yield name
    if conditions := _CONDITIONS.fullmatch(name):
        yield from candidates(conditions[1])
        return
    series = numbered(name)
    if series:
        yield from candidates(series[0])
        return
    for cut in (name.partition("_")[::2], name.partition("-")[::2]):
        if cut[1] and generic(cut[0]) and not generic(cut[1]):
            yield from candidates(cut[1])
            return
    for cut in (name.rpartition("_")[::2], name.rpartition("-")[::2], name.rpartition(".")[::2]):
        if cut[0] and generic(cut[1]) and not generic(cut[0]):
            yield from candidates(cut[0])
            return
