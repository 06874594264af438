"""Which targets a session works on, and what is known of their references before they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial

import numpy as np

from ebabench.datasets.references import References
from ebabench.errors import InputError, unknown
from ebabench.scoring.reference_cache import cached_arrays, reference_digest
from ebabench.system.names import composed, printable

_SMALL = 2_000_000  # bytes of trajectories


def select_targets(
    known: Sequence[str], targets: Sequence[str] | str | None = None, shard: str | None = None
) -> list[str]:
    """Return the targets to work on, in the order of the suite.

    Args:
        known: All targets.
        targets: Names, or one name; None for all.
        shard: "i/n" takes every n-th of these, from the i-th on, so that n sessions share them.

    Raises:
        InputError: There is no target of a name (``unknown.target``), or the shard is none (``usage.shard``).

    Example:
        >>> select_targets("abcde", shard="2/3")
        ['b', 'e']
    """
    wanted = [composed(name) for name in ([targets] if isinstance(targets, str) else targets or ())]
    for name in wanted:
        if name not in known:
            raise unknown("target", name, known)
    chosen = [name for name in known if not wanted or name in wanted]
    if shard is None:
        return chosen
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"--shard {shard}: not of the form i/n with i from 1 to n", code="usage.shard", shard=shard)
    return chosen[number - 1 :: count]


def targets_here(read: References, wanted: Sequence[str], by_name: bool) -> tuple[list[str], list[str]]:
    """Return the targets whose references are on disk, and a remark on the others.

    Raises:
        InputError: There is no reference at all, or a target that was asked for by name lacks its reference
            (``reference.missing``).
    """
    here = set(read.here())
    lacking = [name for name in wanted if name not in here]
    if lacking and (by_name or len(lacking) == len(wanted)):
        read.files(lacking[0])  # which says what is missing
    left = f"{len(lacking)} of {len(wanted)} targets are left out, for {read.root} has no references of them"
    return [name for name in wanted if name in here], [f"{left}: {few(lacking)}"] * bool(lacking)


def without_md(read: References, wanted: Sequence[str]) -> list[str]:
    """Return a remark on the targets whose references are not on disk, and which are sampled all the same."""
    lacking = [name for name in wanted if not read.has(name)]
    built = f"{len(lacking)} of {len(wanted)} targets have no references here: atoms and an unfolded native structure"
    return [f"{built} come from their sequences"] * bool(lacking)


def small_digests(read: References, names: Sequence[str], strict: bool) -> dict[str, str]:
    """Return the digests of small references, which cost little to read before the first target is worked on.

    Those of large references are known once these are scored.

    Args:
        read: The references.
        names: Names of targets.
        strict: Whether a reference that cannot be read raises InputError. It has no digest otherwise.
    """
    found = {}
    for name in names:
        if read.files(name).size <= _SMALL:
            with nullcontext() if strict else suppress(InputError):
                found[name] = reference_digest(read(name))
    return found


def digest_here(read: References, name: str) -> str | None:
    """Return the digest of a reference, or None if the reference is not on disk or cannot be read.

    As long as no file of the reference is written to, the reference is read for it once.
    """
    with suppress(InputError, OSError):
        return _remembered(read, name, lambda: reference_digest(read(name)))
    return None


def remember_digests(read: References, digests: Mapping[str, str]) -> None:
    """Store the digests of references, so that a later session need not read a reference to know its digest."""
    for name, digest in digests.items():
        with suppress(InputError, OSError):
            _remembered(read, name, partial(str, digest))


def _remembered(read: References, name: str, compute: Callable[[], str]) -> str:
    """The digest of a reference that is stored under the stamps of its files, or is computed and stored."""
    key = f"reference|{read.tier}|{name}|{read.files(name).stamp()}"
    return str(cached_arrays(key, lambda: {"digest": np.array(compute())})["digest"])


def few(names: Sequence[str]) -> str:
    """Return names for a message: the first five, and how many more there are."""
    return ", ".join(map(printable, names[:5])) + f" and {len(names) - 5} more" * (len(names) > 5)
