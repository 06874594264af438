"""Names and texts from outside: safe to print, to write in a table, and to use as the name of a file.

Targets, suites, models, rows and checkpoints are named by files that others write. Whatever becomes part of a path, a
table or a line on a terminal goes through here first.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from ebabench.errors import InputError

MOST_BYTES = 200  # so that NAME.npz, with what is written beside it, is within the 255 bytes of a file's name
_RESERVED = frozenset({"con", "prn", "aux", "nul"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def name_fault(text: str) -> str:
    """Return what makes a text unfit as a name; empty if nothing does.

    A name begins with a letter, a digit or ``_``, holds no control character, line break, slash or backslash, does not
    end with a space or a dot, and has at most 200 bytes in UTF-8.
    """
    faults = {
        "it is empty": not text,
        "it is not UTF-8": any(unicodedata.category(character) == "Cs" for character in text),
        f"it has more than {MOST_BYTES} bytes": len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES,
        "it does not begin with a letter, a digit or _": not (text[:1].isalnum() or text[:1] == "_"),
        "it holds a slash or a character that cannot be printed": any(c in "/\\" or _unprintable(c) for c in text),
        "it ends with a space or a dot": text[-1:] in (" ", "."),
        "the name is reserved": text.lower() in _RESERVED,
    }
    return next((fault for fault, found in faults.items() if found), "")


def check_name(text: str, what: str) -> str:
    """Return ``text`` if it is fit as a name.

    Args:
        text: The name.
        what: What it names, for the message: ``"--name"``, ``"target"``.

    Raises:
        InputError: It is not (code ``name.unsafe``); the message says why.
    """
    if fault := name_fault(text):
        raise InputError(f"{what} '{shortened(text)}': not a name: {fault}", code="name.unsafe", name=text)
    return text


def plain_name(text: str) -> str:
    """Return a name as it is compared. Raises ValueError where it is unfit as one."""
    if fault := name_fault(text):
        raise ValueError(f"'{shortened(text)}' is not a name: {fault}")
    return composed(text)


def plain_path(text: str) -> str:
    """Return the path of a file beside another one. Raises ValueError where it leads elsewhere."""
    path = PurePosixPath(text)
    if path.is_absolute() or not path.parts or any(name_fault(part) for part in path.parts) or "\\" in text:
        raise ValueError(f"'{shortened(text)}' is not a path of plain names that stays inside the folder")
    return text


def check_inside(text: str, what: str) -> str:
    """Return ``text`` if it is the path of a file beside another one, or in a folder beside it.

    Args:
        text: The path.
        what: What it names, for the message.

    Raises:
        InputError: It leads elsewhere, or is no path of plain names (code ``path.outside``).
    """
    try:
        return plain_path(text)
    except ValueError as error:
        raise InputError(f"{what}: {error}", code="path.outside", path=text) from error


def file_name(url: str, otherwise: str) -> str:
    """Return the last part of an address as the name of a file, or ``otherwise`` if it is not fit for that."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return otherwise if name_fault(name) else name


def folded(text: str) -> str:
    """Return what names have in common that some file systems take for one: case and the coding of accents.

    Example:
        >>> folded("Gro\u0308\u00dfe") == folded("GR\u00d6\u00dfE")
        True
    """
    return composed(text).lower()


def composed(text: str) -> str:
    """Return a name as it is compared: each accent in one character with its letter (NFC).

    Some file systems, and programs that copy files, spell it in two.

    Example:
        >>> composed("o\u0308") == "\u00f6"
        True
    """
    return unicodedata.normalize("NFC", text)


def shortened(text: str, most: int = 200) -> str:
    """Return a text that is printable, and cut if it is longer than ``most`` characters.

    Example:
        >>> shortened("x" * 1000, 5)
        'xxxxx...'
    """
    return printable(text if len(text) <= most else f"{text[:most]}...")


def printable(text: str) -> str:
    r"""Return a text without line breaks and control characters: they are shown as escapes, as ``\x1b``.

    Example:
        >>> printable("a\x1b[31mb\nc")
        'a\\x1b[31mb\\nc'
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _unprintable(c) else c for c in text)


def cell(text: str) -> str:
    """Return a text for a cell of a CSV table: printable, and no formula to a spreadsheet."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) and not _NUMBER.fullmatch(shown) else shown


def _unprintable(character: str) -> bool:
    """Control and format characters (those that turn the direction of writing among them), surrogates, separators."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")
