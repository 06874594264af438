"""Every script behind a figure of the documentation can be started."""

from importlib import import_module
from pathlib import Path

import pytest

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[2] / "experiments").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_imports_is_there(name: str) -> None:
    assert import_module(name).__doc__
