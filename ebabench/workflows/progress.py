"""How a workflow tells its caller what it is at."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``: called after every step of ``what``, and once before the first with ``done`` 0."""


def silent(what: str, done: int, total: int) -> None:
    """Ignore progress."""
    del what, done, total
