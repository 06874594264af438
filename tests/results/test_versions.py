"""The version that results name is that of the code that ran, whatever of ebabench is installed or is not."""

from importlib import metadata

import pytest
from synthetic_runs import TOY, make_run, suite

from ebabench import __version__
from ebabench.results import manifest
from ebabench.results.leaderboard import rebuild
from ebabench.results.site.pages import Pages


@pytest.fixture(params=["another version is installed", "none is installed"])
def installed(request, monkeypatch):
    """What the interpreter's list of packages says of ebabench: nothing, or the version of another copy."""
    version, described = metadata.version, metadata.metadata

    def other(name):
        if name != "ebabench":
            return version(name)
        if request.param == "none is installed":
            raise metadata.PackageNotFoundError(name)
        return "0.0.9"

    monkeypatch.setattr(metadata, "version", other)
    monkeypatch.setattr(metadata, "metadata", lambda name: described(name) if other(name) else None)
    manifest._versions.cache_clear()
    yield
    manifest._versions.cache_clear()


@pytest.mark.usefixtures("installed")
def test_runs_boards_and_pages_name_the_version_that_ran(tmp_path):
    run = make_run(tmp_path / "run")
    assert run.made_with == __version__
    board = rebuild(suite(), [run], TOY.specs, tmp_path)
    assert {line["ebabench"] for line in board.lines} == {__version__}
    assert f"ebabench {__version__}" in (tmp_path / "toy-v1.html").read_text()


@pytest.mark.usefixtures("installed")
def test_a_site_needs_no_installed_package(tmp_path):
    Pages(tmp_path, ["toy-v1"], "ebabench site").write("index.html", "whole")
    assert (tmp_path / "index.html").read_text() == "whole"
