"""The tiny suite's molecular dynamics, made once a session; and the markers that follow from what a test uses."""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from filelock import FileLock

sys.path.append(str(Path(__file__).parents[1] / "experiments"))

from command import SUITE, Called, Tiny, ebabench

_LONG = {
    "command.ebabench",
    "ebabench.datasets.simulation.simulate",
    "ebabench.training.remote.finetune",
    "ebabench.training.stage.align",
    "multiprocessing",
    "subprocess",
}
"""What takes seconds whatever it is given: a process that imports everything anew, dynamics, training."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process a core for all tests, or for all quick ones; none but this one for a choice of them."""
    here = Path(__file__).parent
    whole = all(Path(config.invocation_params.dir, one) in (here, here.parent) for one in config.args)
    chosen = config.option.keyword or config.option.markexpr not in ("", "not slow")
    return None if whole and not chosen else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that reach long work as ``slow``, those of the command line as ``cli``; leave out external ones."""
    for item in items:
        if isinstance(item, pytest.Function):
            # OpenMM takes seconds to read the whole of CHARMM36.
            if "charmm36" in item.name or any(_place(one) in _LONG for one in _used(item)):
                item.add_marker("slow")
            if "called" in item.fixturenames or any(one is ebabench for one in _named(item.obj)):
                item.add_marker("cli")
        if item.get_closest_marker("external"):
            item.add_marker("slow")
    if "external" not in config.option.markexpr:
        external = [item for item in items if item.get_closest_marker("external")]
        items[:] = [item for item in items if not item.get_closest_marker("external")]
        config.hook.pytest_deselected(items=external)


def pytest_collection_finish() -> None:
    """Collecting garbage need not look at what was imported: that stays."""
    gc.freeze()


def _used(item: pytest.Function) -> Iterator[object]:
    """What a test, its fixtures and the helpers that they call name of their modules."""
    fixtures = [one.func for found in item._fixtureinfo.name2fixturedefs.values() for one in found]
    reached: list[Callable[..., object]] = [item.obj, *fixtures]
    for function in reached:
        for one in _named(function):
            yield one
            if isinstance(one, FunctionType) and _is_of_tests(one) and one not in reached:
                reached.append(one)


@cache
def _named(function: Callable[..., object]) -> list[object]:
    """The globals that a function names, also in the functions within it."""
    plain = getattr(function, "__func__", function)
    codes: list[CodeType] = [plain.__code__] if isinstance(plain, FunctionType) else []
    for code in codes:
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
    return [plain.__globals__[name] for code in codes for name in code.co_names if name in plain.__globals__]


def _place(thing: object) -> str:
    """Where a function or module is from."""
    name = getattr(thing, "__qualname__", "")
    return f"{getattr(thing, '__module__', '')}.{name}" if name else str(getattr(thing, "__name__", ""))


@cache
def _is_of_tests(function: FunctionType) -> bool:
    return Path(__file__).parent in Path(function.__code__.co_filename).parents


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's cache."""
    os.environ["EBABENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Files of tests need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, _own_cache: None) -> Tiny:
    """Every process that runs tests has a copy of its own. The first one that needs it makes it."""
    own = tmp_path_factory.getbasetemp()
    made = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "tiny-made"
    with FileLock(f"{made}.lock"):
        if not made.is_dir():
            _simulate(tmp_path_factory.mktemp("simulated")).rename(made)
    return _tiny(shutil.copytree(made, own / "tiny"))


def _tiny(folder: Path) -> Tiny:
    return Tiny(folder / "tiny-v1.toml", folder / "data", folder / "work")


def _simulate(folder: Path) -> Path:
    tiny = _tiny(folder)
    tiny.suite.write_text(SUITE)
    command = ["simulate", "--suite", str(tiny.suite), "--out", str(tiny.data), "--work", str(tiny.work)]
    done = ebabench(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


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
