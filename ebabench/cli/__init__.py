"""The command line. Exit 0: all that was asked for was done; 2: wrong usage or input; 1: a failure part-way."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

import typer

from ebabench.cli import (
    data,
    evaluation,
    fetch,
    inspect,
    leakage,
    listing,
    md_error,
    md_time,
    models,
    results,
    site,
    training,
)
from ebabench.cli.app import app
from ebabench.errors import InputError, RunError
from ebabench.system.batching import is_out_of_memory
from ebabench.system.names import printable

_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt
__all__ = [
    "app",
    "data",
    "evaluation",
    "fetch",
    "inspect",
    "leakage",
    "listing",
    "main",
    "md_error",
    "md_time",
    "models",
    "results",
    "site",
    "training",
]


def main() -> None:
    """Run the command line, and tell of what went wrong in one line."""
    gc.set_threshold(10_000, 10, 10)  # to look for garbage after every 700 objects takes 5 % of a score
    _open_streams()
    for name in ("SIGTERM", "SIGHUP"):  # they end a command as an interruption does: what was finished is kept
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    code = _run()
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _unwritten(error, code)
    gc.freeze()  # what is left goes with the process: to look for garbage in it takes half a second
    sys.exit(code)


def _open_streams() -> None:
    """Open what was closed: else the next file would take the place of the output, and get what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be of any bytes


def _unwritten(error: OSError, code: int = 0) -> int:
    """What becomes of a command whose output cannot be written. A failure that was told is not told again."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    return code or _tell(f"the output cannot be written ({error.strerror}); what was done is kept", 1)


def _run() -> int:  # noqa: PLR0911
    try:
        code: int = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        return _tell(f"{error.format_message()} ({_command_of(error)} --help tells what there is)", 2)
    except (InputError, RunError) as error:
        return _tell(str(error), 2 if isinstance(error, InputError) else 1)
    except UnicodeEncodeError as error:
        word = error.object[max(error.start - 20, 0) : error.end].splitlines()[-1]
        return _tell(f"a name that is not UTF-8 cannot be written: {word}", 2)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer ends the program itself then
            return _unwritten(error.__context__)
        return _tell(f"code from outside ended the program (sys.exit({error.code!r})): nothing more was done", 1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _tell(
            f"{error.strerror or error}{where}; what was finished is kept, the same command goes on from it", 1
        )
    except Exception as error:
        if isinstance(error, SystemError) and isinstance(error.__cause__, KeyboardInterrupt):
            code = _INTERRUPTED  # in a compiled function
        elif is_out_of_memory(error):
            otherwise = f", or compiled code failed ({error})" if isinstance(error, SystemError) else ""
            return _tell(f"memory ran out{otherwise}; what was finished is kept, the same command goes on from it", 1)
        else:
            raise
    if code == _INTERRUPTED:
        return _tell("interrupted; what was finished is kept, the same command goes on from it", 1)
    return code


def _command_of(error: typer.TyperException) -> str:
    """The command whose usage is wrong."""
    names: list[str] = []
    context = getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    return " ".join(["ebabench", *names])


def _tell(message: str, code: int) -> int:
    with suppress(OSError):  # the error stream may be closed, too
        print(f"ebabench: {printable(message)}", file=sys.stderr)
    return code
