"""A package written by docs/how-to/write-a-plugin.md alone: pip installs it, its model and metric are there."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import Tiny, ebabench

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-plugin.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder that pip installed the page's package into, as PYTHONPATH."""
    source, goal = tmp_path_factory.mktemp("ebabench-breathing"), tmp_path_factory.mktemp("installed")
    for name, text in re.findall(r"<!-- example: (\S+) -->\n```\w*\n(.*?)```", PAGE, re.DOTALL):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(goal), str(source)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return os.pathsep.join([str(goal), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_a_plug_in_is_listed_and_conforms(installed: str, tmp_path: Path) -> None:
    done = ebabench("list", cwd=tmp_path, PYTHONPATH=installed)
    assert re.search(r"^breathing +ready .*The native structure, stretched", done.stdout, re.MULTILINE)
    assert re.search(r"^breathing_size +Å +lower", done.stdout, re.MULTILINE)
    checked = ebabench("models", "check", "breathing", cwd=tmp_path, PYTHONPATH=installed)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_plug_in_runs_and_its_metric_is_scored(installed: str, tiny: Tiny, tmp_path: Path) -> None:
    done = ebabench("run", "--model", "breathing", *tiny.options, "--jobs", "1", cwd=tmp_path, PYTHONPATH=installed)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "runs" / "leaderboards" / "tiny-v1.csv").open(newline="") as file:
        by_model = {row["model"]: row for row in csv.DictReader(file)}
    assert by_model["breathing"]["status"] == "official"
    assert float(by_model["breathing"]["breathing_size"]) > 0
    assert "breathing_size=1" in by_model["breathing"]["versions"]


def test_without_its_package_there_is_no_such_model(tmp_path: Path) -> None:
    done = ebabench("run", "--model", "breathing", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown model 'breathing'" in done.stderr
