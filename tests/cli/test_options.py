"""What every command line has: its version, and help under its short name."""

from collections.abc import Iterator

import pytest
import typer

import ebabench
from ebabench.cli import app
from ebabench.cli.app import progress


def test_the_version_is_the_library_s(called):
    assert called("--version") == (0, f"ebabench {ebabench.__version__}\n", "")


@pytest.mark.parametrize("words", [(), ("run",), ("models", "install")])
def test_help_has_a_short_name(called, words):
    (status, short, _), (_, long, _) = called(*words, "-h"), called(*words, "--help")
    assert status == 0
    assert short == long
    assert "Usage" in short


def commands(group: object, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *words, name)


@pytest.mark.parametrize("words", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_help_is_whole_in_a_terminal_of_80_columns(called, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, text, _ = called(*words, "--help")
    assert status == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_progress_shows_its_figures_in_a_terminal_of_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress() as tell:
        tell(f"scoring (http://{'a-long-name-of-a-host' * 4}:8787/status)", 1234, 5678)
    assert "1234/5678" in capsys.readouterr().err


def test_a_metric_that_is_asked_for_is_shown(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ("--metric", "basin_populations_tv", "--metric", "rmsf_r")  # the first is in the short table of peptides
    status, text, _ = called(
        *("run", "--model", "static", "--suite", "peptides-v1", "--target", "KLED", "--samples", "5", "--jobs", "1"),
        *asked,
    )
    assert status == 0
    assert {"basin_populations_tv", "rmsf_r"} <= {line.split()[0] for line in text.splitlines()}
