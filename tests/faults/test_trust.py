"""What is read from outside is never executed: no pickles, no shell, no evaluation, HTML with autoescape."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebabench.system.registry import folder

PACKAGES = ("ebabench", "ebabench.metrics", "ebabench.models")
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "yaml.load",
    "pickle.load",
    "pickle.loads",
    "marshal.loads",
}
# Dask's workers are sent functions by their client; SECURITY.md tells so. Nothing is read from a file there.
SENT = "system/cluster.py"
# What runs in other packages' environments is code of a card, as SECURITY.md says; only its checkpoints are data.
CALLS_OF_OTHERS = ("pickle.load", "torch.load", "numpy.load", "np.load", "joblib.load")


def _calls() -> Iterator[tuple[Path, ast.Call, str]]:
    for package in PACKAGES:
        for path in sorted(folder(package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield path, node, ast.unparse(node.func)


def _option(node: ast.Call, name: str) -> object:
    for keyword in node.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return keyword.value.value
    return None


@pytest.fixture(scope="module")
def calls() -> list[tuple[Path, ast.Call, str]]:
    return list(_calls())


def test_nothing_evaluates_text(calls) -> None:
    found = [(path.as_posix(), node.lineno, name) for path, node, name in calls if name in FORBIDDEN]
    assert not [one for one in found if not one[0].endswith(SENT)]


def test_no_shell(calls) -> None:
    assert not [f"{path.name}:{node.lineno}" for path, node, _ in calls if _option(node, "shell")]


def test_arrays_and_weights_are_never_pickles(calls) -> None:
    loads = [(path, node, name) for path, node, name in calls if name in CALLS_OF_OTHERS]
    assert loads
    for path, node, name in loads:
        where = f"{path.name}:{node.lineno} {ast.unparse(node)}"
        if name == "torch.load":
            assert _option(node, "weights_only") is True, where
        else:
            assert _option(node, "allow_pickle") is False, where


def test_templates_of_pages_escape(calls) -> None:
    """Templates of programs and cards are text of the project, filled with a checked name."""
    environments = [(path, node) for path, node, name in calls if name.endswith("Environment") and "jinja" not in name]
    pages = [(path, node) for path, node in environments if "results" in path.parts]
    assert pages
    for path, node in pages:
        assert _option(node, "autoescape") is not False, path
