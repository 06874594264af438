"""What can go wrong, as a user sees it: one line that says what and where."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Wrong usage or input; nothing was done. The command line exits with 2."""


class RunError(Exception):
    """A failure part-way; the message says what was kept. The command line exits with 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An InputError for a name that is not known, with the nearest names that are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return InputError(f"unknown {kind} {name!r}; {hint}")
