"""Docstrings of the public API are complete, and every example in a docstring runs as it stands there."""

import doctest
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import ebabench

ROOT = Path(__file__).parents[2]
WITH_EXAMPLES = sorted(
    f"ebabench.{'.'.join(path.relative_to(ROOT / folder).with_suffix('').parts)}" if folder == "ebabench" else
    f"ebabench.{folder}.{'.'.join(path.relative_to(ROOT / folder).with_suffix('').parts)}"
    for folder in ("ebabench", "metrics", "models")
    for path in (ROOT / folder).rglob("*.py")
    if ">>> " in path.read_text() and "workers" not in path.parts
)  # fmt: skip
# The verbs of the library score real ensembles.
VERBS = re.compile(r"ebabench\.workflows\.(align|compare|md_error|plot|run|score\w*)")
SLOW = [name for name in WITH_EXAMPLES if VERBS.fullmatch(name)]


def functions() -> Iterator[tuple[str, object]]:
    """The public functions, and the public methods of public classes that are ebabench's own."""
    for name in ebabench.__all__:
        thing = getattr(ebabench, name)
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            for key, member in vars(thing).items():
                inner = member.__func__ if isinstance(member, staticmethod | classmethod) else member
                if inspect.isfunction(inner) and not key.startswith("_"):
                    yield f"{name}.{key}", inner


PUBLIC = dict(functions())


@pytest.mark.parametrize(
    "module", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in WITH_EXAMPLES]
)
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(import_module(module), optionflags=doctest.ELLIPSIS)
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_function_says_what_it_returns_and_what_its_arguments_are(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    first = text.split(maxsplit=1)[0] if text else ""
    assert re.fullmatch(r"[A-Z][a-z]+[^s]", first), f"{name}: its first word is {first!r}, not an imperative"
    parameters = [key for key in inspect.signature(PUBLIC[name]).parameters if key not in ("self", "cls")]  # type: ignore[arg-type]
    lacking = [key for key in parameters if not re.search(rf"\b{key}\b", text)]
    assert lacking == [], f"{name} does not say what {', '.join(lacking)} is"


@pytest.mark.parametrize("name", [name for name in PUBLIC if "." not in name])
def test_a_verb_of_the_library_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(PUBLIC[name]) or "")
