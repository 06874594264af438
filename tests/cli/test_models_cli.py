"""`ebabench models new`, `check` and `install`, and what `list models` says of each."""

import functools
import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import ebabench

from ebabench.errors import InputError, RunError
from ebabench.generators import environments
from ebabench.generators.cards import Card, load_card
from ebabench.generators.scaffold import scaffold
from ebabench.generators.status import readable, readiness

KINDS = ["in-process", "worker", "ensembles"]
CARD = """
name = "tiny"
title = "Tiny"
family = "test"
paper = "none"
licence = "MIT"
script = "tiny_worker.py"
[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"
[environment]
kind = "worker"
requirements = ["tinypackage=={version}"]
{more}
"""
CHECKPOINT = '[[checkpoints]]\nname = "main"\nurl = "{url}"\n'
PROBE = """
import json, os, sys
import tinypackage
json.dump({"status": "ok", "versions": {"tinypackage": tinypackage.VERSION}}, open("part", "w"))
os.rename("part", "result.json")
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, which is all that installers may see."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    info = "tinypackage-1.0.dist-info"
    with zipfile.ZipFile(shelf / "tinypackage-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinypackage.py", "VERSION = '1.0'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinypackage\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    for installer in ("PIP", "UV"):
        monkeypatch.setenv(f"{installer}_NO_INDEX", "1")
        monkeypatch.setenv(f"{installer}_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return shelf


def card(folder: Path, version: str = "1.0", more: str = "", code: str = PROBE) -> Card:
    folder.mkdir(exist_ok=True)
    (folder / "tiny_worker.py").write_text(code)
    (folder / "tiny.toml").write_text(CARD.format(version=version, more=more))
    return load_card(str(folder / "tiny.toml"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a folder ``served``."""
    (tmp_path / "served").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_what_is_new_passes_its_own_test(tmp_path: Path) -> None:
    for kind in KINDS:
        assert len(scaffold(f"my-{kind}", kind, tmp_path / kind)) == 3
    own = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *KINDS]
    done = subprocess.run(own, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "4 passed" in done.stdout, done.stdout


def test_a_new_model_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine_model.py").write_text("a week's work")
    done = ebabench("models", "new", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine_model.py exists already; nothing was written" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["mine_model.py"]
    with pytest.raises(InputError, match="'My Model' is no name"):
        scaffold("My Model", "worker", tmp_path)


def test_a_check_that_fails_says_what_to_do(tmp_path: Path) -> None:
    assert ebabench("models", "new", "mine", "--worker", "--out", "mine", cwd=tmp_path).returncode == 0
    done = ebabench("models", "check", "mine/mine.toml", cwd=tmp_path)
    assert (done.returncode, "failed" in done.stdout) == (0, False)
    script = tmp_path / "mine" / "mine_worker.py"
    script.write_text(script.read_text().replace("(start + moves)", "((start + moves) / 10)"))
    done = ebabench("models", "check", "mine/mine.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "nanometres, not angstrom" in done.stdout
    assert "positions are in angstrom" in done.stdout
    assert "ebabench: mine: 1 of 15 checks failed" in done.stderr


def test_an_environment_is_built_locked_and_used(tmp_path: Path, shelf: Path) -> None:
    model = card(tmp_path / "model")
    place = environments.folder(model)
    (place / "venv" / "bin").mkdir(parents=True)  # what a kill in the middle leaves: it is begun anew
    (place / "venv" / "bin" / "python").write_text("half")
    assert str(readiness(model)) == "needs install"
    done = ebabench("models", "install", str(model.path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tiny: ready" in done.stdout
    assert "tinypackage==1.0" in (place / "lock.txt").read_text()
    assert str(readiness(model)) == "ready"
    assert "here" in readiness(model).size
    checked = ebabench("models", "check", str(model.path), cwd=tmp_path)
    assert "tinypackage 1.0" in checked.stdout
    stamp = (place / "installed.json").stat().st_mtime_ns
    environments.install(model)
    assert (place / "installed.json").stat().st_mtime_ns == stamp


def test_a_lock_beside_the_card_is_another_environment(tmp_path: Path) -> None:
    model = card(tmp_path / "model")
    before = environments.folder(model)
    (tmp_path / "model" / "tiny.lock").write_text("tinypackage==1.0\n")
    assert environments.folder(model) != before
    assert environments.folder(card(tmp_path / "other")) == before


def test_a_card_named_by_a_relative_path_installs_under_its_lock(tmp_path: Path, shelf: Path) -> None:
    model = card(tmp_path / "model")
    (tmp_path / "model" / "tiny.lock").write_text("tinypackage==1.0\n")
    done = ebabench("models", "install", "model/tiny.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(readiness(model)) == "ready"


def test_a_requirement_that_is_a_path_is_installed_and_warned_of(tmp_path: Path, shelf: Path) -> None:
    model = card(tmp_path / "model")
    wheel = next(shelf.glob("*.whl"))
    text = model.path.read_text().replace("tinypackage==1.0", f"./{wheel.name}")
    model.path.write_text(text)
    wheel.rename(model.path.with_name(wheel.name))
    model = load_card(str(model.path))
    environments.install(model)
    assert str(readiness(model)) == "ready"
    done = ebabench("models", "check", "model/tiny.toml", cwd=tmp_path)
    assert "warning" in done.stdout
    assert wheel.name in done.stdout
    assert "not pinned" not in done.stdout


def test_an_environment_that_is_there_is_used_as_it_is(tmp_path: Path) -> None:
    model = card(
        tmp_path / "model", code=PROBE.replace("import tinypackage", "").replace("tinypackage.VERSION", '"1.0"')
    )
    text = model.path.read_text().replace('requirements = ["tinypackage==1.0"]', f'interpreter = "{sys.executable}"')
    model.path.write_text(text)
    model = load_card(str(model.path))
    assert str(readiness(model)) == "ready"
    assert environments.python(model) == Path(sys.executable)
    assert "tinypackage 1.0" in ebabench("models", "check", "model/tiny.toml", cwd=tmp_path).stdout
    model.path.write_text(text.replace(sys.executable, "conda:nothing-of-the-kind"))
    model = load_card(str(model.path))
    assert str(readiness(model)) == "needs install"
    done = ebabench("models", "install", "model/tiny.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing-of-the-kind" in done.stderr


def fake_uv(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> Path:
    """Puts a ``uv`` on the PATH that tells into a file what it was asked."""
    folder.mkdir()
    (folder / "uv").write_text(
        f'#!/bin/sh\necho "$@" >> {folder / "said"}\n'
        f'[ "$1" = venv ] && mkdir -p "$4/bin" && ln -s {sys.executable} "$4/bin/python"\n{then}\n'
    )
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "said"


def test_uv_is_taken_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = fake_uv(tmp_path / "bin", monkeypatch, '[ "$2" = freeze ] && echo tinypackage==1.0; exit 0')
    place = environments.install(card(tmp_path / "model", more='python = "3.11"\nno_deps = ["other==2"]'))
    python = place / "venv" / "bin" / "python"
    assert said.read_text().splitlines() == [
        f"venv --python 3.11 {place / 'venv'}",
        f"pip install --python {python} tinypackage==1.0",
        f"pip install --python {python} --no-deps other==2",
        f"pip freeze --python {python}",
    ]
    assert json.loads((place / "installed.json").read_text())["installer"] == "uv"
    assert (place / "lock.txt").read_text() == "tinypackage==1.0\n"


def test_an_environment_whose_python_is_gone_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_uv(tmp_path / "bin", monkeypatch, '[ "$2" = freeze ] && echo tinypackage==1.0; exit 0')
    model = card(tmp_path / "model")
    python = environments.install(model) / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(tmp_path / "removed")
    assert str(readiness(model)) == "needs install"
    environments.install(model)
    assert str(readiness(model)) == "ready"


def test_an_environment_that_cannot_be_built_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_uv(
        tmp_path / "bin", monkeypatch, '[ "$2" = install ] && echo "no version 1.0 of tinypackage" && exit 1; exit 0'
    )
    model = card(tmp_path / "model")
    with pytest.raises(RunError, match=r"tiny: the installation ended with exit code 1: no version.*install\.log"):
        environments.install(model)
    assert str(readiness(model)) == "needs install"
    with pytest.raises(InputError, match="tiny needs install"):
        environments.python(model)


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tiny needs Python 3\.99: there is no python3\.99"):
        environments.find_python(card(tmp_path / "model", more='python = "3.99"'))


def test_weights_are_fetched_pinned_and_verified(tmp_path: Path, server: str) -> None:
    served = tmp_path / "served" / "w%201.pt".replace("%20", " ")
    served.write_bytes(b"weights")
    model = card(tmp_path / "model", more=CHECKPOINT.format(url=f"{server}/w%201.pt"))
    assert str(readiness(model)) == "needs install and weights"
    assert readiness(model).size == "to fetch: size unknown"
    assert model.facts()["checkpoints"][0]["sha256"] is None
    path = model.files.fetch(model.checkpoints[0])
    assert path.name == "w 1.pt"
    assert model.checkpoint("main") == path
    assert model.facts()["checkpoints"][0]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    path.write_bytes(b"altered")
    with pytest.raises(InputError, match=r"not the one on the card \S+tiny.toml: 7 bytes"):
        model.checkpoint("main")
    path.unlink()
    served.write_bytes(b"another file at the same address")
    with pytest.raises(InputError, match="not the one on the card"):
        model.files.fetch(model.checkpoints[0])
    assert not path.exists()
    served.write_bytes(b"weights")
    assert model.files.fetch(model.checkpoints[0]).read_bytes() == b"weights"


def test_weights_that_another_model_has_are_not_fetched_again(tmp_path: Path, server: str) -> None:
    (tmp_path / "served" / "w.pt").write_bytes(b"weights")
    pins = f'sha256 = "{hashlib.sha256(b"weights").hexdigest()}"\n'
    one = card(tmp_path / "model", more=CHECKPOINT.format(url=f"{server}/w.pt") + pins)
    there = one.files.fetch(one.checkpoints[0])
    text = one.path.read_text()
    twin, other = tmp_path / "model" / "twin.toml", tmp_path / "model" / "other.toml"
    twin.write_text(text.replace('"tiny"', '"twin"').replace(server, f"{server}/nowhere"))
    other.write_text(text.replace('"tiny"', '"other"').replace(server, f"{server}/nowhere").replace(pins, ""))
    twice = load_card(str(twin)).files.fetch(load_card(str(twin)).checkpoints[0])
    assert twice != there
    assert twice.samefile(there)
    with pytest.raises(RunError, match="404"):
        load_card(str(other)).files.fetch(load_card(str(other)).checkpoints[0])


def test_weights_of_another_size_or_nowhere_are_refused(tmp_path: Path, server: str) -> None:
    (tmp_path / "served" / "w.pt").write_bytes(b"weights")
    model = card(tmp_path / "model", more=CHECKPOINT.format(url=f"{server}/w.pt") + "size = 1500000000\n")
    assert readiness(model).size == "1.5 GB to fetch"
    with pytest.raises(InputError, match="7 bytes"):
        model.files.fetch(model.checkpoints[0])
    assert str(readiness(model)) == "needs install and weights"
    (tmp_path / "served" / "page.pt").write_bytes(b"\n<!DOCTYPE html><title>Sign in</title>")
    page = card(tmp_path / "model", more=CHECKPOINT.format(url=f"{server}/page.pt"))
    with pytest.raises(InputError, match=r"page\.pt gives a web page, not the checkpoint 'main'"):
        page.files.fetch(page.checkpoints[0])
    assert page.files.pinned(page.checkpoints[0]) is None
    gone = card(tmp_path / "model", more=CHECKPOINT.format(url=f"{server}/gone.pt"))
    with pytest.raises(RunError, match="404"):
        gone.files.fetch(gone.checkpoints[0])


def test_what_runs_beside_ebabench_names_what_it_lacks(tmp_path: Path) -> None:
    path = scaffold("mine", "in-process", tmp_path)[0]
    path.write_text(path.read_text() + '[environment]\nrequirements = ["numpy>=1", "nothing-of-the-kind==1.0"]\n')
    assert str(readiness(load_card(str(path)))) == "needs install"
    done = ebabench("models", "install", str(path), cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install nothing-of-the-kind==1.0" in done.stderr


def test_list_models_says_what_each_lacks(tmp_path: Path) -> None:
    done = ebabench("list", "models", cwd=tmp_path)
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "ready" in rows["static"]
    assert "3.1 MB here" in rows["eba"]
    assert "broken" not in done.stdout


def test_bytes_for_readers() -> None:
    assert [readable(size) for size in (None, 0, 999, 1500, 123456, 2_400_000_000, 10**13)] == [
        "size unknown", "0 B", "999 B", "1.5 kB", "123 kB", "2.4 GB", "10000 GB",
    ]  # fmt: skip
