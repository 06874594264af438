"""A small site, built once a session, and a browser to look at it with."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from command import Tiny, ebabench

from ebabench.datasets.suites import load_suite, reference_reader
from ebabench.results.leaderboard import board_of
from ebabench.results.md_errors import MdError, write_errors
from ebabench.results.runs import Run
from ebabench.results.site import SuiteSite, build_site
from ebabench.scoring.metric import METRICS
from ebabench.structures import Ensemble

MODELS = ("static", "gaussian")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
COMMAND = "ebabench site runs --out site"


def tiny_suite(tiny: Tiny, folder: Path) -> SuiteSite:
    """Two models on the tiny suite. Of one target it is known what the finite MD leaves open."""
    folder.mkdir(parents=True)
    runs = {}
    for model in MODELS:
        done = ebabench("run", "--model", model, *tiny.options, "--out", str(folder / model), cwd=folder)
        assert done.returncode == 0, done.stderr
        runs[model] = Run.read(folder / model)
    write_errors(runs["gaussian"], {"AGS": MdError({"basin_populations_tv": 1000.0}, "psi of GLY 2", 0.2, 30.0)})
    suite = load_suite(str(tiny.suite))
    specs = [spec for name in METRICS for spec in METRICS.load(name).specs]
    board = board_of(suite, list(runs.values()), specs)
    reference = reference_reader(suite, tiny.data)
    return SuiteSite(board, suite.title, suite.samples, suite.family, runs, reference, partial(ensemble, runs))


def ensemble(runs: dict[str, Run], model: str, target: str) -> Ensemble | None:
    return runs[model].load_ensemble(target)


@pytest.fixture(scope="session")
def tiny_site(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> SuiteSite:
    return tiny_suite(tiny, tmp_path_factory.mktemp("site_runs") / "runs")


@pytest.fixture(scope="session")
def built_site(tiny_site: SuiteSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = build_site([tiny_site], tmp_path_factory.mktemp("site") / "site", COMMAND, processes=1)
    assert not site.left_out
    return site.folder
