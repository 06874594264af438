"""Third-party generators in environments of their own, with random weights: minutes and gigabytes, if asked for."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was installed is kept where EBABENCH_CACHE says, and gone with the test run where it says nothing."""
    os.environ.setdefault("EBABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
