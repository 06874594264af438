"""What an installation holds is what the tree holds."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ebabench import __version__

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "ebabench": "ebabench",
    "models": "ebabench/models",
    "metrics": "ebabench/metrics",
    "leaderboards": "ebabench/leaderboards",
}


def in_tree() -> set[str]:
    """Every file under the packages, by the path that it has when installed, but those that stay in the repository."""
    files = {
        f"{installed}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, installed in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    left_out = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["exclude-package-data"]
    patterns = [f"{name.replace('.', '/')}/{glob}" for name, globs in left_out.items() for glob in globs]
    return {file for file in files if not any(fnmatch(file, pattern) for pattern in patterns)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    copy = tmp_path_factory.mktemp("copy")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
    (copy / "dist").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (made,) = (copy / "dist").glob("*.whl")
    assert made.name.startswith(f"ebabench-{__version__}-"), "the version has one place, ebabench/__init__.py"
    with zipfile.ZipFile(made) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_tree_and_nothing_else(wheel: set[str]) -> None:
    assert wheel == in_tree()


def test_the_wheel_holds_what_it_cannot_run_without(wheel: set[str]) -> None:
    assert {
        "ebabench/models/static.toml",
        "ebabench/datasets/suites/peptides-v1.toml",
        "ebabench/metrics/__init__.py",
    } <= wheel


def test_every_dependency_is_pinned() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    asked = [*project["dependencies"], *(one for one in extras if not one.startswith("ebabench["))]
    assert {one.split(">")[0].lower() for one in asked} <= pinned
