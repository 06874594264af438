"""Imports point one way, and naming things loads nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from ebabench.results import manifest

ROOT = Path(__file__).parents[2]

# A room may import rooms of earlier lines, and itself. ``models`` and ``metrics`` are reached through the registry.
ROOMS = [
    {"errors"},
    {"structures", "system"},
    {"io"},
    {"physics", "generators"},
    {"datasets", "scoring"},
    {"results"},
    {"training"},
    {"workflows"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, line in enumerate(ROOMS) for room in line}
OUTSIDE = {"models", "metrics"}
# An ensemble can be made of other libraries' objects. What is read of these is what would be read of their files.
CONSTRUCTORS = {("structures/ensembles.py", "io")}


def files() -> list[Path]:
    return sorted((ROOT / "ebabench").rglob("*.py"))


def part(path: Path) -> str:
    """The module or package right under ``ebabench`` that a file belongs to."""
    return path.relative_to(ROOT / "ebabench").parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """The parts of ebabench that code imports, wherever in it; not what only type checkers import."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "ebabench":
            names = [f"ebabench.{alias.name}" for alias in node.names if alias.name != "__version__"]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [node.module or ""]
        else:
            names = []
        yield from (name.split(".")[1] for name in names if name.startswith("ebabench."))
        yield from imported(node)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    here = part(path)
    if here in ("__init__", "deprecated"):
        return
    assert here in RANK, f"say in ROOMS where {here} stands"
    for other in imported(ast.parse(path.read_text())):
        assert other not in OUTSIDE, f"{here} reaches {other} without the registry"
        if (path.relative_to(ROOT / "ebabench").as_posix(), other) not in CONSTRUCTORS:
            assert other == here or RANK[other] < RANK[here], f"{here} imports {other}"


# These pass plain data on, or compile, limit and store: the numbers are not theirs.
NO_NUMBERS = {"llvmlite", "pandas", "pydantic", "safetensors", "threadpoolctl"}


def test_provenance_names_the_libraries_that_make_the_numbers() -> None:
    distributions = packages_distributions()
    rooms = [ROOT / "ebabench" / room for room in ("structures", "io", "physics", "scoring")]
    used = set()
    for path in (path for room in (*rooms, ROOT / "metrics", ROOT / "models") for path in room.rglob("*.py")):
        if "workers" in path.parts:  # they run in other packages' environments, which have a lock of their own
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used |= {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    made_by = {distributions.get(name, [name])[0].lower() for name in used - {"ebabench"}} - NO_NUMBERS
    named = {name.lower() for name in manifest._LIBRARIES}
    assert made_by == named


def test_listing_loads_nothing_heavy() -> None:
    heavy = ("torch", "openmm", "mdtraj", "matplotlib", "sklearn", "scipy", "ot", "numba", "pandas", "gemmi", "Bio")
    code = (
        "import sys; sys.argv = ['ebabench', 'list']\n"
        "from ebabench.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('LOADED', *(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert "md-replica" in done.stdout
    assert "rmsf_r" in done.stdout
    assert "peptides-v1" in done.stdout
