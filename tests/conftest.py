"""The tiny suite's molecular dynamics, made once a session; and the markers that follow from what a test uses."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "experiments"))

from command import SUITE, Called, Tiny, ebabench

_PROCESSES = {"tiny", "installed"}
"""Fixtures that start the command line, or pip, as a process."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that start processes as ``slow``, those of the command line as ``cli``; leave out external ones."""
    for item in items:
        called = item.obj.__code__.co_names if isinstance(item, pytest.Function) else ()
        if starts := "ebabench" in called and item.obj.__globals__.get("ebabench") is ebabench:
            item.add_marker("cli")
        if starts or _PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        if "called" in getattr(item, "fixturenames", ()):
            item.add_marker("cli")
        if item.get_closest_marker("external"):
            item.add_marker("slow")
    if "external" not in config.option.markexpr:
        external = [item for item in items if item.get_closest_marker("external")]
        items[:] = [item for item in items if not item.get_closest_marker("external")]
        config.hook.pytest_deselected(items=external)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's cache."""
    os.environ["EBABENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, _own_cache: None) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    made = Tiny(folder / "tiny-v1.toml", folder / "data", folder / "work")
    made.suite.write_text(SUITE)
    command = ["simulate", "--suite", str(made.suite), "--out", str(made.data), "--work", str(made.work)]
    done = ebabench(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """The command line in this process, in an empty folder: exit status, output, errors."""
    from ebabench.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ebabench", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call
