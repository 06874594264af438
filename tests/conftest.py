"""The tiny suite's molecular dynamics, made once a session."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "experiments"))

from command import SUITE, Called, Tiny, ebabench


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
