"""What can go wrong, as a user sees it: a code for programs, and one line that says what and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class EbabenchError(Exception):
    """An error that ebabench explains to its user.

    Args:
        message: One line: the file or name, what is wrong, and the remedy.
        code: ``area.thing``, for programs and tests. It stays the same when the sentence changes.
        named: The things that the message names (a file, a target, a field), by keyword.
    """

    def __init__(self, message: str, *, code: str = "unspecified", **named: Any) -> None:
        super().__init__(message)
        self.code = code
        self.named = named

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.code, self.named)


def _rebuild(kind: type[EbabenchError], message: str, code: str, named: dict[str, Any]) -> EbabenchError:
    return kind(message, code=code, **named)


class InputError(EbabenchError):
    """Wrong usage or input; nothing was done. The command line exits with 2."""


class RunError(EbabenchError):
    """A failure part-way; the message says what was kept. The command line exits with 1."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the InputError (code ``unknown.KIND``) for a name that is not known, with the nearest names that are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return InputError(f"unknown {kind} {name!r}; {hint}", code=f"unknown.{kind.split(maxsplit=1)[0]}", name=name)
