"""The first files of a new model: a card, a module and a test that pass as they stand."""

from __future__ import annotations

import re
from pathlib import Path

from ebabench.errors import InputError
from ebabench.generators.cards import Kind
from ebabench.system.files import replace_file
from ebabench.system.registry import folder

_MODULE = {"in-process": "{module}_model.py", "worker": "{module}_worker.py", "ensembles": "{module}_converter.py"}


def scaffold(name: str, kind: Kind, where: Path) -> list[Path]:
    """Writes ``NAME.toml``, its module and ``test_NAME.py`` into a folder, which is made if need be.

    Raises InputError for a name that a card cannot have, and rather than replace a file.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        raise InputError(f"{name!r} is no name for a model: small letters, digits, and _ . - after the first")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    module = re.sub(r"\W", "_", name)
    files = {
        "card.toml.j2": f"{name}.toml",
        f"{kind}.py.j2": _MODULE[kind].format(module=module),
        "test.py.j2": f"test_{module}.py",
    }
    there = [file for file in files.values() if (where / file).exists()]
    if there:
        raise InputError(f"{where / there[0]} is there already; nothing was written")
    templates = Environment(
        loader=FileSystemLoader(folder("ebabench.generators") / "templates" / "model"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    where.mkdir(parents=True, exist_ok=True)
    for template, file in files.items():
        replace_file(where / file, templates.get_template(template).render(name=name, module=module, kind=kind))
    return [where / file for file in files.values()]
