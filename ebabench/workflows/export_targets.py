"""Export what to generate for a suite."""

from __future__ import annotations

import os
from pathlib import Path

from ebabench.datasets.requests import PER_TARGET, requests
from ebabench.datasets.suites import Suite, load_suite
from ebabench.errors import InputError
from ebabench.system.files import replace_file


def target_files(suite: str | Suite, form: str = "fasta") -> dict[str, str]:
    """Return the text of the files that ask a generator for a suite, by their names.

    Args:
        suite: The suite, or its id.
        form: ``fasta``, ``csv`` or ``json``; ``bioemu`` (a shell script); ``boltz`` or ``af3`` (one file per target).

    Raises:
        InputError: There is no such suite or format.
    """
    return requests(load_suite(suite) if isinstance(suite, str) else suite, form)


def export_targets(suite: str | Suite, form: str, out: str | os.PathLike[str]) -> list[Path]:
    """Write the files that ask a generator for a suite, and return their paths.

    Args:
        suite: The suite, or its id.
        form: See ``target_files``.
        out: The file; of ``boltz`` and ``af3`` the folder, which is made. A file that is there already stays if it is
            the same.

    Raises:
        InputError: A file is there already and is another one (``targets.exists``); nothing is written.
    """
    files = target_files(suite, form)
    place = Path(out)
    folder = form in PER_TARGET or place.is_dir()
    paths = {(place / name if folder else place): text for name, text in files.items()}
    for path, text in paths.items():
        if path.exists() and (not path.is_file() or path.read_bytes() != text.encode()):
            raise InputError(
                f"{path} is there already, and is another file; nothing was written", code="targets.exists"
            )
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
    return list(paths)
