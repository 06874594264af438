"""Arrays in npz files that somebody else wrote: within bounds, without pickles."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebabench.system.files import open_regular

MOST = 1 << 34
"""Bytes of a file of which nothing else says how large it may be."""


def read_npz(path: Path, most: int = MOST) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an npz file by name.

    Args:
        path: A regular file. A pipe or a device is refused and never waited for.
        most: Bytes that the arrays may have when unpacked.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It is no regular file, or cannot be read.
        ValueError: It is no npz file, is damaged or cut, holds pickled objects, or more than ``most`` bytes.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > most:
                raise ValueError(f"it holds {size} bytes, at most {most} were expected")
            file.seek(0)
            with np.load(file, allow_pickle=False) as data:
                return dict(data)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, MemoryError) as error:
            raise ValueError(str(error) or type(error).__name__) from error
        except Exception as error:  # headers that lie make numpy raise many kinds
            if isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno is not None):
                raise
            raise ValueError(f"{type(error).__name__}: {error}") from error
