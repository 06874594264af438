"""Write the first files of a new model: a card, a module and a test, which pass without a change."""

from __future__ import annotations

import re
from pathlib import Path

from ebabench.errors import InputError
from ebabench.generators.cards import Kind
from ebabench.system.files import replace_file
from ebabench.system.registry import folder

_MODULE = {"in-process": "{module}_model.py", "worker": "{module}_worker.py", "ensembles": "{module}_converter.py"}


def scaffold(name: str, kind: Kind, where: Path) -> list[Path]:
    """Write a card, its module and a test into a folder, and return their paths, the card first.

    Args:
        name: Name of the model.
        kind: Kind of its environment.
        where: The folder. It is made if it does not exist.

    Raises:
        InputError: A card cannot have this name (``model.name``), or one of the files exists (``file.exists``).
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        raise InputError(
            f"{name!r} is no name for a model: use small letters and digits, and _ . - after the first character",
            code="model.name",
            name=name,
        )
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    module = re.sub(r"\W", "_", name)
    files = {
        "card.toml.j2": f"{name}.toml",
        f"{kind}.py.j2": _MODULE[kind].format(module=module),
        "test.py.j2": f"test_{module}.py",
    }
    templates = Environment(
        loader=FileSystemLoader(folder("ebabench.generators") / "templates" / "model"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    texts = {
        where / file: templates.get_template(template).render(name=name, module=module, kind=kind)
        for template, file in files.items()
    }
    for path, text in texts.items():  # those of an interrupted call are the same
        if path.exists() and path.read_bytes() != text.encode():
            raise InputError(f"{path} exists already; nothing was written", code="file.exists", file=path)
    where.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        replace_file(path, text)
    return list(texts)
