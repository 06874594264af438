"""Functions compiled to machine code, whose code is stored on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from ebabench.system.files import exclusive

_F = TypeVar("_F", bound=Callable[..., Any])


def cached_njit(**options: Any) -> Callable[[_F], _F]:
    """Return a decorator that compiles a function as ``numba.njit(cache=True, **options)`` does.

    Compiled code is stored beside the source, or in the user's cache, or in ``$NUMBA_CACHE_DIR``. Where none of these
    can be written (a read-only installation without a home), every process compiles anew; numba refuses to import the
    function at all.

    Args:
        options: those of ``numba.njit``, without ``cache``.
    """

    def decorate(function: _F) -> _F:
        compiled = numba.njit(**options)(function)
        with suppress(RuntimeError):  # "no locator available": there is no folder for the cache
            compiled.enable_caching()
            _store_one_at_a_time(compiled._cache._cache_file)
        return cast(_F, compiled)

    return decorate


def _store_one_at_a_time(file: Any) -> None:
    """Let one process at a time add to a function's stored code.

    Numba numbers the files of a function, one per types of its arguments, and lists them in an index that it reads,
    extends and writes. Two processes at the same time would give one number to the code of different types.
    """
    save = file.save

    def save_alone(key: object, data: object) -> None:
        with exclusive(Path(file._cache_path)):
            save(key, data)

    file.save = save_alone
