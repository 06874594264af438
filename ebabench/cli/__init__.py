"""The command line. Exit 0: all that was asked for was done; 2: wrong usage or input; 1: a failure part-way."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import typer

from ebabench.cli import data, evaluation, fetch, listing, md_time, models, results, site, training
from ebabench.cli.app import app
from ebabench.errors import InputError, RunError

_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt
__all__ = ["app", "data", "evaluation", "fetch", "listing", "main", "md_time", "models", "results", "site", "training"]


def main() -> None:
    """Runs the command line, and tells of what went wrong in one line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be of any bytes
    sys.exit(_run())


def _run() -> int:
    try:
        code: int = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        return _tell(f"{error.format_message()} (ebabench --help tells what there is)", 2)
    except (InputError, RunError) as error:
        return _tell(str(error), 2 if isinstance(error, InputError) else 1)
    except UnicodeEncodeError as error:
        word = error.object[max(error.start - 20, 0) : error.end].splitlines()[-1]
        return _tell(f"a name that is not UTF-8 cannot be written: {word}", 2)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _tell(
            f"{error.strerror or error}{where}; what was finished is kept, the same command goes on from it", 1
        )
    if code == _INTERRUPTED:
        return _tell("interrupted; what was finished is kept, the same command goes on from it", 1)
    return code


def _tell(message: str, code: int) -> int:
    print(f"ebabench: {message}", file=sys.stderr)
    return code
