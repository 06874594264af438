"""What every command line has: its version, and help under its short name."""

import pytest

import ebabench


def test_the_version_is_the_library_s(called):
    assert called("--version") == (0, f"ebabench {ebabench.__version__}\n", "")


@pytest.mark.parametrize("words", [(), ("run",), ("models", "install")])
def test_help_has_a_short_name(called, words):
    (status, short, _), (_, long, _) = called(*words, "-h"), called(*words, "--help")
    assert status == 0
    assert short == long
    assert "Usage" in short
