"""One zygote and one table for the whole fault campaign, of which a usual test run has a sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import AllUndisturbed, Commands, commands
from command import Tiny
from harness import Tally, Zygote
from server import Server, serving, zipped

HERE = Path(__file__).parent
_TALLY = Tally()


def _whole(config: pytest.Config) -> bool:
    return str(config.option.markexpr).strip() == "faults"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    own = [item for item in items if item.path.is_relative_to(HERE)]
    for item in own:
        item.add_marker("faults")
        item.add_marker("slow")
    if not _whole(config):
        left_out = [item for item in own if item.get_closest_marker("campaign")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _whole(config):
        for row in _TALLY.tables():
            terminalreporter.write_line(row)


@pytest.fixture(scope="session")
def tally() -> Tally:
    return _TALLY


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether this is the whole campaign, and not the sample of it in a usual run."""
    return _whole(request.config)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory, _own_cache: None) -> Iterator[Zygote]:
    one = Zygote(tmp_path_factory.mktemp("zygote"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


@pytest.fixture(scope="session")
def known(tiny: Tiny, server: Server) -> Commands:
    """The commands of the campaign, by name."""
    ensembles = {f"{name}.pdb": (tiny.data / name / f"{name}.pdb").read_bytes() for name in ("AGS", "KDE", "FAV")}
    return commands(tiny, server, zipped(ensembles))


@pytest.fixture(scope="session")
def undisturbed(known: Commands, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> AllUndisturbed:
    """What each command leaves when nothing disturbs it."""
    return AllUndisturbed(known, zygote, tmp_path_factory.mktemp("undisturbed"))
