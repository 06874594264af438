"""The bytes of a file, unpacked where its name says that it is packed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ebabench.errors import InputError
from ebabench.system.files import open_regular


def suffix_of(path: Path) -> str:
    """Return the suffix in lower case, without that of gzip.

    Example:
        >>> suffix_of(Path("X.PDB.gz"))
        '.pdb'
    """
    name = path.name.lower().removesuffix(".gz")
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def read_content(path: Path) -> bytes:
    """Return the content of a file; that of a gzipped one (``.gz``) unpacked.

    Raises:
        InputError: ``file.missing``; ``file.broken``, it cannot be read or unpacked, or is a pipe or a device.
    """
    try:
        with open_regular(path) as file:
            data = file.read()
        return gzip.decompress(data) if path.suffix.lower() == ".gz" else data
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="file.missing", file=str(path)) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be read, or truncated ({error})", code="file.broken", file=str(path)
        ) from error
