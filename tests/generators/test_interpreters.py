"""An environment that its user has made: by the path of its interpreter, or by the name that conda has for it."""

from pathlib import Path

import pytest

from ebabench.errors import InputError
from ebabench.generators.interpreters import find_interpreter


@pytest.fixture(autouse=True)
def _no_conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONDA_PREFIX", "CONDA_EXE", "MAMBA_ROOT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def environment(prefix: Path) -> Path:
    """Make a folder that looks like an environment, and return its interpreter."""
    python = prefix / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    return python


def test_a_path_is_absolute_or_from_the_card(tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    assert find_interpreter(str(python), Path("elsewhere")) == python
    assert find_interpreter("env/bin/python", tmp_path) == python
    at_home = environment(tmp_path / "home" / "env")
    assert find_interpreter("~/env/bin/python", tmp_path) == at_home


@pytest.mark.parametrize("root", ["CONDA_PREFIX", "CONDA_EXE", "MAMBA_ROOT_PREFIX", "list", "sibling", "active"])
def test_conda_environments_are_found_by_name(tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    python = environment(tmp_path / "conda" / "envs" / "mine")
    environment(tmp_path / "conda" / "envs" / "yours")
    if root == "list":
        listed = tmp_path / "home" / ".conda" / "environments.txt"
        listed.parent.mkdir()
        listed.write_text(f"{tmp_path}/conda/envs/yours\n{python.parents[1]}\n")
    elif root == "CONDA_EXE":
        monkeypatch.setenv("CONDA_EXE", str(tmp_path / "conda" / "bin" / "conda"))
    else:
        place = {"sibling": "conda/envs/yours", "active": "conda/envs/mine"}.get(root, "conda")
        monkeypatch.setenv(root if root.isupper() else "CONDA_PREFIX", str(tmp_path / place))
    assert find_interpreter("conda:mine", tmp_path).resolve() == python.resolve()


def test_what_is_not_there_or_there_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("no program")
    for named in ("/nowhere/bin/python", "text", "conda:mine"):
        with pytest.raises(InputError) as error:
            find_interpreter(named, tmp_path)
        assert error.value.code == "environment.interpreter"
        assert named in str(error.value)
    for root, folder in (("CONDA_PREFIX", "one"), ("MAMBA_ROOT_PREFIX", "two")):
        environment(tmp_path / folder / "envs" / "mine")
        monkeypatch.setenv(root, str(tmp_path / folder))
    with pytest.raises(InputError) as error:
        find_interpreter("conda:mine", tmp_path)
    assert str(tmp_path / "one") in str(error.value)
    assert str(tmp_path / "two") in str(error.value)
